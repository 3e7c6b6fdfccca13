"""Timing for AirPlay senders of this computer: OwnTone (airptp) and Music Assistant (cliairplay), on one clock."""
