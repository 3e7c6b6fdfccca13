"""The device model of MS-05-02 and the control session of IS-12: messages in, messages out."""
