"""Trackers get options, values and a picture; one that fails is named once, and neither ends nor changes the run."""

import atexit
import sys

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker, register_tracker_class
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import plugin_data_pb2

from rspnet.errors import ConfigError
from rspnet.running import tensorboard, tracked
from rspnet.running.folder import Run
from rspnet.running.launch import check_trackers
from rspnet.running.team import Team
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


def test_what_one_says_as_the_process_ends_is_no_result(tmp_path, registered, monkeypatch, capsys):
    ends = []
    monkeypatch.setattr("atexit.register", ends.append)
    monkeypatch.setattr("sys.stdout", sys.stdout)  # put back after the test

    monkeypatch.setattr(registered(), "start", lambda _: atexit.register(lambda: print("own: so long")))
    Trackers(Accelerator(cpu=True, log_with=["own"], project_dir=tmp_path), tmp_path, {})
    for end in reversed(ends):
        end()
    out, err = capsys.readouterr()
    assert (out, "own: so long" in err) == ("", True)


def test_one_that_is_not_there_is_refused():
    check_trackers(["tensorboard"])
    with pytest.raises(ConfigError, match=r"run\.trackers: 'tensorbord' is not one of accelerate's trackers: aim, "):
        check_trackers(["tensorboard", "tensorbord"])
    with pytest.raises(ConfigError, match=r"run\.trackers: aim is not installed here \(installed: tensorboard\b"):
        check_trackers(["aim"])


def test_chance_goes_along_with_accuracies(tmp_path):
    trackers = Trackers(Accelerator(log_with=["tensorboard"], project_dir=tmp_path), tmp_path, {}, chance={"rsp": 50.0})
    trackers.log({"epoch/rsp": 61.0, "epoch/loss": 2.0}, 7)
    trackers.log({"interval/rsp": 62.0}, 9)
    trackers.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    lines = [(name, events.Scalars(name)[0].step, events.Scalars(name)[0].value) for name in events.Tags()["scalars"]]
    assert sorted(lines) == [
        ("epoch/chance_rsp", 7, 50.0),
        ("epoch/loss", 7, 2.0),
        ("epoch/rsp", 7, 61.0),
        ("interval/chance_rsp", 9, 50.0),
        ("interval/rsp", 9, 62.0),
    ]
    (told,) = events.Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout.FromString(told.tensor_proto.string_val[0])
    (chart,) = layout.category[0].chart
    assert (chart.title, list(chart.multiline.tag)) == ("rsp", ["epoch/rsp$", "epoch/chance_rsp$"])


def hparams(folder):
    """Options, names of results, and whether the run is done, as TensorBoard's table of runs reads them."""
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    tags = events.PluginTagToContent("hparams")
    begun = plugin_data_pb2.HParamsPluginData.FromString(tags["_hparams_/session_start_info"]).session_start_info
    table = plugin_data_pb2.HParamsPluginData.FromString(tags["_hparams_/experiment"]).experiment
    options = {name: value.number_value or value.string_value for name, value in begun.hparams.items()}
    return options, {metric.name.tag for metric in table.metric_infos}, events


def test_options_stand_beside_results_in_one_run(tmp_path):
    """Once, though it was started twice."""
    for value in (0.1, 0.1):
        options = {"optim.lr": value, "encoder.name": "c3d"}
        trackers = Trackers(Accelerator(log_with=["tensorboard"], project_dir=tmp_path), tmp_path, options)
    trackers.finish({"stage": "finetune", "top1": 61.5, "frozen": True, "knn": {"top1": 3.0}, "epochs": 2}, 8)
    assert [path for path in (tmp_path / "tensorboard").iterdir() if path.is_dir()] == []
    options, results, events = hparams(tmp_path)
    assert options == {"optim.lr": 0.1, "encoder.name": "c3d"}
    assert "result/top1" in results
    found = {name: events.Scalars(name)[-1] for name in events.Tags()["scalars"]}
    assert {name: (event.step, event.value) for name, event in found.items()} == {
        "result/top1": (8, 61.5),
        "result/epochs": (8, 2.0),
    }


@pytest.mark.parametrize(
    ("protocol", "columns"),
    [
        ("retrieval", {"result/recall/1", "result/device_hours"}),
        ("knn, few_shot,pretext", {"result/knn/top1", "result/few_shot/top1/8", "result/pretext/rsp_accuracy"}),
    ],
)
def test_what_an_evaluation_measures_has_a_column(tmp_path, protocol, columns):
    accelerator = Accelerator(log_with=["tensorboard"], project_dir=tmp_path)
    Trackers(accelerator, tmp_path, {"protocol": protocol}).close()
    assert columns <= hparams(tmp_path)[1]


def test_features_go_to_the_projector(tmp_path, capsys):
    features = np.arange(8, dtype=np.float32).reshape(4, 2)
    rows = [("up", "a.mp4"), ("down\nand up", "b\t.mp4"), ("", "c.mp4"), ("up", "d.mp4")]
    trackers = Trackers(Accelerator(log_with=["tensorboard"], project_dir=tmp_path), tmp_path, {})
    trackers.embed("features", features, rows)
    trackers.close()
    assert capsys.readouterr() == ("", "")
    (kept,) = (tmp_path / "tensorboard").rglob("tensors.tsv")
    assert np.array_equal(np.loadtxt(kept, delimiter="\t"), features)
    named = kept.with_name("metadata.tsv").read_text().splitlines()
    assert named == ["class\tvideo", "up\ta.mp4", "down and up\tb .mp4", "-\tc.mp4", "up\td.mp4"]
    assert "tensors.tsv" in (tmp_path / "tensorboard/projector_config.pbtxt").read_text()


def test_of_very_many_features_the_projector_gets_some(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorboard, "POINTS", 3)
    trackers = Trackers(Accelerator(log_with=["tensorboard"], project_dir=tmp_path), tmp_path, {})
    trackers.embed("features", np.arange(7, dtype=np.float32)[:, None], [("", str(number)) for number in range(7)])
    trackers.close()
    (kept,) = (tmp_path / "tensorboard").rglob("tensors.tsv")
    assert np.loadtxt(kept).tolist() == [0, 3, 6]


def test_what_a_run_leaves_is_shown(tmp_path):
    """Its confusion matrices, and the numbers of several protocols."""
    (tmp_path / "confusion_knn.csv").write_text("label,left,up\nleft,3,1\nup,0,2\n")
    accelerator = Accelerator(log_with=["tensorboard"], project_dir=tmp_path)
    run = Run(accelerator, Team(), {}, tmp_path, {"protocol": "knn", "run": {"seed": 1}})
    tracked.finish(run, {"stage": "evaluate", "knn": {"top1": 50.0, "interval": {"top1": [40.0, 60.0]}}})
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    (picture,) = events.Images("confusion_knn")
    assert picture.height == 96
    assert events.Scalars("result/knn/top1")[0].value == 50


def test_what_cannot_be_shown_is_said_and_the_result_is_sent(tmp_path, capsys):
    (tmp_path / "confusion.csv").write_text("label,left,up\nleft,many\n")
    (tmp_path / "features.parquet").write_text("none")
    run = Run(Accelerator(log_with=["tensorboard"], project_dir=tmp_path), Team(), {}, tmp_path, {"protocol": "knn"})
    tracked.finish(run, {"stage": "evaluate", "top1": 50.0})
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("trackers: not all of what the run found could be sent (")
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert events.Scalars("result/top1")[0].value == 50
