"""A run: its processes, its folder, its loop, its log, its checkpoints."""
