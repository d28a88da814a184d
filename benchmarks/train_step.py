"""Time of a pretraining step: rspnet's, with each of its optimisations alone and together, against a literal one.

    python benchmarks/train_step.py --device cuda [--networks c3d,s3dg] [--ways literal,ours+bf16] [--json FILE]
    python benchmarks/train_step.py --device cpu --videos 4

A step is what a run does with a batch that has been read: transfer to the device, augmentation, key and query encoders,
losses, backward pass, SGD. The literal step (benchmarks/literal.py) is the published one, written plainly; it also
resizes clips on the device, as published, while rspnet's are resized by its reading processes. Both are given noise in
the shape of the clips that they would read. benchmarks/steps.py explains how ways are written.

All ways of a network take turns, and each number is the median of the rounds; on a CPU every measurement is in its own
process. A batch that does not fit the device's memory is halved until it does (`videos` in the result), also for the
ways that follow.
"""

import argparse
import dataclasses
import gc
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import device as devices
import torch
from steps import PUBLISHED, TYPES, Case, Step, Way, make

EAGER = (
    "literal,ours+channels_last,ours+bf16+channels_last,ours+fp16+channels_last,ours+tf32+channels_last,"
    "ours,ours+bf16,literal+tf32,literal+bf16,ours+bf16+channels_last+micro4"
)
WAYS = {
    "cuda": f"{EAGER},ours+bf16+channels_last+compile",
    "cpu": "literal,ours,ours+keep,ours+channels_last,ours+bf16,ours+keep+channels_last,ours+keep+channels_last+bf16",
}
SHORTEST = 0.6  # seconds of a measurement, of several steps if one takes less
Found = dict[str, Any]


class Timed:
    """A way of one network, ready to be timed: it has warmed up, and its batch fits the device."""

    def __init__(self, case: Case, text: str, device: torch.device) -> None:
        self.way, self.device, self.case = Way.parse(text), device, case
        self.step: Step | None = None
        self.seconds: list[float] = []
        self.number = 0
        while True:
            try:
                self._warm_up()
                return
            except torch.OutOfMemoryError:
                if self.case.videos < 4:
                    raise
            self.case = dataclasses.replace(self.case, videos=self.case.videos // 2)
            self.step = None
            gc.collect()
            torch.cuda.empty_cache()

    def _warm_up(self) -> None:
        self.way.settle(self.device)
        gpu = self.device.type == "cuda"
        before = torch.cuda.memory_allocated() if gpu else 0
        began = time.perf_counter()
        self.step = make(self.case, self.way, self.device)
        self.once()
        self.first = time.perf_counter() - began
        if gpu:
            torch.cuda.reset_peak_memory_stats()
        self.estimate = self.once()
        self.peak = torch.cuda.max_memory_allocated() - before if gpu else 0
        self.steps = max(1, min(8, round(SHORTEST / self.estimate)))

    def once(self) -> float:
        """Run one step, and return its seconds, including the wait for the device."""
        return self._run(1)

    def measure(self) -> None:
        """Time a few steps, waiting for the device only after the last."""
        self.way.settle(self.device)
        self.seconds.append(self._run(self.steps) / self.steps)

    def _run(self, steps: int) -> float:
        devices.wait(self.device)
        began = time.perf_counter()
        for _ in range(steps):
            loss = self.step(self.number)
            self.number += 1
        devices.wait(self.device)
        seconds = time.perf_counter() - began
        assert torch.isfinite(loss), f"the loss is {loss}"
        return seconds

    def result(self) -> Found:
        """Return the results so far, in bytes and seconds."""
        peak = self.peak or 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found: Found = {"videos": self.case.videos, "first_step": self.first, "peak_memory": peak}
        return found | {"seconds": statistics.median(self.seconds or [self.estimate]), "rounds": self.seconds}

    def look(self) -> Found:
        """Return the parts of a step: see `benchmarks/device.py`."""
        self.way.settle(self.device)
        found: Found = {
            "prepare_seconds": devices.median_seconds(lambda: self.step.prepare(self.step.example), self.device)
        }
        if self.device.type == "cuda":
            step = lambda: self.step(self.number)  # noqa: E731
            found |= {"host_waits": devices.host_waits(step)} | devices.launches(step)
        return found


def measure(
    case: Case,
    texts: Iterable[str],
    device: torch.device,
    *,
    rounds: int,
    tell: Callable[[Found], None],
    until: float = math.inf,
) -> Case:
    """Measure ways of a network in this process, in turns.

    Args:
        case: the network, and the sizes of its input.
        texts: the ways.
        device: device to measure on.
        rounds: number of measurements of each way.
        tell: called with the results by way whenever there are new ones; a way that failed has `error`.
        until: the moment of `time.monotonic` after which nothing new is begun.

    Returns:
        The case with a batch that fits the device's memory: if one way needs a smaller batch, those after it get it.
    """
    ready: dict[str, Timed] = {}
    found: dict[str, Found] = {}

    def attempt(text: str, what: Callable[[], Mapping[str, Any]]) -> None:
        if time.monotonic() > until:
            found.setdefault(text, {"error": "no time was left"})
            return
        try:
            found[text] = {**found.get(text, {}), **what()}
        except Exception as error:  # the other ways can still be measured
            found[text] = {**found.get(text, {}), "error": f"{type(error).__name__}: {error}"[:500]}
            ready.pop(text, None)
        tell(found)

    def begin(text: str) -> Found:
        nonlocal case
        ready[text] = Timed(case, text, device)
        case = ready[text].case
        return ready[text].result()

    def again(text: str) -> Found:
        ready[text].measure()
        return ready[text].result()

    for text in texts:
        attempt(text, lambda text=text: begin(text))
    for _ in range(rounds):
        for text in list(ready):
            attempt(text, lambda text=text: again(text))
    for text in list(ready):
        attempt(text, lambda text=text: ready[text].look())
    return case


def measure_apart(case: Case, texts: Iterable[str], *, rounds: int, tell: Callable[[Found], None]) -> None:
    """Measure ways on a CPU, each time in a new process, so that memory kept by one does not affect the others."""
    found: dict[str, Found] = {}
    for _ in range(rounds):
        for text in texts:
            command = [sys.executable, __file__, "--device", "cpu", "--networks", case.network, "--ways", text]
            command += ["--videos", str(case.videos), "--size", str(case.size), "--rounds", "1", "--here"]
            command += ["--width", str(case.width)] if case.width else []
            run = subprocess.run(command, text=True, stdout=subprocess.PIPE, check=True)
            new = json.loads(run.stdout.splitlines()[-1])[case.network][text]
            if "error" in new:
                found[text] = new
            seconds = [*found.get(text, {}).get("rounds", []), *new.get("rounds", [])]
            found[text] = new | {"rounds": seconds, "seconds": statistics.median(seconds or [0])}
            tell(found)


def rates(found: dict[str, Found], case: Case, peaks: dict[str, float]) -> None:
    """Add what follows from the times: videos and operations per second, and the latter's share of the peak."""
    each = devices.operations(case)
    for text, result in found.items():
        if result.get("seconds"):
            result["videos_per_second"] = result["videos"] / result["seconds"]
            result["flops"] = each * result["videos_per_second"]
            result["share_of_peak"] = result["flops"] / peaks[Way.parse(text).precision]


def peaks(device: torch.device, precisions: Iterable[str]) -> dict[str, float]:
    """Return the operations per second of the matrix product in each of the precisions."""
    found = {}
    for name in precisions:
        Way.parse(f"ours+{name}").settle(device)
        found[name] = devices.matrix_peak(TYPES[name], device)
    return found


def table(found: dict[str, Found]) -> str:
    """Return the results of a network as lines of text."""
    base = found.get("literal", {}).get("videos_per_second")
    lines = []
    for text, result in found.items():
        if "videos_per_second" not in result:
            lines.append(f"  {text:28s} {result.get('error', 'not measured')}")
            continue
        times = f"{result['videos_per_second'] / base:5.2f} x literal" if base else ""
        lines.append(
            f"  {text:28s} {result['seconds']:8.4f} s for {result['videos']:3d} videos, "
            f"{result['videos_per_second']:8.1f} a second {times}, {result['flops'] / 1e12:6.2f} TFLOP/s "
            f"({100 * result['share_of_peak']:4.1f} %), {result['peak_memory'] / 1e9:6.2f} GB"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--networks", default=",".join(PUBLISHED), help="separated by commas")
    parser.add_argument("--ways", help="separated by commas")
    parser.add_argument("--videos", type=int, help="videos in a step (default: as published on each GPU, 4 on a CPU)")
    parser.add_argument("--size", type=int, help="side of a clip in pixels (default: as published)")
    parser.add_argument("--width", type=int, help="width of the networks (default: as published)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json")
    parser.add_argument("--here", action="store_true", help="on a CPU: all in this process, results as JSON")
    args = parser.parse_args()
    device, results = torch.device(args.device), {}
    ways = (args.ways or WAYS[device.type]).split(",")
    precisions = sorted({Way.parse(way).precision for way in ways})
    highest = {} if args.here else peaks(device, precisions)
    for network in args.networks.split(","):
        found: dict[str, Found] = {}
        how = {"rounds": args.rounds, "tell": found.update}
        case = Case.of(network, args.videos or (None if device.type == "cuda" else 4), args.size, args.width)
        if device.type == "cuda" or args.here:
            measure(case, ways, device, **how)
        else:
            measure_apart(case, ways, **how)
        results[network] = found
        if not args.here:
            rates(found, case, highest)
            print(f"{network}\n{table(found)}", flush=True)
        if args.json:  # after each network, so that the results so far are kept
            about = {"device": devices.describe(device), "matrix_peak": highest, "networks": results}
            Path(args.json).write_text(json.dumps(about, indent=1) + "\n")
    if args.here:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
