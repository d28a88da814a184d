"""What a training step costs on a CPU, with and without keeping freed memory (rspnet/running/memory.py).

    python benchmarks/step.py [--networks c3d,resnet18] [--repeats 3] [--steps 5]

A step is forward, backward and SGD of one network on two clips of its published size. Every measurement is a process of
its own, and both ways take turns; each number is the median of the repeats' medians.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def measure(network: str, keep: bool, steps: int) -> None:
    """Print the median seconds of a step, the pages asked for in it, and the most memory that was resident, bytes."""
    import torch

    from rspnet.encoders import create_encoder
    from rspnet.running.memory import keep_freed_memory

    if keep:
        keep_freed_memory()
    frames, side = (64, 224) if network == "s3dg" else (16, 112)
    clips, encoder = torch.randn(2, 3, frames, side, side), create_encoder(network)
    optimizer = torch.optim.SGD(encoder.parameters(), 1e-3, momentum=0.9)
    seconds, pages = [], []
    for _ in range(steps + 2):
        began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        encoder(clips).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - began)
        pages.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(statistics.median(seconds[2:]), statistics.median(pages[2:]), peak)  # the first two warm up


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default="c3d,resnet18,r2plus1d", help="separated by commas; s3dg takes minutes")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5)
    args = parser.parse_args()
    for network in args.networks.split(","):
        found: dict[bool, list[list[float]]] = {False: [], True: []}
        for _ in range(args.repeats):
            for keep, rows in found.items():
                code = f"import step; step.measure({network!r}, {keep}, {args.steps})"
                run = subprocess.run(
                    [sys.executable, "-c", code],
                    cwd=os.path.dirname(__file__) or ".",
                    text=True,
                    stdout=subprocess.PIPE,
                    check=True,
                )
                rows.append([float(word) for word in run.stdout.split()])
        (plain, pages, peak), (kept, _, kept_peak) = (
            [statistics.median(column) for column in zip(*rows)] for rows in found.values()
        )
        print(
            f"{network:10s} {plain:6.3f} s a step, kept {kept:6.3f} s: {kept / plain:.2f} of the time; "
            f"{pages:.0f} pages a step spared; peak memory {peak / 1e9:.2f} GB, kept {kept_peak / 1e9:.2f} GB",
            flush=True,
        )


if __name__ == "__main__":
    main()
