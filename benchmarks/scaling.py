"""Cost of pretraining on larger machines: a model from what the other benchmarks have measured.

    python benchmarks/scaling.py [--cores 16] [--json results/scaling.json]

A machine's processors read videos while its GPUs make steps, so an epoch takes the longer of the two:

    reading     videos x CPU seconds of a video / cores                        results/decode.json
    computing   videos x seconds of a step / its videos / GPUs                 results/gpu.json
                + steps x (bytes that each GPU sends in a step / bytes a second between GPUs)

Sent are the gradients (ring all-reduce: twice their size, times (n - 1) / n), which overlap with the backward pass
until they take longer than half of the step, and each key clip of the shuffled batch once for each of two passes, in
half precision, which overlaps with nothing. results/gpu.json is written by `make bench-gpu`; if a network's step is not
in it, its time is assumed to be that of its operations at `--share` of an H100's 989 TFLOP/s in half precision.

Where whole epochs were timed (train.py, on a GPU by gpu.py), the rule that they take the longer of reading and
computing is checked against them.
"""

import argparse
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import device as devices
import torch
from literal import SHOWN
from steps import PUBLISHED, Case

HERE = Path(__file__).resolve().parents[1]
HALF_PEAK = 989e12  # operations per second of an H100 SXM in bfloat16, by its maker
DIM = 128
RUNS = (
    *(("Kinetics-400, 200 epochs", 240_000, 200, network, gpus) for network in PUBLISHED for gpus in (1, 8, 64)),
    *(("ten million videos, 10 epochs", 10_000_000, 10, network, gpus) for network in PUBLISHED for gpus in (64, 256)),
)


@dataclasses.dataclass(frozen=True)
class Machines:
    """The machines of a run.

    Attributes:
        cores: processor cores for each GPU.
        inside: bytes per second that a GPU sends to others of its machine.
        between: bytes per second that a GPU sends to other machines.
        of_one: GPUs in a machine.
    """

    cores: int
    inside: float
    between: float
    of_one: int = 8

    def link(self, gpus: int) -> float:
        """Return the bytes per second that each of so many GPUs can send."""
        return self.inside if gpus <= self.of_one else self.between


def read_json(name: str) -> dict[str, Any]:
    """Return a benchmark's results in results/, empty if it has not been run."""
    path = HERE / "results" / name
    return json.loads(path.read_text()) if path.exists() else {}


def reading_seconds(network: str, decode: dict[str, Any]) -> tuple[float, str]:
    """Return the CPU seconds of one video's clips, and whether they are measured: at 224 only whole clips were."""
    spent = {pattern: each["rspnet"] for pattern, each in decode["cpu_seconds"].items()}
    if network != "s3dg":
        return spent["P1-step"], "measured"
    return spent["P1-224"] * spent["P1-step"] / spent["P1"], "predicted"


def step_rate(network: str, gpu: dict[str, Any], share: float) -> tuple[float, str]:
    """Return the videos per second of one GPU at the published batch, by rspnet's fastest way, and how it is known."""
    parts = [gpu.get(network, {}).get(part, {}) for part in ("steps", "compiled")]
    rates = [
        (result["videos_per_second"], next((each for each in ("bf16", "fp16", "tf32") if each in way), "float32"))
        for part in parts
        for way, result in part.items()
        if way.startswith("ours") and "videos_per_second" in result
    ]
    if rates:
        rate, precision = max(rates)
        return rate, f"measured, {precision}"
    return share * HALF_PEAK / devices.operations(Case.of(network, None)), "assumed"


def sent(network: str, gpus: int) -> tuple[float, float]:
    """Return the bytes that each GPU sends in a step: of gradients, and of clips."""
    case = Case.of(network, None)
    with torch.device("meta"):
        encoder = case.encoder()
    weights = sum(weight.numel() for weight in encoder.parameters()) + 2 * (encoder.num_features + 1) * DIM
    others = (gpus - 1) / gpus
    clip = 2 * 3 * SHOWN * case.size**2
    return 2 * others * 4 * weights, others * 2 * case.videos * clip


def predict(network: str, gpus: int, machines: Machines, *, gpu: dict[str, Any], share: float) -> dict[str, Any]:
    """Predict the videos per second of a run, and what bounds it."""
    reading, reading_basis = reading_seconds(network, read_json("decode.json"))
    rate, basis = step_rate(network, gpu, share)
    step = PUBLISHED[network] / rate
    gradients, clips = (size / machines.link(gpus) for size in sent(network, gpus))
    exposed = clips + max(0.0, gradients - step / 2)
    computing, reads = gpus * PUBLISHED[network] / (step + exposed), gpus * machines.cores / reading
    bound = "reading" if reads < computing else "network of the cluster" if exposed > step else "computing"
    found = min(reads, computing)
    return {
        "videos_per_second": found,
        "bound": bound,
        "step_seconds": step,
        "step_basis": basis,
        "reading_basis": reading_basis,
        "sending_seconds": exposed,
        "cores_needed": math.ceil(computing / gpus * reading),
        "bytes_per_second": found * read_json("transcode.json")["results"]["match"]["size"],
    }


def checks(gpu: dict[str, Any]) -> list[dict[str, Any]]:
    """Compare timed whole epochs with the longer of reading alone and training alone."""
    found = []
    for where, timed in (("CPU", read_json("train.json")), ("GPU", gpu.get("epochs", {}))):
        for way, each in timed.get("ways", {}).items():
            predicted = max(each["reading_alone"], each["training_alone"])
            found.append({"where": where, "way": way, "predicted": predicted, "measured": each["step"]})
    return found


def main() -> None:
    """Compute and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", type=int, default=16, help="processor cores for each GPU")
    parser.add_argument("--inside", type=float, default=300e9, help="bytes per second that a GPU sends in its machine")
    parser.add_argument("--between", type=float, default=40e9, help="bytes per second that it sends to other machines")
    parser.add_argument("--share", type=float, default=0.15, help="share of the H100's peak, for unmeasured networks")
    parser.add_argument("--json")
    args = parser.parse_args()
    machines, gpu, rows = Machines(args.cores, args.inside, args.between), read_json("gpu.json"), []
    for name, videos, epochs, network, gpus in RUNS:
        row = predict(network, gpus, machines, gpu=gpu, share=args.share)
        hours = videos * epochs / row["videos_per_second"] / 3600
        rows.append({"run": name, "network": network, "gpus": gpus, "hours": hours, **row})
        print(
            f"{name:30s} {network:9s} {gpus:4d} GPUs: {hours:8.1f} h, {row['videos_per_second']:8.0f} videos a second, "
            f"bound by {row['bound']}; {row['cores_needed']} cores a GPU would keep up; step {row['step_basis']}"
        )
    found = {"machines": dataclasses.asdict(machines), "share": args.share, "rows": rows, "checks": checks(gpu)}
    for check in found["checks"]:
        print(
            f"{check['where']} {check['way']}: predicted {check['predicted']:.3f} s, measured {check['measured']:.3f}"
        )
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
