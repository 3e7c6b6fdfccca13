"""Sessions of programs that speak RTSP: they name peers and anchors, and get the local time of each frame."""
