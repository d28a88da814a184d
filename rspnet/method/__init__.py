"""The method of the paper: the pretext tasks, projection heads, losses and momentum encoder; classifier; optimiser."""
