"""Status monitors of receivers and senders (BCP-008-01, BCP-008-02): observations and times in, statuses out."""
