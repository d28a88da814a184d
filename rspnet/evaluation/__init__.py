"""Evaluation: the outputs of a network for videos, and the protocols that measure them."""
