"""Fixtures shared by all tests."""

from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of numbers from the published code and of real videos, where the checkout has one beside it."""
    folder = REPO.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the shared fixtures and videos are not on this machine")
    return folder
