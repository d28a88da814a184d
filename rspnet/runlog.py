"""What a run says and leaves behind: lines and bars on stderr, `metrics.jsonl`, `environment.json`, the run's lock.

stdout belongs to results; nothing here writes to it.
"""

import contextlib
import fcntl
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import yaml
from tqdm import tqdm

from rspnet.errors import ConfigError

T = TypeVar("T")


def is_main() -> bool:
    """Whether this process is the one that speaks (rank 0; torchrun and accelerate set RANK)."""
    return os.environ.get("RANK", "0") == "0"


def say(text: str) -> None:
    """Print a line to stderr, from the main process only, without tearing a progress bar."""
    if is_main():
        tqdm.write(text, file=sys.stderr)
        sys.stderr.flush()


def progress(items: Iterable[T], total: int | None, desc: str, unit: str, initial: int = 0) -> Iterator[T]:
    """Iterate with a bar on stderr where it is a terminal, else with a plain line every 30 seconds."""
    if not is_main():
        yield from items
    elif sys.stderr.isatty():
        yield from tqdm(
            items, desc=desc, unit=f" {unit}", total=total, initial=initial, dynamic_ncols=True, leave=False
        )
    else:
        started = spoken = time.monotonic()
        done = initial
        for done, item in enumerate(items, initial + 1):
            yield item
            now = time.monotonic()
            if now - spoken >= 30:
                spoken = now
                rate = (done - initial) / (now - started)
                left = f", {duration((total - done) / rate)} left" if total else ""
                say(f"{desc}: {done}{f' of {total}' if total else ''} {unit}, {rate:.1f} a second{left}")


def duration(seconds: float) -> str:
    """Seconds as a person reads them: ``42 s``, ``7 min``, ``3 h 20 min``, ``6 d 4 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def write_json(path: Path, content: Any) -> None:
    """Write one JSON file whole or not at all."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file under a temporary name, then rename it: a reader never sees half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text)
    temporary.replace(path)


# Options that may differ when a run goes on: they do not change what it computes.
_FREE = ("data.num_workers", "data.max_failures", "data.time_limit", "run.log_every", "run.checkpoint_every")
_FREE += ("run.keep_epochs", "run.tracker")


@contextlib.contextmanager
def open_run(run_dir: Path, config: dict[str, Any], config_yaml: str) -> Iterator[None]:
    """Hold the run folder; new, it gets `config.yaml` and `environment.json`, existing, it must be this run.

    Processes other than the main one pass through.

    Raises:
        ConfigError: another live process writes to it, or it holds a run with other options or somebody's files.
    """
    if not is_main():
        yield
        return
    run_dir.mkdir(parents=True, exist_ok=True)
    with _exclusive(run_dir):
        path = run_dir / "config.yaml"
        if path.exists():
            before, now = _flat(yaml.safe_load(path.read_text())), _flat(config)
            for name in sorted(before.keys() | now.keys()):
                if before.get(name) != now.get(name) and name not in _FREE:
                    raise ConfigError(
                        f"{run_dir}: holds a run with {name}={before.get(name)}, not {now.get(name)}; "
                        "choose another --run_dir, or remove the folder to start again"
                    )
        elif any(not entry.name.startswith(".") for entry in run_dir.iterdir()):
            raise ConfigError(f"{run_dir}: is no run folder, and not empty; choose another --run_dir")
        else:
            write_text(path, config_yaml)
            write_json(run_dir / "environment.json", environment())
        yield


def finished(run_dir: Path) -> dict[str, Any] | None:
    """The result of a run that is done, or None."""
    path = run_dir / "result.json"
    return json.loads(path.read_text()) if path.exists() else None


def check_launch(num_processes: int) -> None:
    """See that the launcher's processes found each other.

    Raises:
        ConfigError: they would train side by side, each alone.
    """
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started != num_processes:
        raise ConfigError(
            f"{started} processes were started, but each sees {num_processes}; "
            "without GPUs set ACCELERATE_USE_CPU=true before the launcher"
        )


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in config.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


class MetricsLog:
    """`metrics.jsonl`: one object per log interval and epoch, continued without a seam after an interruption.

    Args:
        path: the file.
        step: training steps that the run has kept; later lines (written after the last checkpoint) are dropped, because
            the run is about to make those steps again.
    """

    def __init__(self, path: Path, step: int) -> None:
        kept = []
        if path.exists():
            for line in path.read_text().splitlines():
                with contextlib.suppress(json.JSONDecodeError):  # the line an abrupt end cut short
                    if json.loads(line)["step"] <= step:
                        kept.append(line + "\n")
        write_text(path, "".join(kept))
        self._file = path.open("a", buffering=1)

    def write(self, values: dict[str, Any]) -> None:
        """Append one object; it must hold ``step``."""
        self._file.write(json.dumps(values) + "\n")


@contextlib.contextmanager
def _exclusive(run_dir: Path) -> Iterator[None]:
    with (run_dir / ".lock").open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.seek(0)
            raise ConfigError(
                f"{run_dir}: {handle.read().strip() or 'another process'} is writing to this run; "
                "wait for it or choose another --run_dir"
            ) from None
        handle.truncate(0)
        handle.write(f"process {os.getpid()} on {platform.node()}")
        handle.flush()
        yield


def environment() -> dict[str, Any]:
    """Versions, machine and the code's git commit, for `environment.json`."""
    names = ("torch", "torchvision", "accelerate", "av", "timm", "datasets", "evaluate", "numpy", "rspnet")
    here = Path(__file__).resolve().parent
    commit = subprocess.run(
        ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"], capture_output=True, text=True
    )
    return {
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in names},
        "git_commit": commit.stdout.strip() or None,
        "host": platform.node(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "command": sys.argv,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
