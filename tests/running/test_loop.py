"""The frame around a toy's training steps: stopping, going on, the best epoch, what a checkpoint holds."""

import math
import os
import signal
import time
from itertools import count
from types import SimpleNamespace

import pytest
import torch

from rspnet.data.batches import TrainBatches
from rspnet.errors import ConfigError, VideoError, WorkerError
from rspnet.running import checkpoints, loop
from rspnet.running.team import Team
from rspnet.signals import ENDING
from tests.support.toy_run import BATCH, EPOCHS, VIDEOS, Accelerator, Others, Run, ask, same

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


def test_a_run_from_end_to_end(uninterrupted):
    log = uninterrupted.log()
    assert [(line["event"], line["step"], line["epoch"]) for line in log] == [
        *[("interval", 2, 0), ("interval", 3, 0), ("epoch", 3, 1)],
        *[("interval", 4, 1), ("interval", 6, 1), ("epoch", 6, 2)],
        *[("interval", 8, 2), ("interval", 9, 2), ("epoch", 9, 3)],
    ]
    assert [line["lr"] for line in log if "lr" in line] == pytest.approx([0.1] * 2 + [0.01] * 2 + [0.001] * 2)
    assert all(line["double"] == 2 * line["loss"] for line in log)
    # An epoch's mean is that of its steps, whatever the intervals.
    assert log[2]["loss"] == pytest.approx((2 * log[0]["loss"] + log[1]["loss"]) / 3)
    assert uninterrupted.steps() == [6, 9]
    assert os.readlink(uninterrupted.folder / "checkpoints/last") == "step_9"
    assert uninterrupted.loop.state.last_epoch == {"loss": log[-1]["loss"], "double": log[-1]["double"]}
    assert uninterrupted.loop.state.seconds > 0


class Scaled(Accelerator):
    """With the loss scale that accelerate keeps where the precision is float16."""

    def __init__(self, scale):
        super().__init__()
        self.scaler = torch.amp.GradScaler("cpu", init_scale=scale)


def test_the_loss_scale_of_float16_goes_on(tmp_path):
    first, again = Scaled(8.0), Scaled(2.0**16)
    with pytest.raises(KeyboardInterrupt):
        Run(tmp_path, first, at={4: ask()})()
    Run(tmp_path, again, at={step: lambda: None for step in range(5, 10)})()
    assert again.scaler.get_scale() == 8.0


def test_a_finished_run_makes_no_more_steps(uninterrupted, capsys):
    before = uninterrupted.log(), uninterrupted.result()
    again = Run(uninterrupted.folder, at={step: lambda: pytest.fail("a step") for step in range(1, 11)})()
    assert same((again.log(), again.result())[1], before[1])
    assert again.log() == before[0]
    assert "going on from" in capsys.readouterr().err


@pytest.mark.parametrize(("step", "number"), [(1, signal.SIGTERM), *((5, number) for number in ENDING)])
def test_asked_to_stop_and_started_again(tmp_path, uninterrupted, step, number, capsys):
    handlers = [signal.getsignal(kind) for kind in ENDING]
    run = Run(tmp_path, at={step: ask(number)})
    with pytest.raises(KeyboardInterrupt, match=f"step {step} is kept; the same command goes on from there"):
        run()
    assert "stopping after this step; another Ctrl-C stops at once" in capsys.readouterr().err
    assert [signal.getsignal(kind) for kind in ENDING] == handlers
    assert checkpoints.latest(tmp_path) == (tmp_path / "checkpoints" / f"step_{step}", step)
    run.at = {}
    run()
    assert same(run.result(), uninterrupted.result())
    assert run.log() == uninterrupted.log()
    assert f"going on from {tmp_path}/checkpoints/step_{step}" in capsys.readouterr().err


@pytest.mark.parametrize("step", [3, 9])
def test_asked_in_the_last_step_of_an_epoch(tmp_path, uninterrupted, step):
    """The epoch is brought to its end first, validation and all."""
    run = Run(tmp_path, at={step: ask()}, top1=[1.0, 2.0, 3.0])
    with pytest.raises(KeyboardInterrupt, match=f"step {step} is kept"):
        run()
    assert run.log()[-1] == run.log()[-1] | {"event": "epoch", "step": step, "val_top1": step / 3}
    run.at = {}
    run()
    assert same(run.model.state_dict(), uninterrupted.model.state_dict())
    assert run.loop.state.best == 3.0


def test_stopped_again_and_again(tmp_path, uninterrupted):
    run = Run(tmp_path)
    for step in range(1, 9):
        run.at = {step: ask()}
        with pytest.raises(KeyboardInterrupt):
            run()
    run.at = {}
    assert same(run().result(), uninterrupted.result())
    assert run.log() == uninterrupted.log()


def test_asked_twice_it_stops_at_once(tmp_path):
    def twice():
        ask()()
        ask()()

    run = Run(tmp_path, at={2: twice})
    with pytest.raises(KeyboardInterrupt) as caught:
        run()
    assert str(caught.value) == ""
    assert checkpoints.latest(tmp_path) is None


def test_a_launcher_that_passes_on_what_was_heard_takes_no_checkpoint_away(tmp_path):
    def all_of_them():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            ask(number)()

    with pytest.raises(KeyboardInterrupt, match="step 2 is kept"):
        Run(tmp_path, at={2: all_of_them})()


def test_what_nohup_has_set_stays(tmp_path, uninterrupted):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        run = Run(tmp_path, at={2: ask(signal.SIGHUP)})()
    finally:
        signal.signal(signal.SIGHUP, before)
    assert same(run.result(), uninterrupted.result())


class Waits:
    """Batches that do not come: from number `until` on somebody presses Ctrl-C while they are waited for."""

    def __init__(self, sampler, until, happens):
        self.sampler, self.until, self.happens = sampler, until, happens

    def __iter__(self):
        from tests.support.toy_run import toy_batches

        for number, batch in enumerate(toy_batches(self.sampler), self.sampler.start):
            if (self.sampler.epoch, number) == self.until:
                self.happens()
            yield batch


@pytest.mark.parametrize("epoch", [0, 1])
def test_asked_while_it_waits_for_a_batch(tmp_path, uninterrupted, epoch):
    """Nothing is in hand: it need not come, from a worker that is stopped or hangs in a read."""

    def wait():
        ask()()
        time.sleep(60)

    run = Run(tmp_path, loader=lambda sampler: Waits(sampler, (epoch, 1), wait))
    with pytest.raises(KeyboardInterrupt, match=f"step {3 * epoch + 1} is kept"):
        run()
    run.loader = None
    assert same(run().result(), uninterrupted.result())
    assert run.log() == uninterrupted.log()


def test_asked_before_the_first_batch_nothing_is_kept(tmp_path):
    run = Run(tmp_path, loader=lambda sampler: Waits(sampler, (0, 0), ask()))
    with pytest.raises(KeyboardInterrupt, match="before the first step; the same command begins anew"):
        run()
    assert run.steps() == []


def test_workers_that_are_lost_again_and_again_end_it_with_a_checkpoint(tmp_path, uninterrupted):
    def lose():
        raise WorkerError("a reading process was lost 3 times")

    run = Run(tmp_path, loader=lambda sampler: Waits(sampler, (1, 2), lose))
    with pytest.raises(WorkerError, match="lost 3 times"):
        run()
    assert run.steps() == [3, 5]
    assert run.loop.train_set.closed
    run.loader = None
    assert same(run().result(), uninterrupted.result())
    assert run.log() == uninterrupted.log()


def test_several_processes_stop_after_one_step(tmp_path):
    """Whoever is asked, and without waiting for a line of the log."""
    for step, settings in ((4, {"at": {4: ask()}}), (2, {"team": Others(asked_at=2)})):
        with pytest.raises(KeyboardInterrupt, match=f"step {step} is kept"):
            Run(tmp_path / str(step), Accelerator(num_processes=2), log_every=100, **settings)()


def test_a_signal_is_spoken_of_when_the_step_is_done(tmp_path, capsys):
    """Not in its handler, which may have interrupted a print."""
    said = []

    def press():
        ask()()
        said.append(capsys.readouterr().err)

    with pytest.raises(KeyboardInterrupt):
        Run(tmp_path, at={3: press}, log_every=100)()
    assert said == [""]
    assert capsys.readouterr().err == "stopping when this epoch is tested and kept; another Ctrl-C stops at once\n"


def test_the_main_process_chooses_the_checkpoint(tmp_path):
    """One that another process would take for damaged, or does not see yet."""
    run = Run(tmp_path, checkpoint_every=1, at={6: ask()})
    with pytest.raises(KeyboardInterrupt):
        run()
    again = Run(tmp_path, team=Others(newest=(tmp_path / "checkpoints/step_5", 5)), at={6: lambda: 1 / 0})
    with pytest.raises(ZeroDivisionError):
        again()


def test_a_mistake_in_a_batch_ends_all_processes(tmp_path, monkeypatch):
    """That of the other one; this one has no reason to stop."""

    class Broken(Team):
        def check(self, mine):
            assert mine is None
            raise VideoError("the other's")

    with pytest.raises(VideoError, match=r"^the other's$"):
        Run(tmp_path, team=Broken())()


def test_a_loader_that_cannot_start_is_told_to_all_processes(tmp_path):
    class Heard(Team):
        def check(self, mine):
            raise VideoError(f"told to all: {mine}")

    class Refusing:
        def __iter__(self):
            raise ConfigError("no shared memory")

    run = Run(tmp_path, team=Heard(), loader=lambda sampler: Refusing())
    with pytest.raises(VideoError, match=r"^told to all: no shared memory$"):
        run()


def test_killed_without_a_word(tmp_path, uninterrupted):
    """It goes on from the last checkpoint, and what it logged since is written anew."""
    run = Run(tmp_path, checkpoint_every=4, at={6: lambda: 1 / 0})
    with pytest.raises(ZeroDivisionError):
        run()
    assert run.steps() == [3, 4]
    assert run.log()[-1]["step"] == 4
    run.at = {}
    assert same(run().result(), uninterrupted.result())
    assert run.log() == uninterrupted.log()


def test_a_damaged_checkpoint_is_passed_over(tmp_path, uninterrupted, caplog):
    run = Run(tmp_path, checkpoint_every=1, at={6: ask()})
    with pytest.raises(KeyboardInterrupt):
        run()
    newest = tmp_path / "checkpoints/step_6/state.pt"
    newest.write_bytes(newest.read_bytes()[:-100])
    run.at = {step: lambda: pytest.fail("step 5 is there") for step in range(1, 6)}
    assert same(run().result(), uninterrupted.result())
    assert run.log() == uninterrupted.log()
    assert "this checkpoint is passed over" in caplog.text


def test_some_epochs_are_kept_for_good(tmp_path):
    assert Run(tmp_path / "one", keep_epochs=1)().steps() == [3, 6, 9]
    assert Run(tmp_path / "two", keep_epochs=2, checkpoint_every=1)().steps() == [6, 8, 9]


@pytest.mark.parametrize(("top1", "best"), [([10.0, 30.0, 20.0], 6), ([0.0, 0.0, 0.0], 3), ([1.0, 2.0, 3.0], 9)])
def test_the_best_epoch_is_kept_and_found_again(tmp_path, top1, best):
    run = Run(tmp_path, top1=top1)()
    assert os.readlink(tmp_path / "checkpoints/best") == f"step_{best}"
    assert run.loop.state.best == max(top1)
    assert best in run.steps()
    momentum = run.optimizer.state_dict()
    run.loop.load_best()
    saved = torch.load(tmp_path / f"checkpoints/step_{best}/state.pt", weights_only=True)
    assert same(run.model.state_dict(), saved["model"])
    assert same(run.optimizer.state_dict(), momentum)
    assert [line["val_top1"] for line in run.log() if line["event"] == "epoch"] == top1


def test_the_best_survives_an_interruption(tmp_path):
    run = Run(tmp_path, top1=[30.0, 10.0, 20.0], at={5: ask()})
    with pytest.raises(KeyboardInterrupt):
        run()
    run.at = {}
    run()
    assert os.readlink(tmp_path / "checkpoints/best") == "step_3"


def test_killed_between_a_checkpoint_and_the_mark_of_the_best(tmp_path, monkeypatch):
    def mark(run_dir, name, step):
        if (name, step) == ("best", 6):
            raise ZeroDivisionError
        set_mark(run_dir, name, step)

    set_mark = checkpoints.mark
    monkeypatch.setattr(checkpoints, "mark", mark)
    run = Run(tmp_path, top1=[10.0, 30.0, 20.0])
    with pytest.raises(ZeroDivisionError):
        run()
    assert os.readlink(tmp_path / "checkpoints/best") == "step_3"
    monkeypatch.setattr(checkpoints, "mark", set_mark)
    run().loop.load_best()
    saved = torch.load(tmp_path / "checkpoints/step_6/state.pt", weights_only=True)
    assert same(run.model.state_dict(), saved["model"])
    assert os.readlink(tmp_path / "checkpoints/best") == "step_6"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_the_run(tmp_path, value):
    run = Run(tmp_path, loss_at={5: value}, checkpoint_every=3)
    with pytest.raises(FloatingPointError, match=r"step 6: .* NaN or infinite .*; lower optim\.lr and start anew"):
        run()
    assert run.steps() == [3]


def test_unreadable_videos_are_counted(tmp_path, uninterrupted):
    sampler = TrainBatches(VIDEOS, BATCH, seed=3)
    expected = []
    for epoch in range(EPOCHS):
        sampler.seek(epoch)
        expected.append(sum(request.row < 4 for batch in sampler for request in batch))
    assert [line["failed_videos"] for line in uninterrupted.log() if line["event"] == "epoch"] == expected
    # Those of the other processes too: here one more, in the one epoch that is brought to its end.
    run = Run(tmp_path, Accelerator(num_processes=2, others_failed=1), Others(asked_at=3))
    with pytest.raises(KeyboardInterrupt):
        run()
    assert run.log()[-1]["failed_videos"] == expected[0] + 1


def test_device_hours_are_of_the_processes_of_each_start(tmp_path, monkeypatch):
    """One process stops after half an hour; four others go on for half an hour and for an hour.

    Saving the last checkpoint takes half an hour, and so does the final test; the one that stopped loses that time.
    """

    class Four(Team):
        def __init__(self):
            super().__init__()
            self.world_size = 4

        def by_main(self, work):
            return work()

        def anyone(self, mine):
            return mine

        def check(self, mine):
            assert mine is None

    for team, at in ((Team(), {4: ask()}), (Four(), {})):
        clock = count(0, 1800)  # seconds: each look at it is half an hour after the one before
        monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda clock=clock: next(clock)))
        run = Run(tmp_path, team=team, at=at, log_every=100)
        if at:
            with pytest.raises(KeyboardInterrupt):
                run()
            kept = run.loop.result("toy")["device_hours"] - (0.5 + 0.5)
    assert run().loop.result("toy")["device_hours"] == kept + 4 * (0.5 + 1.0 + 0.5 + 0.5)


def test_other_processes_write_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    # The main process, which makes a checkpoint's folder, is not there: nothing must be put into it.
    monkeypatch.setattr(torch, "save", lambda *args: pytest.fail("saved"))
    monkeypatch.setattr(checkpoints, "mark", lambda *args: pytest.fail("marked"))
    monkeypatch.setattr(checkpoints, "prune", lambda *args, **kwargs: pytest.fail("pruned"))
    Run(tmp_path, top1=[1.0, 2.0, 3.0])()
    assert not list(tmp_path.iterdir())
