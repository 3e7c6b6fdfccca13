"""Session descriptions on their way: files, SAP, and RAVENNA (mDNS and RTSP)."""
