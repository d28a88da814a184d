"""Checkpoints survive an interruption at any moment; the oldest go, the marked stay."""

import json
import logging
import os
import shutil
import warnings
from pathlib import Path

import pytest

from rspnet.running import checkpoints
from rspnet.running.checkpoints import latest, mark, prune, writing


def write(run_dir: Path, step: int, text: str = "state") -> None:
    with writing(run_dir, step) as folder:
        (folder / "model.safetensors").write_text(f"{text} {step}")
        (folder / "random").mkdir()
        (folder / "random" / "rank_0.pkl").write_bytes(bytes(1000))


def names(run_dir: Path) -> list[str]:
    return sorted(path.name for path in (run_dir / "checkpoints").iterdir())


def test_written_under_its_name_with_a_manifest(tmp_path):
    assert latest(tmp_path) is None
    with writing(tmp_path, 5) as folder:
        assert latest(tmp_path) is None
        assert folder.parent == tmp_path / "checkpoints"
        (folder / "a.bin").write_bytes(b"1234")
    assert latest(tmp_path) == (tmp_path / "checkpoints" / "step_5", 5)
    manifest = json.loads((tmp_path / "checkpoints" / "step_5" / "manifest.json").read_text())
    assert (manifest["format"], manifest["step"], list(manifest["files"])) == (1, 5, ["a.bin"])
    assert manifest["files"]["a.bin"]["bytes"] == 4
    assert names(tmp_path) == ["last", "step_5"]
    write(tmp_path, 12)
    assert latest(tmp_path)[1] == 12
    assert os.readlink(tmp_path / "checkpoints" / "last") == "step_12"


def test_steps_are_ordered_as_numbers(tmp_path):
    for step in (9, 10, 100):
        write(tmp_path, step)
    assert latest(tmp_path)[1] == 100


def test_an_error_inside_leaves_nothing(tmp_path):
    write(tmp_path, 1)

    def interrupted():
        with writing(tmp_path, 2) as folder:
            (folder / "half").write_text("")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(tmp_path) == ["last", "step_1"]


def test_processes_meet_and_only_the_main_one_seals(tmp_path):
    calls = []

    def enter(is_main: bool):
        return writing(tmp_path, 3, is_main=is_main, wait=lambda: calls.append(is_main))

    with enter(is_main=True) as folder, enter(is_main=False) as same:
        assert same == folder
        (folder / "rank_0").write_text("0")
        (same / "rank_1").write_text("1")
    assert calls.count(True) == calls.count(False) == 3
    files = json.loads((tmp_path / "checkpoints" / "step_3" / "manifest.json").read_text())["files"]
    assert set(files) == {"rank_0", "rank_1"}


def cut(folder: Path) -> None:
    (folder / "model.safetensors").write_text("st")


def flip(folder: Path) -> None:
    (folder / "model.safetensors").write_text("stat_ 20")


def lose(folder: Path) -> None:
    (folder / "random" / "rank_0.pkl").unlink()


def half_copied(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def half_a_manifest(folder: Path) -> None:
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text[: len(text) // 2])


def other_manifest(folder: Path) -> None:
    shutil.copy(folder.parent / "step_10" / "manifest.json", folder)


def listed(folder: Path) -> None:
    (folder / "manifest.json").write_text('["step", "files"]')


@pytest.mark.parametrize("damage", [cut, flip, lose, half_copied, half_a_manifest, other_manifest, listed])
def test_a_damaged_checkpoint_is_passed_over(tmp_path, caplog, damage):
    write(tmp_path, 10)
    write(tmp_path, 20)
    folder = tmp_path / "checkpoints" / "step_20"
    damage(folder)
    with caplog.at_level(logging.WARNING):
        assert latest(tmp_path) == (tmp_path / "checkpoints" / "step_10", 10)
    assert len(caplog.messages) == 1
    assert str(folder) in caplog.text
    write(tmp_path, 20, "new")
    assert latest(tmp_path) == (folder, 20)
    assert (folder / "model.safetensors").read_text() == "new 20"


def test_prune(tmp_path):
    for step in range(1, 9):
        write(tmp_path, step)
    mark(tmp_path, "best", 2)
    prune(tmp_path, keep=2, keep_steps=range(0, 100, 4))
    # 4 and 8 stay for good, 7 and 6 are the newest of the others, 2 is the best.
    assert names(tmp_path) == ["best", "last", "step_2", "step_4", "step_6", "step_7", "step_8"]
    assert (tmp_path / "checkpoints" / "best" / "model.safetensors").read_text() == "state 2"


def test_prune_does_not_count_damaged_ones(tmp_path):
    for step in (1, 2, 3, 4):
        write(tmp_path, step)
    cut(tmp_path / "checkpoints" / "step_3")
    half_copied(tmp_path / "checkpoints" / "step_4")
    mark(tmp_path, "last", 1)
    prune(tmp_path, keep=1)
    assert names(tmp_path) == ["last", "step_1", "step_2"]
    prune(tmp_path, keep=1)
    assert names(tmp_path) == ["last", "step_1", "step_2"]


def die_at(count: int, action) -> bool:
    """Run the action in a child that is killed just before its nth change to the disk; tell whether it got that far."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python >= 3.12 warns of forks beside threads
        child = os.fork()
    if child == 0:
        made = 0

        def counted(function):
            def step(*args, **kwargs):
                nonlocal made
                made += 1
                if made == count:
                    os._exit(9)
                return function(*args, **kwargs)

            return step

        try:
            for method in ("mkdir", "rename", "replace", "symlink_to", "unlink", "write_text"):
                setattr(Path, method, counted(getattr(Path, method)))
            os.unlink, os.rmdir = counted(os.unlink), counted(os.rmdir)  # what shutil.rmtree is made of
            checkpoints.fsync = counted(checkpoints.fsync)
            action()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_killed_at_any_moment(tmp_path, monkeypatch):
    """A new step, the same step again, and pruning: whenever they are killed, the run goes on from its newest state."""
    monkeypatch.setattr(checkpoints, "fsync", lambda path: None)  # against power cuts; costs most of the time here
    moments = 0
    for number in range(1, 200):
        run_dir = tmp_path / str(number)
        write(run_dir, 10)
        write(run_dir, 20)
        killed = [die_at(number, lambda: write(run_dir, 30, "new"))]  # noqa: B023
        folder, step = latest(run_dir)
        assert step in (20, 30)
        assert (folder / "model.safetensors").read_text() == ("state 20" if step == 20 else "new 30")
        assert (run_dir / "checkpoints" / "last" / "model.safetensors").is_file()

        write(run_dir, 40)
        killed.append(die_at(number, lambda: write(run_dir, 40, "again")))  # noqa: B023
        folder, step = latest(run_dir)
        assert step == 40
        assert (folder / "model.safetensors").read_text() in ("state 40", "again 40")
        assert (run_dir / "checkpoints" / "last" / "model.safetensors").is_file()

        killed.append(die_at(number, lambda: prune(run_dir, keep=1)))  # noqa: B023
        assert latest(run_dir)[1] == 40
        write(run_dir, 50)
        prune(run_dir, keep=2)
        assert names(run_dir) == ["last", "step_40", "step_50"]
        moments += sum(killed)
        if not any(killed):
            break
    assert moments > 30
    assert not any(killed)
