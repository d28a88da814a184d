"""The folder of a run: who may write to it, what it is told at the start, and the result at the end."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rspnet.cli.config import dump
from rspnet.console import is_main, say
from rspnet.disk import make_folder, sha256, write_json, write_text, writing_to
from rspnet.errors import CheckpointError, ConfigError, LostError, RSPNetError
from rspnet.running import sources
from rspnet.running.checkpoints import latest
from rspnet.running.environment import environment
from rspnet.running.launch import check_accumulation, processes
from rspnet.running.place import Place, held, unmake
from rspnet.running.record import FREE, FREE_IN_PRETRAINING, flat, read_options, stage_of
from rspnet.running.results import rounded, summary
from rspnet.running.soundness import check_kinds, seal, sound_result
from rspnet.running.sources import START_AGAIN, other_run
from rspnet.running.team import Team
from rspnet.running.telling import closing
from rspnet.stdout import print_json
from rspnet.temporary import sweep
from rspnet.weights.description import named_weights

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from accelerate import Accelerator

    from rspnet.running.trackers import Trackers
    from rspnet.weights.read import WeightFile

Config = TypeVar("Config", bound="DataclassInstance")

# Of these not the words count but what is there: see rspnet/running/sources.py.
_NAMES = ("data.root", "data.index", "data.layout", "weights", "features")


@dataclass
class Run:
    """A run under way: its folder, its processes, and what its number comes from.

    Args:
        accelerator: see below.
        team: see below.
        facts: see below; ``data_fingerprint`` only where the run goes on.
        run_dir: the run's folder.
        config: the resolved options.
        place: the run's folder as it was when the run began, of the main process.

    Attributes:
        accelerator: accelerate's.
        team: the processes of the run.
        facts: what its number comes from beside its options, for its result: ``weights_sha256`` (None: fresh ones),
            ``data_fingerprint``, ``fold``, ``seed``, ``precision``, ``processes``, ``device``.
        trackers: where its curves go, once it trains.
    """

    accelerator: "Accelerator"
    team: Team
    facts: dict[str, Any]
    run_dir: Path
    config: dict[str, Any]
    place: Place | None = None
    trackers: "Trackers | None" = None

    @cached_property
    def newest(self) -> tuple[Path, int] | None:
        """The checkpoint that the run goes on from, as (folder, step); None where it begins. All processes ask."""
        from rspnet.running.keeper import state_fault  # which loads torch

        return self.team.by_main(lambda: latest(self.run_dir, state_fault))

    def keep_videos(self) -> Path:
        """Write down a new run's videos, and what else its number comes from; all processes wait for it.

        Apart from the rest since a walk through a large folder takes minutes: mistakes are looked for before.

        Returns:
            The run's own index.

        Raises:
            ConfigError: the videos are not usable; or a process does not see the run's folder.
        """
        from rspnet.data.fetched import bound

        path = self.run_dir / "index.parquet"
        bound(self.config["data"]["cache_gb"])

        def keep() -> str:
            fingerprint = sources.keep_videos(path, self.config)
            facts = self.facts | {"data_fingerprint": fingerprint}
            write_json(self.run_dir / "environment.json", environment() | {"sources": facts})
            return fingerprint

        if "data_fingerprint" not in self.facts:
            self.facts["data_fingerprint"] = self.team.by_main(keep)
        shared = "the main process has it, and this one does not see it; put --run_dir on a disk that all of them share"
        self.team.check(None if path.is_file() else ConfigError(f"{path}: {shared}"))
        return path

    def read_weights(self) -> "WeightFile | None":
        """Read the weights that the run begins with; None: fresh ones, or it goes on from a checkpoint of its own.

        Raises:
            CheckpointError: they cannot be used, or are others than those that the run has written down.
        """
        from rspnet.weights.read import read_weights

        if (named := named_weights(self.config["weights"])) is None or self.newest is not None:
            return None
        weights = read_weights(named)
        if sha256(weights.path) != self.facts["weights_sha256"]:
            raise CheckpointError(f"{weights.path}: was replaced while this run began; give the same command again")
        return weights

    def check_there(self) -> None:
        """See that the run's folder is where it was, before more is written: it would be made anew. All processes ask.

        Raises:
            LostError: it is not.
        """
        self.team.by_main(self._check_place)

    def _check_place(self) -> None:
        if self.place:
            self.place.check()

    def write_lines(self, name: str, lines: Iterable[dict[str, Any]]) -> None:
        """Write a .jsonl file of the run, one object to a line; from the main process."""
        if is_main():
            self._check_place()
            write_text(self.run_dir / name, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def run_once(
    run_dir: str | Path,
    config: Config,
    work: Callable[[Config, Run], dict[str, Any]],
    *,
    start: Callable[[], "Accelerator"],
    report: Callable[[Path], None] | None = None,
) -> dict[str, Any]:
    """Do a run's work unless it is done, say its result and its folder, print it as one line on stdout, and return it.

    A run that is done, or half done, is this one if its options are the same, and the weights it began with, its videos
    and its precision as well. Number of processes and device may be others: they move a number by rounding alone.

    Args:
        run_dir: the run's folder; see `open_run`.
        config: the resolved options.
        work: does it with these, and returns the result, which is rounded and kept as result.json.
        start: makes the accelerator, see `processes`.
        report: leaves a report in the folder of a run that is done, and never fails; None: there is none.

    Raises:
        ConfigError: the folder is not this run's, or not free; or the videos are not there; or accelerate was told
            what cannot be done.
        LostError: the folder was removed, or renamed, on the way.
    """
    check_accumulation()
    place, options, precision = Path(run_dir), dataclasses.asdict(config), sources.precision()
    team, accelerator_of = processes(start)
    with contextlib.ExitStack() as stack:

        def claim() -> tuple[Path, str | None, dict[str, Any] | None, dict[str, Any]]:
            named = sources.settle(place, options, begun=(begun := _has_begun(place)))
            options.update(dataclasses.asdict(told := _with_weights(config, named)))
            if not begun:
                sources.check_named(options)
            begun = stack.enter_context(open_run(place, options, dump(told)))
            result = sound_result(place, options) if begun else None
            if begun:
                return place, named, result, sources.compare(place, options, precision, result=result)
            return place, named, None, sources.begin(place, options, precision)

        place, named, result, facts = team.by_main(claim)  # another run's newest checkpoint moves while they start
        config = _with_weights(config, named)
        options = dataclasses.asdict(config)
        if result is not None:
            say(f"{place}: this was done before; remove the folder to do it again")
            result |= {name: now for name, now in _names(place, options).items() if name in result}
        else:
            accelerator = accelerator_of()
            facts |= {"processes": accelerator.num_processes, "device": accelerator.device.type}
            here = stack.enter_context(Place(place)) if is_main() else None
            run = Run(accelerator, team, facts, place, options, here)
            result = rounded(work(config, run))
            run.check_there()
            if is_main():
                write_json(place / "result.json", result)
                seal(place)
            run.check_there()
            if options["run"].get("trackers"):
                from rspnet.running import tracked  # which loads what draws

                tracked.finish(run, result)
            accelerator.end_training()
            if is_main() and report is not None:
                report(place)
    if is_main():
        say(*summary(result).splitlines(), *closing(options, place))
        say(f"written to {place}")
        print_json(result)
    return result


def _with_weights(config: Config, named: str | None) -> Config:
    """The config with its weights by another name; itself where that is no other."""
    return config if getattr(config, "weights", None) == named else dataclasses.replace(config, weights=named)


@contextlib.contextmanager
def open_run(run_dir: Path, config: dict[str, Any], config_yaml: str) -> Iterator[bool]:
    """Hold the run folder; new, it gets `config.yaml`, existing, it must be of these options. For the main process.

    A run that ended before its first checkpoint, over a mistake in its options or its data for example, left nothing to
    protect: it begins anew with the options and the videos of now. Such a run's folder is known by its lock, which
    no other folder gets: a config.yaml or an index that somebody else put there is not replaced. A folder that is made
    for a command which is refused in the end goes again.

    Yields:
        Whether it has begun before.

    Raises:
        ConfigError: another live process writes to it, or it holds a run with other options or somebody's files,
            or cannot be made.
        CheckpointError: what is in it is no run's.
        DiskError: its disk is full, or read-only.
    """
    made = list(takewhile(lambda folder: not os.path.lexists(folder), (run_dir, *run_dir.parents)))  # innermost first
    make_folder(run_dir, "choose another --run_dir")
    path, lock = run_dir / "config.yaml", run_dir / ".lock"
    with writing_to(run_dir):
        empty = all(entry.name.startswith(".") for entry in run_dir.iterdir())
    if _has_begun(run_dir) and not path.exists():
        raise CheckpointError(f"{path}: is missing, which tells the run's options; copy it again, or {START_AGAIN}")
    if not empty and not (path.exists() and (lock.exists() or _has_begun(run_dir))):
        raise ConfigError(f"{run_dir}: is no run folder, and not empty; choose another --run_dir")
    try:
        check_kinds(run_dir)
        with held(run_dir, lock):
            sweep(run_dir)
            begun = _has_begun(run_dir)
            if not begun:
                (run_dir / "index.parquet").unlink(missing_ok=True)
                write_text(path, config_yaml)
            elif other := _difference(path, config):
                raise other_run(run_dir, other)
            yield begun
    except LostError:  # what has its name now is another's
        raise
    except RSPNetError:
        unmake(run_dir, made)
        raise


def _names(run_dir: Path, options: dict[str, Any]) -> dict[str, Any]:
    """What a result calls by a name that may have changed: a run's folder is copied, its weights lie elsewhere."""
    names = {"run_dir": str(run_dir), "weights": options.get("weights")}
    return {name: now for name, now in names.items() if now is not None}


def _has_begun(run_dir: Path) -> bool:
    """Whether there is something of a run to protect."""
    return any((run_dir / name).exists() for name in ("checkpoints", "result.json"))


def _difference(path: Path, config: dict[str, Any]) -> str | None:
    """The first option that is not what it was when the run began, and changes what it computes."""
    before, now = flat(read_options(path, START_AGAIN)), flat(config)
    if (stage := stage_of(before)) != stage_of(now):  # nothing is said of removing it: --weights may name it
        if stage is None:
            raise CheckpointError(f"{path}: does not tell the run's options (only some); {START_AGAIN}")
        raise ConfigError(f"{path.parent}: holds another kind of run ({stage}); choose another --run_dir")
    free = (*_NAMES, *(FREE_IN_PRETRAINING if stage == "pretrain" else FREE))
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name) and name not in free:
            return f"{name}={before.get(name)}, not {now.get(name)}"
    return None
