"""A checkpoint's folder is as it was written, or it is said what is wrong; the newest sound one of a run is found."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from rspnet.disk import identity
from rspnet.errors import CheckpointError
from rspnet.weights import manifest
from rspnet.weights.description import find_weights, read_description, same_run, settled
from rspnet.weights.manifest import fault, found, is_checkpoint, newest_sound

SAID = {"arch": "c3d", "kwargs": {"width": 8}, "clip": {"size": 48}}


def checkpoint(run, step):
    folder = run / "checkpoints" / f"step_{step}"
    folder.mkdir(parents=True)
    (folder / "state.pt").write_text(f"state {step}")
    (folder / "network.json").write_text(json.dumps(SAID))
    files = {path.name: identity(path) for path in folder.iterdir()}
    (folder / "manifest.json").write_text(json.dumps({"format": 1, "step": step, "files": files}))
    return folder


def test_the_newest_sound_one(tmp_path, capsys):
    with pytest.raises(CheckpointError, match="this run has no checkpoint yet; start it again to let it go on"):
        newest_sound(tmp_path)
    one, two, ten = (checkpoint(tmp_path, step) for step in (1, 2, 10))
    assert found(tmp_path) == [(10, ten), (2, two), (1, one)]
    assert newest_sound(tmp_path) == ten
    (ten / "state.pt").write_text("state 11")
    (two / "manifest.json").write_text("[1]")
    assert newest_sound(tmp_path) == one
    said = capsys.readouterr().err
    assert "step_10: state.pt is not as it was written; this checkpoint is passed over" in said
    assert "step_2: its manifest is damaged (" in said
    (one / "more").touch()
    with pytest.raises(CheckpointError, match="none of its checkpoints is sound; copy the run folder again"):
        newest_sound(tmp_path)


def test_a_run_that_goes_on_while_it_is_looked_at(tmp_path, monkeypatch, capsys):
    """The checkpoint that was the newest is gone before, or while, it is read; a newer one has come."""

    def sha256(path):
        if path.parent != two:
            return hashed(path)
        checkpoint(tmp_path, 3)
        shutil.rmtree(two)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    hashed, two = manifest.sha256, checkpoint(tmp_path, 2)
    monkeypatch.setattr(manifest, "sha256", sha256)
    assert newest_sound(tmp_path).name == "step_3"
    assert capsys.readouterr().err == ""
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rglob", lambda folder, pattern: os.scandir(folder))
        assert fault(two) == "step_2 cannot be read (No such file or directory)"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "its manifest is damaged"),
        ('{"step": "3", "files": {}}', "its manifest is damaged"),
        ('{"step": 3, "files": {"state.pt": {"bytes": 1}}}', "its manifest is damaged"),
        ('{"step": 3, "files": {}}', "its manifest is of other files than it has"),
        ('{"step": 4, "files": {}}', "its manifest is of step 4"),
    ],
)
def test_a_manifest_that_is_none(tmp_path, text, words):
    folder = checkpoint(tmp_path, 3)
    assert fault(folder, 3) is None
    (folder / "manifest.json").write_text(text)
    assert words in fault(folder, 3)
    (folder / "manifest.json").unlink()
    assert fault(folder, 3) == "it has no manifest.json"
    assert not is_checkpoint(folder)


def test_what_moves_is_settled(tmp_path, capsys):
    run, folder = tmp_path, checkpoint(tmp_path, 3)
    (run / "checkpoints/last").symlink_to("step_3")
    assert find_weights(run) == find_weights(folder) == folder / "state.pt"
    assert settled(str(folder / "state.pt")) == str(folder)
    for moving in (run, run / "checkpoints/last", folder):
        assert settled(str(moving)) == str(folder)
        assert same_run(str(folder), str(moving)) == (moving != folder)
    assert capsys.readouterr().err == f"{run}: is not finished; its newest checkpoint is used, step_3\n"
    assert not same_run(str(folder), str(tmp_path.parent))
    assert not same_run(str(run), str(run))


def test_links_of_ones_own(tmp_path):
    """To a run that is not finished, to a checkpoint, and to a link to one."""
    run, folder = tmp_path / "runs/a", checkpoint(tmp_path / "runs/a", 3)
    (run / "checkpoints/last").symlink_to("step_3")
    assert settled(str(run / "checkpoints/last/state.pt")) == str(folder)
    for number, start in enumerate((tmp_path, "")):
        for name in ("runs/a", "runs/a/checkpoints/step_3", "runs/a/checkpoints/last"):
            link = tmp_path / f"{Path(name).name}_{number}"
            link.symlink_to(Path(start, name))
            assert os.path.samefile(settled(str(link)), folder)
            assert Path(settled(str(link))).name == "step_3"


def test_a_checkpoint_says_what_network_it_is(tmp_path):
    folder = checkpoint(tmp_path, 3)
    assert read_description(find_weights(tmp_path)) == SAID | {"weights": identity(folder / "state.pt")}
    (folder / "network.json").unlink()
    with pytest.raises(CheckpointError, match=r"step_3: has no network\.json, which describes its network"):
        read_description(folder / "state.pt")
