"""Whatever becomes of a file in a run's folder: it is made again to the bit, or named in one line."""

import dataclasses
import json
import os
import shutil
import signal

import pytest

from rspnet.disk import identity
from rspnet.errors import CheckpointError, RSPNetError
from rspnet.running import checkpoints
from rspnet.running.folder import run_once
from tests.support.toy_run import Accelerator, Run, ask, same


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    from rspnet import disk

    for module in (checkpoints, disk):
        monkeypatch.setattr(module, "fsync", lambda path: None)


@dataclasses.dataclass
class Config:
    """Of a pretraining, as far as it matters here."""

    data: dict
    run: dict
    pretext: dict = dataclasses.field(default_factory=lambda: {"speeds": [2]})


class Launched(Accelerator):
    def end_training(self):
        pass


class Toys:
    """A toy's run in a folder as a stage keeps it."""

    def __init__(self, folder, videos):
        self.toy = Run(folder, checkpoint_every=1)
        data = {"root": str(videos), "index": None, "layout": "auto", "fold": 1, "cache_gb": 1.0}
        self.config = Config(data, {"seed": 0})

    def __call__(self):
        folder = self.toy.folder

        def work(config, run):
            run.keep_videos()
            self.toy()
            weights = folder / "encoder.safetensors"
            weights.write_bytes(self.toy.model.state_dict()["0.weight"].numpy().tobytes())
            clip = {"num_frames": 2}
            said = {"arch": "toy", "kwargs": {}, "clip": clip, "weights": identity(weights)}
            (folder / "encoder.json").write_text(json.dumps(said))
            last = self.toy.loop.state.last_epoch["loss"]
            result = {"stage": "pretrain", "loss": last, "avid_top1": 1.0, "rsp_accuracy": 50.0, "num_videos": 13}
            return result | {"epochs": 3, "device_hours": 0.0}

        return run_once(folder, self.config, work, start=Launched)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, videos):
    """One that is done, and one that was stopped in its fifth step of nine; with what the first leaves."""
    done, half = (Toys(tmp_path_factory.mktemp("runs") / name, videos) for name in ("done", "half"))
    result = done()
    half.toy.at = {5: ask(signal.SIGTERM)}
    with pytest.raises(KeyboardInterrupt):
        half()
    return {"done": done.toy.folder, "half": half.toy.folder, "result": result, "toy": done.toy}


def spoil(path, damage):
    text = path.read_bytes() if path.is_file() else b""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    match damage:
        case "folder":
            path.mkdir()
        case "dangling link":
            path.symlink_to("nowhere")
        case "pipe":
            os.mkfifo(path)
        case "gone":
            pass
        case _:
            contents = {
                "empty": b"",
                "cut": text[: len(text) // 2],
                "NULs": text[:20] + bytes(200) + text[220:],
                "bad UTF-8": b"\xff\xfe" + text,
                "a list": b"[1, 2]\n",
                "a number": b"1e999\n",
                "deep": b"[" * 20_000,
                "wrong types": text.replace(b'"step": 3', b'"step": "3"').replace(b"1", b"NaN"),
            }
            path.write_bytes(contents[damage])


RARER = ("dangling link", "pipe", "empty", "NULs", "a list", "a number", "deep")
NAMES = (
    *(
        "config.yaml",
        "environment.json",
        "metrics.jsonl",
        "result.json",
        "encoder.json",
        "encoder.safetensors",
        "manifest.json",
        ".lock",
    ),
    *("checkpoints", "checkpoints/last", "checkpoints/step_9", "checkpoints/step_5"),
    *("checkpoints/step_9/manifest.json", "checkpoints/step_5/manifest.json", "checkpoints/step_5/state.pt"),
)


def outcome(toys):
    """Its result, or the line that refuses it."""
    try:
        return toys(), ""
    except RSPNetError as error:
        return None, str(error)


@pytest.mark.parametrize(
    "damage",
    [
        "folder",
        "gone",
        "cut",
        "bad UTF-8",
        "wrong types",
        *(pytest.param(each, marks=pytest.mark.slow) for each in RARER),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_every_damage_of_every_file_is_mended_or_named(tmp_path, videos, runs, name, damage):
    for state in ("done", "half"):
        folder = tmp_path / state
        shutil.copytree(runs[state], folder, symlinks=True)
        if not os.path.lexists(folder / name):
            continue
        spoil(folder / name, damage)
        toys = Toys(folder, videos)
        result, told = outcome(toys)
        if result is None:
            assert "\n" not in told
            assert os.path.basename(name) in told or ": holds a run with data.fold=NaN, not 1; " in told
        else:
            assert result | {"device_hours": 0} == runs["result"] | {"device_hours": 0}
            if hasattr(toys.toy, "loop"):
                assert same(toys.toy.result(), runs["toy"].result())
                if state == "half" and name != "metrics.jsonl":
                    assert toys.toy.log() == runs["toy"].log()


def test_the_good_lines_of_the_metrics_are_kept(tmp_path, videos, runs, capsys):
    shutil.copytree(runs["half"], tmp_path / "run", symlinks=True)
    path = tmp_path / "run/metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = [b"\xff\n", b"[3]\n", b'{"step": "4"}\n', b'{"step": NaN}\n', b'{"step": true}\n', bytes(9) + b"\n"]
    content = b"".join([*damaged, lines[0], b"[" * 99_999 + b"\n", *lines[1:], b'{"step": 4, "ev'])
    path.write_bytes(content)
    toys = Toys(tmp_path / "run", videos)
    toys()
    assert toys.toy.log() == runs["toy"].log()
    assert (tmp_path / "run/metrics.old-1.jsonl").read_bytes() == content
    told = f"{path}: left out 7 unreadable lines (the first is line 1); the file as it was is kept in"
    assert f"{told} {tmp_path}/run/metrics.old-1.jsonl\n" in capsys.readouterr().err


def test_the_metrics_of_a_finished_run_are_not_believed_in_silence(tmp_path, videos, runs, capsys):
    shutil.copytree(runs["done"], tmp_path / "run", symlinks=True)
    path = tmp_path / "run/metrics.jsonl"
    path.write_bytes(b"")
    assert Toys(tmp_path / "run", videos)() == runs["result"]
    assert f"{path}: is not as the run left it, and cannot be made again; " in capsys.readouterr().err


@pytest.mark.parametrize("name", ["encoder.safetensors", "encoder.json"])
def test_a_finished_run_makes_its_encoder_again(tmp_path, videos, runs, capsys, name):
    shutil.copytree(runs["done"], tmp_path / "run", symlinks=True)
    lost = (tmp_path / "run" / name).read_bytes()
    (tmp_path / "run" / name).unlink()
    toys = Toys(tmp_path / "run", videos)
    toys.toy.at = {step: lambda: pytest.fail("a step") for step in range(1, 10)}
    assert toys() == runs["result"]
    assert (tmp_path / "run" / name).read_bytes() == lost
    assert f"{tmp_path}/run/{name}: is missing; it is made again\n" in capsys.readouterr().err
    (tmp_path / "run" / name).unlink()
    shutil.rmtree(tmp_path / "run/checkpoints")
    with pytest.raises(CheckpointError, match=r"is missing.*; there is no sound checkpoint to make it from: copy"):
        toys()
    assert "starts at step 0" not in capsys.readouterr().err


def test_a_run_folder_whose_links_were_copied_as_folders_goes_on(tmp_path, videos, runs):
    shutil.copytree(runs["half"], tmp_path / "run", symlinks=False)
    assert not (tmp_path / "run/checkpoints/last").is_symlink()
    toys = Toys(tmp_path / "run", videos)
    toys()
    assert same(toys.toy.result(), runs["toy"].result())
    assert os.readlink(tmp_path / "run/checkpoints/last") == "step_9"
