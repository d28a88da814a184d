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

# The recorded numbers were computed on a CPU; a test that needs a GPU sets this itself. Nor does any test write to the
# user's cache (HF_DATASETS_CACHE below).
os.environ["ACCELERATE_USE_CPU"] = "true"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # rspnet.cli.command.run does so for the stages, and says why
# A shell lets its background jobs ignore Ctrl-C, which the processes that tests start would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Processes that tests start import this checkout too, whatever is installed.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(REPO), os.environ.get("PYTHONPATH"))))
_cache = tempfile.TemporaryDirectory(prefix="rspnet-cache-")
os.environ["HF_DATASETS_CACHE"] = _cache.name


@pytest.fixture(autouse=True)
def signals_as_they_were() -> Iterator[None]:
    """Restore the handlers of ending signals after a test that runs a program in this process."""
    before = {each: signal.getsignal(each) for each in ENDING}
    yield
    for each, handler in before.items():
        if handler is not None and signal.getsignal(each) is not handler:
            signal.signal(each, handler)


@pytest.fixture
def no_file_larger_than():
    """``with no_file_larger_than(100):`` the system refuses to make a file longer than 100 bytes, like a full disk."""

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
    """Give tests marked slow a longer time limit."""
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of the published code's numbers and of real videos beside the checkout; skips if there is none."""
    folder = REPO.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the shared fixtures and videos are not on this machine")
    return folder


@pytest.fixture(scope="session")
def videos(tmp_path_factory) -> Path:
    """A data set in UCF101's layout, made by `rspnet.data.synthetic`: 10 classes of 4 tiny videos, 48 frames each.

    Shared by all tests: copy the folder to change files.
    """
    from rspnet.data.synthetic import make_dataset

    folder = tmp_path_factory.mktemp("videos")
    make_dataset(folder, videos_per_class=4, seed=0)
    return folder


@pytest.fixture(scope="session")
def motions(tmp_path_factory) -> Path:
    """train/CLASS/ and test/CLASS/ with 18 and 5 videos of a pattern that goes down, right or nowhere.

    24 frames, 32 pixels high and 32 or 40 wide, compressed losslessly so that training losses do not depend on the
    build of the encoder. Shared by all tests: copy the folder to change files.
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
    """Nine videos of 20 to 60 numbered frames, the last of them truncated, and one with a single frame.

    Shared by all tests: copy the folder to change files.
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
    """Count the graphs that torch compiles, without speeding anything up."""
    import torch
    from torch._dynamo.testing import CompileCounter

    from rspnet.running import tuning

    torch._dynamo.reset()
    counter = CompileCounter()
    monkeypatch.setattr(tuning, "BACKEND", counter)
    yield counter
    torch._dynamo.reset()
