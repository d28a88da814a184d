"""Trackers get options, values and a picture; one that fails is named once, and neither ends nor changes the run."""

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker, register_tracker_class
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rspnet.errors import ConfigError
from rspnet.running.launch import check_trackers
from rspnet.running.trackers import Trackers

PICTURE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


@pytest.fixture
def registered(monkeypatch):
    """``registered(fails)``: a tracker of a program's own that fails at that moment; what it got is in its `got`."""
    monkeypatch.setattr("accelerate.tracking.LOGGER_TYPE_TO_CLASS", LOGGER_TYPE_TO_CLASS)
    before = dict(LOGGER_TYPE_TO_CLASS)

    def make(fails=None, error=None):
        class Own(GeneralTracker):
            name, requires_logging_directory, tracker, got = "own", False, None, []

            def __init__(self, run_name, **kwargs):
                super().__init__()

            def _act(self, what, *values):
                torch.rand(3)
                print(f"own: {what}")
                if what == fails:
                    raise error
                self.got.append((what, *values))

            def start(self):
                self._act("start")

            def store_init_configuration(self, values):
                self._act("options", values)

            def log(self, values, step, **kwargs):
                self._act("log", values, step)

            def log_images(self, values, step):
                self._act("picture", list(values), step)

            def finish(self):
                self._act("finish")

        register_tracker_class(Own)
        return Own

    yield make
    LOGGER_TYPE_TO_CLASS.clear()
    LOGGER_TYPE_TO_CLASS.update(before)


def used(folder, *names):
    trackers = Trackers(Accelerator(log_with=list(names), project_dir=folder), folder, {"optim.lr": 0.1, "x": [1]})
    for step in (1, 2):
        trackers.log({"loss": 2.0 * step}, step)
    trackers.show("clips", PICTURE, 0)
    trackers.close()


def test_tensorboard_has_values_picture_and_options(tmp_path, capsys):
    used(tmp_path, "tensorboard")
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 2.0), (2, 4.0)]
    (picture,) = events.Images("clips")
    assert (picture.height, picture.width) == (4, 6)
    (hparams,) = (tmp_path / "tensorboard").rglob("hparams.yml")
    assert hparams.read_text() == "optim.lr: 0.1\nx: '[1]'\n"
    assert capsys.readouterr().err == ""


def test_all_that_there_is_for_one_of_them(tmp_path, registered, capsys):
    own = registered()
    used(tmp_path, "own", "tensorboard")
    out, err = capsys.readouterr()
    assert (out, err.count("own: ")) == ("", 6)  # stdout is for results
    assert own.got == [
        ("start",),
        ("options", {"optim.lr": 0.1, "x": "[1]"}),
        *(("log", {"loss": 2.0}, 1), ("log", {"loss": 4.0}, 2), ("picture", ["clips"], 0), ("finish",)),
    ]


@pytest.mark.parametrize("fails", ["start", "options", "log", "picture", "finish"])
@pytest.mark.parametrize(
    "error", [ConnectionError("no\nnetwork"), OSError(28, "No space left"), SystemExit(1)], ids=str
)
def test_one_that_fails_is_named_once(tmp_path, registered, capsys, fails, error):
    own = registered(fails, error)
    torch.manual_seed(3)
    used(tmp_path, "own", "tensorboard")
    after = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(1))
    said = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("own: ")]
    assert len(said) == 1
    assert said[0].startswith("tracker own: failed (")
    assert not [what for what, *_ in own.got if what == fails]
    assert EventAccumulator(str(tmp_path / "tensorboard")).Reload().Scalars("loss")[1].value == 4  # the other goes on


def test_one_that_is_not_there_is_refused():
    check_trackers(["tensorboard"])
    with pytest.raises(ConfigError, match=r"run\.trackers: 'tensorbord' is none of accelerate's trackers: aim, "):
        check_trackers(["tensorboard", "tensorbord"])
    with pytest.raises(ConfigError, match=r"run\.trackers: aim is not installed here \(installed: tensorboard\b"):
        check_trackers(["aim"])
