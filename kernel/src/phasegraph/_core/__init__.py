"""Value types and protocols: what nodes, plugins and the kernel say to each other."""
