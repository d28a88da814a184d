"""Where a run's curves go besides metrics.jsonl: accelerate's trackers, which can neither end nor change the run."""

import atexit
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from rspnet.console import is_main, say
from rspnet.running import tensorboard
from rspnet.running.undisturbed import undisturbed

if TYPE_CHECKING:
    from accelerate import Accelerator

Picture = npt.NDArray[np.uint8]


class Tracker(Protocol):
    """One of accelerate's trackers; some also have `log_images`.

    Attributes:
        name: accelerate's name of it.
    """

    name: str

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        """Store the run's options."""
        ...

    def log(self, values: dict[str, float], step: int) -> None:
        """Log values by name."""
        ...

    def finish(self) -> None:
        """Send what is left to send, and end."""
        ...


class Trackers:
    """The trackers of a run, each of which gets the run's options at its start.

    One that fails, at any moment, is reported once and left out from then on.

    Args:
        accelerator: accelerate's, with the trackers' names as `log_with`.
        run_dir: the run's folder, whose name is the run's.
        options: of the run, flat.
        chance: values of terms for a network that has learnt nothing; sent along with them, as ``chance_TERM``.
    """

    def __init__(
        self,
        accelerator: "Accelerator",
        run_dir: Path,
        options: Mapping[str, object],
        *,
        chance: Mapping[str, float] | None = None,
    ) -> None:
        self._accelerator = accelerator
        self._trackers: list[Tracker] = []
        self._chance = dict(chance or {})
        told = {
            name: value if isinstance(value, bool | int | float | str) else str(value)
            for name, value in options.items()
        }
        for name in list(accelerator.log_with or ()):
            with self._guarded(str(name)):
                self._trackers.append(self._begin(name, run_dir, told))
        if self._trackers:  # some print at exit; what is registered after them runs before
            atexit.register(_leave_stdout)
        # Accelerate is to know of none: it would end them once more, unguarded.
        accelerator.trackers = []

    def _begin(self, name: Any, run_dir: Path, options: dict[str, Any]) -> Tracker:
        """Start one of them alone: if accelerate starts several, the first that fails stops the others."""
        accelerator, every = self._accelerator, self._accelerator.log_with
        own = {"wandb": {"name": run_dir.name, "dir": str(run_dir)}, "trackio": {"name": run_dir.name}}
        project = "tensorboard" if str(name) == "tensorboard" else "rspnet"  # TensorBoard's is the folder's name
        try:
            accelerator.trackers, accelerator.log_with = [], [name]
            accelerator.init_trackers(project, init_kwargs=own)
            begun: Tracker = accelerator.trackers[0]
        finally:
            accelerator.log_with = every
        if not is_main():
            return begun
        if begun.name == "tensorboard":
            tensorboard.begin(begun, options, self._chance)
        else:
            begun.store_init_configuration(options)
        return begun

    def __bool__(self) -> bool:
        return bool(self._trackers)

    def log(self, values: dict[str, float], step: int) -> None:
        """Send values, by names like ``epoch/loss``, to all trackers that are left, with their values by chance."""
        chance = {}
        for name in values:
            event, _, term = name.rpartition("/")
            if term in self._chance:
                chance[f"{event}/chance_{term}"] = self._chance[term]
        self._each(lambda tracker: tracker.log({**values, **chance}, step=step))

    def show(self, name: str, picture: Picture, step: int) -> None:
        """Send a picture (height, width, 3) to the trackers that take pictures."""

        def send(tracker: Tracker) -> None:
            if (take := getattr(tracker, "log_images", None)) is None:
                return
            if tracker.name == "tensorboard":
                take({name: picture[None]}, step=step, dataformats="NHWC")
            else:  # these two take one picture for a name, the others a list
                take({name: picture if tracker.name in ("aim", "clearml") else [picture]}, step=step)

        self._each(send)

    def embed(self, name: str, features: npt.NDArray[np.float32], rows: Sequence[tuple[str, str]]) -> None:
        """Send features (N, D) to TensorBoard's projector.

        Args:
            name: what to call them.
            features: of the videos.
            rows: N pairs of the class and the name of the video.
        """

        def send(tracker: Tracker) -> None:
            if tracker.name == "tensorboard" and is_main():
                tensorboard.embed(tracker, name, features, rows=rows)

        self._each(send)

    def finish(self, result: Mapping[str, object], step: int) -> None:
        """Send the numbers of a result as ``result/NAME``, which TensorBoard shows beside the options; then end all."""
        numbers = {
            f"result/{name}": float(value)
            for name, value in result.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        self._each(lambda tracker: tracker.log(numbers, step=step))
        self.close()

    def close(self) -> None:
        """End the trackers; what they still have to send is sent."""
        self._each(lambda tracker: tracker.finish())
        self._trackers = []

    def _each(self, act: Callable[[Tracker], object]) -> None:
        for tracker in list(self._trackers):
            with self._guarded(tracker.name, tracker):
                act(tracker)

    @contextmanager
    def _guarded(self, name: str, tracker: Tracker | None = None) -> Iterator[None]:
        """Report a tracker that fails in the block, and drop it; the run's random numbers stay as they were."""
        try:
            with undisturbed(), redirect_stdout(sys.stderr):  # some print a greeting; stdout is for results
                yield
        except (Exception, SystemExit) as error:  # they raise all sorts of errors: of the disk, the network, their own
            said = " ".join(str(error).split())[:200] or type(error).__name__
            say(f"tracker {name}: failed ({said}); the run goes on without it, and metrics.jsonl has every value")
            if tracker in self._trackers:
                self._trackers.remove(tracker)


def _leave_stdout() -> None:
    """Send whatever is still printed to stderr: the last line of stdout is the result."""
    sys.stdout = sys.stderr
