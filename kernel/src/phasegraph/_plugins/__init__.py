"""How plugins are found, loaded one by one, and asked for their kinds."""
