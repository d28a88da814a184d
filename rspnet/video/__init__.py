"""Reading and writing single video files, frame by frame and exactly; no torch, no index."""
