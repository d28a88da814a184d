"""Files of weights: ours, the published ones, other trainers'."""
