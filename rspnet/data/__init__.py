"""Videos, their index, the clips of a video, the batches of a step."""
