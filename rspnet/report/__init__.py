"""The HTML report of one or several runs: a single file with pictures that loads nothing from a network."""
