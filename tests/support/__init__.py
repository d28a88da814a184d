"""What tests share."""

from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
RECORDED = REPO / "tests/recorded"
"""Losses, options and recipes as they were on the day they were recorded."""
