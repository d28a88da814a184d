"""Weight files: rspnet's own, the published ones, and those of other trainers."""
