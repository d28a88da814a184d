"""Kernel launches of a pretraining step on a GPU, and waits of the host for the GPU.

    python benchmarks/launches.py [--networks c3d,resnet18] [--json results/launches.json]

Counted on a pretended GPU (tests/support/pretend.py), so on any machine, in seconds: a published network in bf16, one
batch-norm group, the second step. An operation on all weights at once is counted as one launch, though it may be a few;
the counts do not depend on the number of videos. If the file exists, its counts under `before` are kept.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HERE))
VIDEOS = 4


def count(name: str) -> dict[str, int]:
    """Count the launches of each part of a step, its waits, and the MB that augmentation reads and writes a video."""
    import torch

    from rspnet import create_encoder
    from rspnet.cli import options
    from rspnet.data.augment import Augment
    from rspnet.data.sampling import shown_frames
    from rspnet.method import optim
    from rspnet.method.draws import StepDraws
    from rspnet.method.pretext import LOG_TERMS, RSPNet
    from rspnet.running.state import RunState
    from tests.support import pretend

    encoder, settings, device = create_encoder(name), vars(options.Pretext()), torch.device(pretend.NAME, 0)
    size, frames = encoder.clip.size, encoder.clip.num_frames
    method = {key: value for key, value in settings.items() if key not in ("speeds", "bn_groups")}
    augment = Augment.to_feed(encoder.clip, **vars(options.Augment()))
    draws, state = StepDraws(0, VIDEOS, [2], bn_groups=1), RunState()
    found: dict[str, int] = {}
    with pretend.pretending() as told:
        model = RSPNet(encoder, frames, groups=1, **method).to(device)
        optimizer = optim.sgd(model, 1e-3, momentum=0.9, weight_decay=1e-4)

        def part(what: str, work: Callable[[], object]) -> object:
            before, moved = sum(told.launches.values()), told.bytes
            result = work()
            found[what] = sum(told.launches.values()) - before
            if what == "augmentation":
                found["MB a video"] = round((told.bytes - moved) / VIDEOS / 1e6)
            return result

        def forward(views: list[torch.Tensor], step: int) -> dict[str, torch.Tensor]:
            with torch.autocast(device.type, dtype=torch.bfloat16):
                return model(*views, draws[step])

        for step in range(2):
            told.waits.clear()
            lengths = (frames, len(shown_frames(frames, (1, 2))))
            clips = [torch.zeros(VIDEOS, length, size, size, 3, dtype=torch.uint8).pin_memory() for length in lengths]
            batch = {"clips": clips, "seeds": torch.arange(2 * VIDEOS).view(VIDEOS, 2)}
            views = part("augmentation", lambda batch=batch: list(augment.views(batch, device)))
            out = part("forward", lambda views=views, step=step: forward(views, step))
            part("backward", out["loss"].backward)
            part("SGD", optimizer.step)
            optimizer.zero_grad()
            terms = {key: out[key] for key in ("loss", "loss_avid", "loss_rsp", *LOG_TERMS)}
            part("log", lambda terms=terms: state.add(terms))
    in_all = sum(number for what, number in found.items() if what != "MB a video")
    return {**found, "in all": in_all, "waits": len(told.waits)}


def main() -> None:
    """Count, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default="c3d,resnet18,r2plus1d,s3dg", help="separated by commas")
    parser.add_argument("--json", type=Path, help="file to write the counts to")
    args = parser.parse_args()
    from tests.support import pretend

    kept = pretend.begin()
    known = json.loads(args.json.read_text()) if args.json and args.json.exists() else {}
    for name in args.networks.split(","):
        known[name] = {**known.get(name, {}), "now": count(name)}
        print(name, known[name]["now"], flush=True)
    del kept
    if args.json:
        args.json.write_text(json.dumps(known, indent=2) + "\n")


if __name__ == "__main__":
    main()
