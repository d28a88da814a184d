"""What the tests of a run's parts share: a toy's run that nothing stopped, and a disk that is not waited for."""

import pytest

from rspnet.running import checkpoints
from tests.support.toy_run import Run


@pytest.fixture
def no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(checkpoints, "fsync", lambda path: None)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return Run(tmp_path_factory.mktemp("whole"))()
