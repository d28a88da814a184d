"""What runs have found out, as a page for people: one file, with pictures and without a network."""
