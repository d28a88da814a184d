"""Save and restore the state of a training run: finite values only, in checkpoints that the disk can hold."""

import json
import os
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
"""Newest checkpoints that are kept, besides the best one and those kept for good."""

REMEDY = "lower optim.lr and start anew in another --run_dir"
"""What to do if a run's loss or weights become NaN or infinite."""


class Kept(Protocol):
    """What has a state that checkpoints keep: a module, an optimizer, a scaler."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""
        ...

    def load_state_dict(self, state: dict[str, Any], /) -> object:
        """Restore the state."""
        ...


class Keeper:
    """The checkpoints of a run: resumes from the newest sound one, and writes new ones.

    Args:
        run: its folder, accelerator and processes.
        model: the module as the stage built it, so that names in a checkpoint do not depend on wrapping or compiling.
        optimizer: as the accelerator prepared it.
        state: where the run stands; filled from the checkpoint that is found.
        epoch_steps: steps of an epoch.
        keep_epochs: checkpoints of every so many epochs are kept for good.

    Attributes:
        step: of the newest checkpoint; 0 before there is one.
        at_once: most checkpoints that will be on the disk at the same time; set by `check_room`, in the main process.
        started_over: whether there are checkpoints, but none is sound.
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
            if not self.team.by_main(self._mark_best):
                state.best = state.best_epoch = None
        check_replicas(model, self.team, self.step)

    def save(self, best: bool = False) -> None:
        """Write a checkpoint of the current state; all processes must call it.

        Raises:
            FloatingPointError: some of it is NaN or infinite, and it is not written.
            DiskError, ConfigError: the disk refuses.
            LostError: the run's folder was removed or renamed.
            MachineError: the states of the processes have come to differ.
        """
        self.run.check_there()
        check_replicas(self.model, self.team, self.state.step)
        step, run = self.state.step, self.state.state_dict(self.accelerator.gather)
        parts = {name: plain(part.state_dict()) for name, part in self._parts().items()} if is_main() else {}
        if faults := self.team.by_main(lambda: not_finite({**parts, "run": run})):
            raise FloatingPointError(
                f"step {step}: the state of the training has become NaN or infinite ({faults}); {self.remedy()}"
            )
        # Not accelerate's save_state: what it writes with one process cannot be loaded with several, nor the reverse.
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
            LostError: the run's folder was removed or renamed.
        """
        self.run.check_there()
        folder, _ = self.team.by_main(lambda: checkpoints.marked(self.run_dir, "best"))
        self.model.load_state_dict(_read(folder)["model"])

    def remedy(self) -> str:
        """Return what to do if the run's loss or weights have become NaN or infinite."""
        if not self.step:
            return REMEDY
        return f"{REMEDY}; the checkpoint of step {self.step} is sound, and the same command goes on from there"

    def size(self) -> int:
        """Return the bytes of a checkpoint, as far as known in advance: weights, and what the optimizer keeps."""
        kept: int = sum(
            (2 if "betas" in group else 1) * weight.nbytes  # Adam also keeps the mean square
            for group in self.optimizer.param_groups
            for weight in group["params"]
        )
        weights: int = sum(value.nbytes for value in self.model.state_dict().values())
        return kept + weights

    def check_room(self, to_come: int, total: int, *, best: bool) -> None:
        """Check that the disk can hold the checkpoints to come; main process only.

        Args:
            to_come: checkpoints that will be written.
            total: steps of the run.
            best: whether one of them is kept as the best.

        Raises:
            DiskError: it cannot.
        """
        there = sum(step % self.keep_steps > 0 for step, _ in found(self.run_dir))
        replaced = min(there, NEWEST + best)  # by those to come, one by one
        for_good = (total - 1) // self.keep_steps - self.state.step // self.keep_steps  # before the last one is written
        self.at_once, size = min(replaced + to_come, for_good + NEWEST + best + 1), self.size()
        needed = max(0, self.at_once - replaced) * size
        disk = shutil.disk_usage(self.run_dir)
        if disk.total and needed > disk.free:
            raise DiskError(
                f"{self.run_dir}: its disk has {megabytes(disk.free)} left, and {megabytes(needed)} are needed for "
                f"the run's checkpoints, {self.at_once} of {megabytes(size)} at a time; make room on it, then give the "
                "same command again"
            )

    def _about(self, step: int) -> dict[str, Any] | None:
        """Describe the network for those who use the checkpoint as weights; None if it is not one of rspnet's."""
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

    def _mark_best(self) -> bool:
        """Link the best checkpoint, in case the run was killed after writing it and before linking it.

        Returns:
            Whether it is there, if there was one. It is not if a better one of a later epoch took its place, and is
            damaged and passed over: that epoch is about to be done again, and to become the best one again.

        Raises:
            CheckpointError: it is damaged; otherwise that would be noticed only at the end, when it is tested.
        """
        step, link = (self.state.best_epoch or 0) * self.epoch_steps, self.run_dir / "checkpoints" / "best"
        if step == 0:
            return True
        if link.with_name(f"step_{step}").is_dir():
            with writing_to(link):
                checkpoints.mark(self.run_dir, "best", step)
        elif link.is_symlink() and os.readlink(link) != f"step_{step}":
            say(f"{link}: the epochs up to the best one are done again")
            return False
        checkpoints.marked(self.run_dir, "best")
        return True

    def _parts(self) -> dict[str, Kept]:
        parts: dict[str, Kept] = {"model": self.model, "optimizer": self.optimizer}
        scaler = self.accelerator.scaler  # with float16 only
        return parts if scaler is None else {**parts, "scaler": scaler}


def _read(folder: Path) -> dict[str, Any]:
    """Return a checkpoint's contents."""
    # To the CPU: on the next start a process's device may be missing, or unknown by its name ("cpu:1").
    saved: dict[str, Any] = torch.load(folder / STATE, map_location="cpu", weights_only=True)
    return saved


def state_fault(folder: Path) -> str | None:
    """Return why a run cannot resume from a checkpoint whose files match its manifest; None if it can."""
    try:
        faults = not_finite(_read(folder))
    except MemoryError:
        raise
    except Exception as error:  # torch raises all sorts
        return f"its state.pt cannot be loaded ({type(error).__name__})"
    return f"its state.pt has NaN or infinite values ({faults})" if faults else None
