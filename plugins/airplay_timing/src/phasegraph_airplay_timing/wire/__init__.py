"""AirPlay timing on the wire: octets to frozen values and back. No sockets, no clocks."""
