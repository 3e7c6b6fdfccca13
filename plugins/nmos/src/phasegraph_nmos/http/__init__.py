"""The HTTP side: requests in, answers out. `nmos_app` is the ASGI application, the others are one API each."""
