"""Fixtures shared by all tests."""

import os
import resource
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from rspnet.signals import ENDING
from tests.support import REPO

# Numbers to compare with were computed on a CPU; what wants a GPU says so itself. And no test leaves anything in the
# user's cache.
os.environ["ACCELERATE_USE_CPU"] = "true"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as rspnet.cli.command.run does for the stages, and why
# A shell makes what it starts in the background deaf to Ctrl-C, and so would be what the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
# What tests start imports this checkout too, whatever is installed.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(REPO), os.environ.get("PYTHONPATH"))))
_cache = tempfile.TemporaryDirectory(prefix="rspnet-cache-")
os.environ["HF_DATASETS_CACHE"] = _cache.name


@pytest.fixture(autouse=True)
def signals_as_they_were() -> Iterator[None]:
    """What a test that runs a program in this process made of the signals that end one."""
    before = {each: signal.getsignal(each) for each in ENDING}
    yield
    for each, handler in before.items():
        if handler is not None and signal.getsignal(each) is not handler:
            signal.signal(each, handler)


@pytest.fixture
def no_file_larger_than():
    """``with no_file_larger_than(100):`` the system refuses what would make a file longer, as a full disk does."""

    @contextmanager
    def limited(num_bytes: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests marked slow the time that they need."""
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of numbers from the published code and of real videos, where the checkout has one beside it."""
    folder = REPO.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the shared fixtures and videos are not on this machine")
    return folder


@pytest.fixture(scope="session")
def videos(tmp_path_factory) -> Path:
    """A data set in UCF101's layout, made by `rspnet.data.synthetic`: 10 classes of 4 tiny videos, 48 frames each.

    Shared by all tests: to change files, copy the folder.
    """
    from rspnet.data.synthetic import make_dataset

    folder = tmp_path_factory.mktemp("videos")
    make_dataset(folder, videos_per_class=4, seed=0)
    return folder


@pytest.fixture(scope="session")
def motions(tmp_path_factory) -> Path:
    """train/CLASS/ and test/CLASS/ with 18 and 5 videos of a pattern that goes down, right or nowhere.

    24 frames, 32 or 40 pixels. Compressed without loss, so that losses on them do not depend on the encoder's build.
    Shared by all tests: to change files, copy the folder.
    """
    from rspnet.video.reader import encode

    root = tmp_path_factory.mktemp("motions")
    for number in range(23):
        split, label = ("train" if number < 18 else "test"), ("down", "right", "still")[number % 3]
        (root / split / label).mkdir(parents=True, exist_ok=True)
        pattern = np.random.default_rng(number).integers(0, 256, (8, 8 + 2 * (number % 2), 3), dtype=np.uint8)
        pattern = pattern.repeat(4, axis=0).repeat(4, axis=1)
        step = {"down": (2, 0), "right": (0, 2), "still": (0, 0)}[label]
        frames = [np.roll(pattern, (time * step[0], time * step[1]), axis=(0, 1)) for time in range(24)]
        encode(root / split / label / f"{number:02d}.mp4", frames, fps=25, crf=0, x264_preset="ultrafast")
    return root


@pytest.fixture(scope="session")
def root(tmp_path_factory) -> Path:
    """Nine videos of 20 to 60 numbered frames, the last of them cut off, and one that has a single frame.

    Shared by all tests: to change files, copy the folder.
    """
    from tests.support.numbered import write_numbered

    root = tmp_path_factory.mktemp("numbered")
    for video in range(9):
        write_numbered(root / f"{video}.mp4", 20 + 5 * video, gop=10)
    cut = root / "8.mp4"
    cut.write_bytes(cut.read_bytes()[:300])
    write_numbered(root / "single.mp4", 1)
    return root


@pytest.fixture
def graphs(monkeypatch):
    """Counts the graphs that torch compiles; nothing is made faster."""
    import torch
    from torch._dynamo.testing import CompileCounter

    from rspnet.running import tuning

    torch._dynamo.reset()
    counter = CompileCounter()
    monkeypatch.setattr(tuning, "BACKEND", counter)
    yield counter
    torch._dynamo.reset()
