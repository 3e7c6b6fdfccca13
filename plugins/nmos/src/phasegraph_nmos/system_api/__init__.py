"""The client of the System API (IS-09): which one to ask, what it says, and what that means for runs. No I/O."""
