"""Finished toy runs, made once for all tests of the training stages."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import tiny


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    from rspnet import disk
    from rspnet.running import checkpoints

    for module in (checkpoints, disk):
        monkeypatch.setattr(module, "fsync", lambda path: None)


@pytest.fixture(scope="session")
def pretrained(motions, tmp_path_factory) -> Path:
    """The run folder of a finished pretraining; not to be changed."""
    from stages.pretrain import main

    folder = tmp_path_factory.mktemp("pretrained") / "run"
    main(tiny.pretrain(motions, folder))
    return folder


@pytest.fixture(scope="session")
def finetuned(motions, pretrained, tmp_path_factory) -> Path:
    """The run folder of a finished fine-tuning of `pretrained`; not to be changed."""
    from stages.finetune import main

    folder = tmp_path_factory.mktemp("finetuned") / "run"
    main(tiny.finetune(motions, folder, pretrained))
    return folder


@pytest.fixture
def interrupted(monkeypatch):
    """``with interrupted(step):`` the user presses Ctrl-C in that training step, and the run is given up after it."""
    from rspnet.running.loop import TrainLoop

    @contextmanager
    def press(step: int) -> Iterator[None]:
        done = TrainLoop.step

        def step_with_a_key_press(loop, terms):
            if loop.state.step + 1 == step:
                os.kill(os.getpid(), signal.SIGINT)
            done(loop, terms)

        with monkeypatch.context() as patch:
            patch.setattr(TrainLoop, "step", step_with_a_key_press)
            with pytest.raises(KeyboardInterrupt, match=f"step {step} is kept"):
                yield

    return press


@pytest.fixture
def no_steps(monkeypatch):
    """Whoever trains or loads a network fails."""
    from rspnet.running import folder as run_folder

    monkeypatch.setattr(run_folder, "Run", lambda *args: pytest.fail("the work was begun"))
