"""NMOS resources of runs (IS-04): identities, what a run offers, and the resources of it. No I/O."""
