"""What another program of this computer serves already: its time is read, and its receivers are named to it."""
