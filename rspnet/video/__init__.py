"""One file in, frames out, and back: exact reading; no torch, no index."""
