"""What a training run keeps of its state: sound checkpoints only, which the disk can hold, and how it comes back."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn

from rspnet.console import is_main, say
from rspnet.disk import created, megabytes, needing, writing_to
from rspnet.errors import CheckpointError, DiskError
from rspnet.running import checkpoints
from rspnet.running.layout import lay_out_like_weights, plain
from rspnet.running.record import stage_of
from rspnet.running.replicas import check_replicas
from rspnet.running.state import RunState
from rspnet.weights.finite import not_finite
from rspnet.weights.load import describe_network
from rspnet.weights.manifest import NETWORK, STATE, found

if TYPE_CHECKING:
    from accelerate.optimizer import AcceleratedOptimizer

    from rspnet.running.folder import Run

NEWEST = 2
"""Checkpoints that are kept beside the best one, and those kept for good."""

REMEDY = "lower optim.lr and start anew in another --run_dir"
"""What to do where a run's numbers are none any more."""


class Kept(Protocol):
    """What a checkpoint keeps the state of: a module, an optimizer, a scaler."""

    def state_dict(self) -> dict[str, Any]:
        """All of it."""
        ...

    def load_state_dict(self, state: dict[str, Any], /) -> object:
        """The reverse."""
        ...


class Keeper:
    """The checkpoints of a run: it goes on from the newest sound one, and adds others.

    Args:
        run: its folder, accelerator and processes.
        model: the module as the stage built it: names in a checkpoint do not depend on who wrapped or compiled it.
        optimizer: what the accelerator prepared.
        state: where the run stands; filled from the checkpoint that is found.
        epoch_steps: steps of an epoch.
        keep_epochs: checkpoints of every so many epochs are kept for good.

    Attributes:
        step: of the newest checkpoint; 0 before there is one.
        at_once: checkpoints that will lie on the disk together, once `check_room` has looked; of the main process.
        started_over: whether there are checkpoints, and none is sound.
    """

    def __init__(
        self,
        run: "Run",
        model: nn.Module,
        optimizer: "AcceleratedOptimizer",
        *,
        state: RunState,
        epoch_steps: int,
        keep_epochs: int,
    ) -> None:
        self.run = run
        self.accelerator, self.team, self.run_dir = run.accelerator, run.team, run.run_dir
        self.model, self.optimizer, self.state = model, optimizer, state
        self.epoch_steps = epoch_steps
        self.keep_steps = keep_epochs * epoch_steps
        self.step = self.at_once = 0
        newest = run.newest
        self.started_over = newest is None and self.team.by_main(lambda: bool(found(self.run_dir)))
        if newest:
            folder, self.step = newest
            self._load(folder)
            say(f"going on from {folder}")
            self.team.by_main(self._mark_best)
        check_replicas(model, self.team, self.step)

    def save(self, best: bool = False) -> None:
        """Keep the state as it is now; all processes call it.

        Raises:
            FloatingPointError: some of it is no number, and it is not kept.
            DiskError, ConfigError: the disk refuses.
            LostError: the run's folder is not there any more.
            MachineError: the processes have come to differ.
        """
        self.run.check_there()
        check_replicas(self.model, self.team, self.state.step)
        step, run = self.state.step, self.state.state_dict(self.accelerator.gather)
        parts = {name: plain(part.state_dict()) for name, part in self._parts().items()} if is_main() else {}
        if faults := self.team.by_main(lambda: not_finite({**parts, "run": run})):
            raise FloatingPointError(
                f"step {step}: the weights or their momentum are no numbers any more ({faults}); {self.remedy()}"
            )
        # Not accelerate's save_state: its files of one process do not load into several, nor the reverse.
        with (
            needing(self.size()),
            checkpoints.writing(
                self.run_dir, step, is_main=is_main(), wait=self.accelerator.wait_for_everyone
            ) as folder,
        ):
            if is_main():
                with created(folder / STATE) as file:
                    torch.save({**parts, "run": run}, file)
                if about := self._about(step):
                    (folder / NETWORK).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        self.step = step
        if is_main():
            if best:
                checkpoints.mark(self.run_dir, "best", step)
            kept = range(self.keep_steps, step + 1, self.keep_steps)
            checkpoints.prune(self.run_dir, keep=NEWEST, keep_steps=kept)

    def load_best(self) -> None:
        """Put the weights of the best epoch into the model; the run's other state stays.

        Raises:
            CheckpointError: they are damaged.
            LostError: the run's folder is not there any more.
        """
        self.run.check_there()
        folder, _ = self.team.by_main(lambda: checkpoints.marked(self.run_dir, "best"))
        self.model.load_state_dict(_read(folder)["model"])

    def remedy(self) -> str:
        """What to do where the run's numbers are none any more."""
        if not self.step:
            return REMEDY
        return f"{REMEDY}; the checkpoint of step {self.step} is sound, and the same command goes on from there"

    def size(self) -> int:
        """Bytes of a checkpoint, as far as they are known before there is one: weights, and what is kept for each."""
        kept: int = sum(
            (2 if "betas" in group else 1) * weight.nbytes  # of Adam also the mean square
            for group in self.optimizer.param_groups
            for weight in group["params"]
        )
        weights: int = sum(value.nbytes for value in self.model.state_dict().values())
        return kept + weights

    def check_room(self, to_come: int, total: int, *, best: bool) -> None:
        """See that the disk can hold what the run is about to keep; for the main process.

        Args:
            to_come: checkpoints that will be written.
            total: steps of the run.
            best: whether one of them is kept as the best.

        Raises:
            DiskError: it cannot.
        """
        for_good = total // self.keep_steps - self.state.step // self.keep_steps
        self.at_once, size = min(to_come, max(NEWEST + 1 + best, for_good)), self.size()
        there = found(self.run_dir)
        needed = max(0, self.at_once - min(len(there), NEWEST + best)) * size
        disk = shutil.disk_usage(self.run_dir)
        if disk.total and needed > disk.free:
            raise DiskError(
                f"{self.run_dir}: its disk has {megabytes(disk.free)} left, and {megabytes(needed)} are needed for "
                f"the run's checkpoints, {self.at_once} of {megabytes(size)} at a time; make room on it, then give the "
                "same command again"
            )

    def _about(self, step: int) -> dict[str, Any] | None:
        """What is to be known of the network by who uses the checkpoint as weights; None: it is no encoder of ours."""
        config = self.run.config
        if (network := describe_network(self.model, config.get("clips", {}))) is None:
            return None
        course = {"stage": stage_of(config), "step": step, "epoch": step // self.epoch_steps}
        return {**network, "provenance": course | self.run.facts}

    def _load(self, folder: Path) -> None:
        saved = _read(folder)
        try:
            for name, part in self._parts().items():
                part.load_state_dict(saved[name])
            lay_out_like_weights(self.optimizer.state)
            self.state.load_state_dict(saved["run"], self.accelerator.process_index, self.accelerator.num_processes)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, IndexError) as error:
            said = str(error).splitlines()[0][:200]
            raise CheckpointError(
                f"{folder}: is of another network or another version ({said}); remove it to go on from the one before, "
                "or choose another --run_dir"
            ) from error

    def _mark_best(self) -> None:
        """Who was killed between a checkpoint and the mark that it is the best one had no time to set that.

        Raises:
            CheckpointError: the best one is damaged; nobody would know before the end, when it is to be tested.
        """
        if step := (self.state.best_epoch or 0) * self.epoch_steps:
            if (self.run_dir / "checkpoints" / f"step_{step}").is_dir():
                with writing_to(self.run_dir / "checkpoints" / "best"):
                    checkpoints.mark(self.run_dir, "best", step)
            checkpoints.marked(self.run_dir, "best")

    def _parts(self) -> dict[str, Kept]:
        parts: dict[str, Kept] = {"model": self.model, "optimizer": self.optimizer}
        scaler = self.accelerator.scaler  # there with float16 only
        return parts if scaler is None else {**parts, "scaler": scaler}


def _read(folder: Path) -> dict[str, Any]:
    """A checkpoint's contents."""
    # To the CPU: a process's device may not be there in the next start, nor be known by its name ("cpu:1").
    saved: dict[str, Any] = torch.load(folder / STATE, map_location="cpu", weights_only=True)
    return saved


def state_fault(folder: Path) -> str | None:
    """What keeps a run from going on from a checkpoint that is as it was written; None if nothing does."""
    try:
        faults = not_finite(_read(folder))
    except MemoryError:
        raise
    except Exception as error:  # torch raises all sorts
        return f"its state.pt cannot be loaded ({type(error).__name__})"
    return f"no numbers are in its state.pt ({faults})" if faults else None
