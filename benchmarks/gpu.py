"""All measurements that need a GPU, unattended, in a few minutes.

    make bench-gpu                      # or, with a Python that has all packages: make bench-gpu WITH=python3
    python benchmarks/gpu.py [--minutes 6] [--data VIDEOS] [--out results]

For each network, in its own process: pretraining steps at the published batch of one GPU, rspnet's and literal ones in
each precision, in turns (train_step.py); what bfloat16 and float16 do to the gradients, on clips of VIDEOS or of videos
that are made (precision.py); compiled steps. Then whole epochs from files (train.py). All results are in OUT/gpu.json,
those of the current network in OUT/gpu_NETWORK.json meanwhile. A part that fails or runs out of time does not affect
the others; its error is in the results.
"""

import argparse
import dataclasses
import gc
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

NETWORKS = {"resnet18": 0.2, "c3d": 0.22, "r2plus1d": 0.24, "s3dg": 0.34}
"""Networks, cheapest first, and the share of the time that each may take."""
FITTING = {"s3dg": 32}
"""Videos in a step if the published batch does not fit 80 GB: in float32 it takes 133."""
COMPILED = "ours+bf16+channels_last,ours+bf16+channels_last+compile,ours+fp16+channels_last+compile"
EPOCHS = 40
"""Seconds for whole epochs of ResNet-18 from files on disk (train.py)."""
PARTS = {"steps": 0.45, "precision": 0.2, "compiled": 0.25}
"""Share of a network's time that each part may take; nothing new is begun after it."""


def child(network: str, seconds: float, *, data: Path, out: Path, args: argparse.Namespace) -> None:
    """Measure one network, and write the results to a file as they come."""
    import device as devices
    import torch
    import train_step
    from steps import Case

    device, found, start = torch.device(args.device), {}, time.monotonic()
    case = Case.of(network, args.videos or FITTING.get(network), args.size, args.width)
    peaks = train_step.peaks(device, ["float32", "tf32", "bf16", "fp16"])
    found |= {"device": devices.describe(device), "matrix_peak": peaks, "seconds": {}}

    def keep(name: str, value: dict[str, Any]) -> None:
        if name != "precision":
            train_step.rates(value, case, peaks)
        found[name] = value
        found["seconds"][name] = time.monotonic() - began
        write(out, found)

    def step_times(name: str, ways: str, share: float) -> None:
        nonlocal case
        case = train_step.measure(
            case,
            ways.split(","),
            device,
            rounds=3,
            tell=lambda value: keep(name, value),
            until=start + share * seconds,
        )
        print(f"{network}, {name}, {time.monotonic() - began:.0f} s\n{train_step.table(found[name])}", flush=True)

    def cosines() -> None:
        import precision  # needs packages that the other parts do not

        small = dataclasses.replace(case, videos=min(16, case.videos))
        until = start + (PARTS["steps"] + PARTS["precision"]) * seconds
        how = {"steps": args.steps, "tell": lambda value: keep("precision", value), "until": until}
        precision.measure(small, device, data, **how)
        print(f"{network}, precision, {time.monotonic() - began:.0f} s", flush=True)
        print(precision.table(found["precision"]), flush=True)

    parts = {
        "steps": lambda: step_times("steps", train_step.EAGER, PARTS["steps"]),
        "precision": cosines,
        "compiled": lambda: step_times("compiled", COMPILED, sum(PARTS.values())),
    }
    for name, part in parts.items():
        began = time.monotonic()
        try:
            part()
        except Exception as error:  # the other parts can still be measured
            found.setdefault("errors", {})[name] = f"{type(error).__name__}: {error}"[:1000]
            print(f"{network}, {name}: {found['errors'][name]}", flush=True)
            write(out, found)
        gc.collect()
        torch.cuda.empty_cache()


def write(path: Path, value: object) -> None:
    """Write a value as JSON, completely or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=1) + "\n")
    part.replace(path)


def main() -> None:
    """Start the processes one after the other, and collect their results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=6, help="time for all measurements together")
    parser.add_argument("--networks", default=",".join(NETWORKS), help="separated by commas")
    parser.add_argument("--data", type=Path, help="folder of videos")
    parser.add_argument("--steps", type=int, default=200, help="training steps before gradients are compared again")
    parser.add_argument("--videos", type=int, help="videos in a step (default: as on each GPU of the published runs)")
    parser.add_argument("--size", type=int, help="side of a clip in pixels (default: as published)")
    parser.add_argument("--width", type=int, help="width of the networks (default: as published)")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: only to check that this runs")
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--child", nargs=2, metavar=("NETWORK", "SECONDS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        network, seconds = args.child
        child(network, float(seconds), data=args.data, out=args.out, args=args)
        return
    import torch

    if args.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("torch finds no GPU here; --device cpu only checks that this runs")
    began, results = time.monotonic(), {}
    args.out.mkdir(parents=True, exist_ok=True)
    names = args.networks.split(",")
    with tempfile.TemporaryDirectory() as made:
        data = args.data or make_videos(Path(made))
        for place, network in enumerate(names):
            left = 60 * args.minutes - EPOCHS - (time.monotonic() - began)
            seconds = left * NETWORKS[network] / sum(NETWORKS[name] for name in names[place:])
            file = args.out / f"gpu_{network}.json"
            command = [sys.executable, __file__, "--child", network, seconds, "--data", data, "--out", file]
            command += ["--steps", args.steps, "--device", args.device]
            command += sizes(args)
            results[network] = run([str(word) for word in command], seconds, file)
            write(args.out / "gpu.json", results)
        file = args.out / "gpu_epochs.json"
        script, left = Path(__file__).with_name("train.py"), 60 * args.minutes - (time.monotonic() - began)
        command = [sys.executable, script, data, "--device", args.device, "--json", file, *sizes(args)]
        results["epochs"] = run([str(word) for word in command], max(left, EPOCHS), file)
        write(args.out / "gpu.json", results)
    print(f"{time.monotonic() - began:.0f} s; {args.out / 'gpu.json'}", flush=True)


def sizes(args: argparse.Namespace) -> list[Any]:
    """Return the sizes that differ from the published ones, as arguments."""
    given = {f"--{name}": getattr(args, name) for name in ("videos", "size", "width")}
    return [word for name, value in given.items() if value for word in (name, value)]


def run(command: list[str], seconds: float, file: Path) -> dict[str, Any]:
    """Run a child, and return its results, which may be partial, with how it ended and its seconds."""
    began = time.monotonic()
    try:
        ending = f"status {subprocess.run(command, timeout=seconds, check=False).returncode}"
    except subprocess.TimeoutExpired:
        ending = "out of time"
    found = json.loads(file.read_text()) if file.exists() else {}
    file.unlink(missing_ok=True)
    taken = time.monotonic() - began
    print(f"{' '.join(command[1:4])}: {ending}, {taken:.0f} of {seconds:.0f} s", flush=True)
    return found | {"ending": ending, "all_seconds": taken}


def make_videos(folder: Path) -> Path:
    """Make synthetic videos, for when no others are given."""
    code = f"from rspnet.data.synthetic import make_dataset; make_dataset({str(folder / 'videos')!r}, 6, seed=0)"
    if subprocess.run([sys.executable, "-c", code], check=False).returncode:
        print("no videos could be made; the parts that need them will fail", flush=True)
    return folder / "videos"


if __name__ == "__main__":
    main()
