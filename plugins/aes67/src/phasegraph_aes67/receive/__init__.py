"""The receiving half: sockets -> demultiplexer -> legs -> one stream's ring."""
