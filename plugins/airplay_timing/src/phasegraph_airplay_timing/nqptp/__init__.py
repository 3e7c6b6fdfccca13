"""The interface of nqptp for its receivers: shared memory (interface version 10) and control port.

Without I/O: `record` (the memory, octet by octet), `commands` (what clients say) and `clients` (who wants what).
With it: `memory` (the files under /dev/shm), `server` (all of it, for clients) and `node` (a clock that reads it).
"""
