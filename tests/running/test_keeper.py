"""What a run keeps: sound checkpoints only, on a disk that can hold them; and where it goes on from."""

import errno
import json
import math
import os
import shutil
from types import SimpleNamespace

import pytest
import torch

from rspnet.disk import identity
from rspnet.errors import CheckpointError, DiskError, LostError
from rspnet.running import checkpoints
from rspnet.running.place import Place
from tests.support.toy_run import EPOCHS, Run, ask, same

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


def spoil(run, where):
    """A step in which a number is lost."""

    def act():
        if where == "momentum":
            run.optimizer.state_dict()["state"][0]["momentum_buffer"][0] = math.inf
        else:
            run.model.state_dict()[where].view(-1)[-1] = math.nan

    return act


@pytest.mark.parametrize("where", ["0.weight", "1.running_var", "momentum"])
def test_what_is_no_number_is_never_kept(tmp_path, uninterrupted, where):
    """Checkpoints come more often than looks at the loss, here never before the weights are gone."""
    run = Run(tmp_path, checkpoint_every=1, log_every=100)
    run.at = {5: spoil(run, where)}
    with pytest.raises(FloatingPointError) as caught:
        run()
    assert str(caught.value).startswith("step 5: the state of the training has become NaN or infinite (")
    assert "; lower optim.lr and start anew in another --run_dir; the checkpoint of step 4 is" in str(caught.value)
    assert str(caught.value).endswith(" sound, and the same command goes on from there")
    assert run.steps() == [3, 4]
    for step in run.steps():
        saved = torch.load(tmp_path / f"checkpoints/step_{step}/state.pt", weights_only=True)
        assert all(value.isfinite().all() for value in saved["model"].values())
    run.at = {}
    assert same(run().result(), uninterrupted.result())


def test_a_loss_that_is_no_number_is_never_kept(tmp_path):
    """Of one step, among those of which the mean is to come: who went on from there could not."""
    run = Run(tmp_path, checkpoint_every=1, log_every=100, loss_at={4: math.nan})
    with pytest.raises(FloatingPointError, match=r"^step 4: .*\(run\.sums\.interval\.rows, run\.sums\.epoch\.rows\)"):
        run()
    assert run.steps() == [2, 3]


def resealed(folder, change):
    """A checkpoint with other contents, and a manifest that says so."""
    state = torch.load(folder / "state.pt", weights_only=True)
    change(state)
    torch.save(state, folder / "state.pt")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["state.pt"] = identity(folder / "state.pt")
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_checkpoint_without_numbers_is_passed_over(tmp_path, uninterrupted, caplog):
    run = Run(tmp_path, checkpoint_every=1, at={6: ask()})
    with pytest.raises(KeyboardInterrupt):
        run()
    resealed(tmp_path / "checkpoints/step_6", lambda state: state["model"]["0.weight"].fill_(math.nan))
    run.at = {}
    assert same(run().result(), uninterrupted.result())
    said = "step_6: its state.pt has NaN or infinite values (model.0.weight); this checkpoint is passed over"
    assert said in caplog.text


@pytest.mark.parametrize("part", ["model", "optimizer", "run"])
def test_a_checkpoint_of_something_else_is_one_line(tmp_path, part):
    run = Run(tmp_path, at={2: ask()})
    with pytest.raises(KeyboardInterrupt):
        run()
    resealed(tmp_path / "checkpoints/step_2", lambda state: state.update({part: {"a": 1}}))
    run.at = {}
    with pytest.raises(CheckpointError, match=r"step_2: is of another network or another version \(.*; remove it to"):
        run()


def test_without_a_sound_checkpoint_it_starts_over_and_keeps_the_metrics(tmp_path, uninterrupted, capsys):
    run = Run(tmp_path, checkpoint_every=1, at={5: ask()})
    with pytest.raises(KeyboardInterrupt):
        run()
    old = (tmp_path / "metrics.jsonl").read_text()
    for step in run.steps():
        (tmp_path / f"checkpoints/step_{step}/state.pt").write_bytes(b"")
    run.at = {}
    assert same(run().result(), uninterrupted.result())
    assert run.log() == uninterrupted.log()
    assert (tmp_path / "metrics.old-1.jsonl").read_text() == old
    said = capsys.readouterr().err
    assert f"{tmp_path}: none of its checkpoints is sound; the run starts at step 0\n" in said
    assert f"what it had logged is kept in {tmp_path}/metrics.old-1.jsonl" in said


def test_the_best_checkpoint_that_is_damaged_is_told_at_the_start(tmp_path):
    run = Run(tmp_path, top1=[30.0, 10.0, 20.0], at={8: ask()})
    with pytest.raises(KeyboardInterrupt):
        run()
    (tmp_path / "checkpoints/step_3/state.pt").write_bytes(b"cut")
    run.at = {step: lambda: pytest.fail("a step") for step in range(1, 10)}
    with pytest.raises(CheckpointError, match=r"checkpoints/best: state\.pt is not as it was written; copy the run"):
        run()


@pytest.mark.parametrize("removed", [False, True])
def test_the_newest_one_that_is_damaged_may_be_the_best(tmp_path, uninterrupted, removed, capsys):
    """Then the best one before it is gone; its epoch is done again, and is the best again."""
    run = Run(tmp_path, top1=[20.0, 10.0, 30.0], checkpoint_every=1)
    run()
    newest = tmp_path / "checkpoints/step_9"
    assert run.steps() == [8, 9]
    (newest / "state.pt").write_bytes(b"")
    if removed:
        shutil.rmtree(newest)
    run()
    assert "checkpoints/best: the epochs up to the best one are done again\n" in capsys.readouterr().err
    assert same(run.model.state_dict(), uninterrupted.model.state_dict())
    assert (run.loop.state.best, run.loop.state.best_epoch) == (30.0, 3)
    run.loop.load_best()


def test_room_for_the_best_one_and_for_those_that_stay(tmp_path, monkeypatch):
    run = Run(tmp_path / "best", checkpoint_every=1, top1=[1.0] * EPOCHS, at={1: lambda: 1 / 0})
    disk = SimpleNamespace(free=1, total=10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: disk)
    with pytest.raises(DiskError, match=r"checkpoints, 4 of .* at a time"):
        run()
    monkeypatch.undo()
    run = Run(tmp_path / "all", keep_epochs=1)
    keeper = run().loop.keeper
    disk.free = 50 * keeper.size() - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda path: disk)
    with pytest.raises(DiskError, match=r"checkpoints, 62 of .* at a time"):
        keeper.check_room(500, keeper.state.step + 60 * keeper.keep_steps, best=False)
    keeper.check_room(500, keeper.state.step + 40 * keeper.keep_steps, best=False)


def test_all_checkpoints_that_are_there_at_the_same_time_are_counted(tmp_path, monkeypatch):
    """Those kept for good besides the newest ones and the one that is being written, up to the last one."""
    counts, prune = [], checkpoints.prune

    def counted(run_dir, **kept):
        counts.append(len(list(run_dir.glob("checkpoints/step_*"))))
        prune(run_dir, **kept)

    monkeypatch.setattr(checkpoints, "prune", counted)
    run = Run(tmp_path / "good", checkpoint_every=1, keep_epochs=1)
    assert run().loop.keeper.at_once == max(counts) == 5
    run = Run(tmp_path / "last", checkpoint_every=1, at={8: ask()})
    with pytest.raises(KeyboardInterrupt):
        run()
    run.at = {}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1, total=10**9))
    with pytest.raises(DiskError, match=r"checkpoints, 3 of .* at a time"):
        run()


def test_a_disk_that_cannot_hold_the_checkpoints_is_said_before_the_first_step(tmp_path, monkeypatch):
    run = Run(tmp_path, checkpoint_every=1)
    size = run().loop.keeper.size()
    assert size == 4 * (5 * 4 + 4 + 2 * 4 + 2 * 4) + 8 + 4 * (5 * 4 + 4 + 2 * 4)  # weights, averages, a count; momentum

    def free(number):
        disk = SimpleNamespace(free=number * size, total=100 * size)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: disk)

    free(0)
    run()  # it is done
    another = Run(tmp_path / "another", checkpoint_every=1, at={1: lambda: 1 / 0})
    free(2.9)
    with pytest.raises(DiskError) as caught:
        another()
    assert str(caught.value) == (
        f"{tmp_path}/another: its disk has 0.1 MB left, and 0.1 MB are needed for the run's checkpoints, 3 of 0.1 MB "
        "at a time; make room on it, then give the same command again"
    )
    free(3)
    with pytest.raises(ZeroDivisionError):
        another()
    monkeypatch.undo()
    another.at = {4: ask()}
    with pytest.raises(KeyboardInterrupt):
        another()
    another.at = {5: lambda: 1 / 0}
    free(1)  # two are there already, of which one goes with each that comes
    with pytest.raises(ZeroDivisionError):
        another()
    free(0.9)
    with pytest.raises(DiskError):
        another()


def test_a_full_disk_leaves_what_is_kept_and_the_same_command_goes_on(tmp_path, uninterrupted, no_file_larger_than):
    run = Run(tmp_path, checkpoint_every=1)
    run.at = {5: lambda: limit.__enter__()}
    limit = no_file_larger_than(1500)
    with pytest.raises(DiskError) as caught:
        run()
    limit.__exit__(None, None, None)
    assert "step_5" in str(caught.value)
    assert "(File too large); write to another folder (0.1 MB are needed)" in str(caught.value)
    assert run.steps() == [3, 4]
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["last", "step_3", "step_4"]
    run.at = {}
    assert same(run().result(), uninterrupted.result())
    assert run.log() == uninterrupted.log()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_whatever_the_disk_refuses_the_last_checkpoint_stays(tmp_path, monkeypatch, number):
    def refuse(folder, step):
        raise OSError(number, os.strerror(number))

    run = Run(tmp_path, checkpoint_every=1)
    run.at = {5: lambda: monkeypatch.setattr(checkpoints, "_seal", refuse)}
    with pytest.raises(DiskError, match=r"checkpoints/step_5: cannot be written: .*\(0\.1 MB are needed\)$"):
        run()
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["last", "step_3", "step_4"]


@pytest.mark.parametrize("when", ["in the last step", "before the test"])
def test_a_folder_that_is_lost_is_not_made_anew(tmp_path, when):
    """Renamed, it keeps what it had, and goes on under its name."""
    run, other = Run(tmp_path / "run", checkpoint_every=1, top1=[10.0, 20.0, 30.0]), tmp_path / "other"

    def lose():
        run.folder.rename(other)

    with Place(run.folder) as run.place:
        if when == "in the last step":
            run.at = {9: lose}
            with pytest.raises(LostError, match="run: was removed or renamed while this wrote to it"):
                run()
        else:
            run()
            lose()
            for ends in (run.loop.load_best, lambda: run.loop.result("finetune")):
                with pytest.raises(LostError, match="run: was removed or renamed while this wrote to it"):
                    ends()
    assert not run.folder.exists()
    other.rename(run.folder)
    run.at, run.place = {}, None
    assert run().steps()[-1] == 9
