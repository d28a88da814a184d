"""Code that several tests share."""

from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
RECORDED = REPO / "tests/recorded"
"""Recorded losses, options and recipes, to compare today's with."""
