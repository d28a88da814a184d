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


@pytest.fixture(scope="session")
def videos(tmp_path_factory) -> Path:
    """A data set in UCF101's layout: 12 classes of 4 tiny videos, 48 frames each, as `rspnet.synthetic` makes them.

    Shared by all tests: to change files, copy the folder.
    """
    from rspnet.synthetic import make_dataset

    folder = tmp_path_factory.mktemp("videos")
    make_dataset(folder, videos_per_class=4)
    return folder
