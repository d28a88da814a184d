"""Accuracy of gradients in bfloat16 and in float16: their cosine with those of float32.

    python benchmarks/precision.py --device cuda [--networks s3dg,r2plus1d] [--data VIDEOS] [--json FILE]
    python benchmarks/precision.py --device cpu --networks s3dg --size 64 --videos 8 --steps 0

For each network, fresh and after some steps of training on the videos in float32 (TF32): the gradients of one
pretraining step on augmented real clips under autocast, against those of the same step in float32 without TF32. A way
is a precision, then the parts that stay in float32 under it, joined by "+":

- heads: pooling and heads (the losses always stay in float32);
- stem: the network's first convolution, with its normalisation;
- gates: the gates of S3D-G;
- norms: batch normalisation with its output, so that only convolutions are in half precision.

On a CPU autocast is imitated: float32, rounded where a GPU rounds (input, weights and output of convolutions and linear
layers, output of normalisation), in the forward and the backward pass. Without --data, synthetic videos are made.
"""

import argparse
import copy
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import device as devices
import numpy as np
import torch
from steps import PUBLISHED, TYPES, Case, method
from torch import Tensor, nn
from torch.nn import functional as F

from rspnet.cli import options
from rspnet.data.augment import Augment
from rspnet.data.picker import Picker
from rspnet.data.synthetic import make_dataset
from rspnet.encoders import encoder_spec
from rspnet.method import optim
from rspnet.method.draws import Draws, StepDraws
from rspnet.method.pretext import RSPNet
from rspnet.video.reader import Video

WAYS = ["tf32", "bf16", "fp16", "bf16+heads", "bf16+heads+stem", "bf16+heads+norms", "bf16+heads+stem+norms"]
GATED = ["bf16+heads+gates", "bf16+heads+stem+gates+norms"]
SCALE = 65536.0  # initial scale of the loss in fp16
STEM = {"s3dg": ["feature.sepConv1"]}  # others: conv1, bn1
Shown = tuple[Tensor, Tensor, Draws]


class Clips:
    """Batches of random clips of the videos in a folder, read once, augmented afresh each time."""

    def __init__(self, folder: Path, case: Case, batches: int) -> None:
        videos = case.videos
        paths = sorted(path for path in folder.rglob("*") if path.suffix in (".mp4", ".avi", ".webm", ".mkv"))
        if not paths:
            raise SystemExit(f"{folder}: no videos (mp4, avi, webm, mkv)")
        self.draws = StepDraws(0, videos, [2], bn_groups=1)
        self.augment = Augment.to_feed(encoder_spec(case.network).clip, **vars(options.Augment()))
        self.batches, self.size = batches, case.size
        order = np.random.default_rng(0).permutation(len(paths))
        self._pick = Picker(16, views=2, crop_area=(0.4, 1.0), top_speed=2)
        asked = [
            (paths[order[(step * videos + place) % len(paths)]], speeds, (step, place))
            for step in range(batches)
            for place, speeds in enumerate(self.draws.shown(step))
        ]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            read = list(pool.map(self._read, asked))
        self._views = [torch.from_numpy(np.stack(view)).split(videos) for view in zip(*read)]

    def _read(self, asked: tuple[Path, Any, tuple[int, int]]) -> list[np.ndarray]:
        path, speeds, key = asked
        with Video(path) as video:
            picked = self._pick(
                np.random.default_rng(key), video.num_frames, (video.height, video.width), speeds=speeds
            )
            out = [np.empty((len(frames), self.size, self.size, 3), np.uint8) for frames, _ in picked]
            video.read_clips(picked, self.size, out)
        return out

    def batch(self, step: int, device: torch.device) -> Shown:
        """Return the query and key clips for the network, and the draws of a step."""
        number = step % self.batches
        views = []
        for view, clips in enumerate(self._views):
            seeds = np.arange(len(clips[number])) + 1000 * step + 500 * view
            views.append(self.augment(clips[number].to(device), self.augment.draw(seeds)))
        return views[0], views[1], self.draws[number]


class Rounded(torch.autograd.Function):
    """Rounds values to another type in the forward pass, and their gradients in the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dtype: torch.dtype) -> Tensor:
        """Round."""
        ctx.dtype = dtype
        return x.to(dtype).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Round the gradient."""
        return gradient.to(ctx.dtype).to(gradient.dtype), None


def in_float32(holder: nn.Module, name: str, device: torch.device) -> None:
    """Make a module's method run outside autocast, in float32."""
    inner = getattr(holder, name)

    def outside(x: Tensor) -> Any:
        with torch.autocast(device.type, enabled=False):
            return inner(x.float())

    setattr(holder, name, outside)


def imitate(layer: nn.Module, dtype: torch.dtype) -> None:
    """Make a layer round as it would under autocast on a GPU."""
    inner = layer.forward

    def convolve(x: Tensor) -> Tensor:
        weight = Rounded.apply(layer.weight, dtype)
        if isinstance(layer, nn.Linear):
            return Rounded.apply(F.linear(Rounded.apply(x, dtype), weight, layer.bias), dtype)
        return Rounded.apply(layer._conv_forward(Rounded.apply(x, dtype), weight, layer.bias), dtype)

    if isinstance(layer, nn.Conv3d | nn.Linear):
        layer.forward = convolve
    elif isinstance(layer, nn.BatchNorm3d | nn.ReLU | nn.Sigmoid):
        layer.forward = lambda x: Rounded.apply(inner(x), dtype)


def kept(network: str, encoder: nn.Module, what: str) -> list[nn.Module]:
    """Return the modules of an encoder that a word of a way keeps in float32."""
    if what == "stem":
        return [encoder.get_submodule(name) for name in STEM.get(network, ["conv1", "bn1"])]
    if what == "gates":
        return [layer for name, layer in encoder.named_modules() if name.endswith("excitation")]
    if what == "norms":
        return [layer for layer in encoder.modules() if isinstance(layer, nn.BatchNorm3d)]
    raise SystemExit(f"{what!r}: expected heads, stem, gates or norms")


def prepare(model: RSPNet, network: str, way: str, device: torch.device) -> RSPNet:
    """Return a copy of the model that keeps a way's parts in float32, and on a CPU rounds the others."""
    model = copy.deepcopy(model)
    precision, *words = way.split("+")
    for embedder in (model.query_encoder, model.key_encoder):
        whole = [module for word in words if word != "heads" for module in kept(network, embedder.encoder, word)]
        heads = [embedder.appearance, embedder.motion] if "heads" in words else []
        if device.type == "cpu" and TYPES[precision] != torch.float32:
            spared = {layer for module in [*whole, *heads] for layer in module.modules()}
            for layer in set(embedder.modules()) - spared:
                imitate(layer, TYPES[precision])
        for module in [*whole, *heads]:
            in_float32(module, "forward", device)
        if "heads" in words:
            in_float32(embedder.encoder, "forward_head", device)
    return model


def gradients(model: RSPNet, shown: Shown, way: str, device: torch.device) -> tuple[Tensor, float]:
    """Return all gradients of the query encoder and its heads as one float64 vector, and the loss.

    In fp16 the loss is scaled as by a gradient scaler: by the largest factor that leaves all gradients finite.
    """
    precision = way.partition("+")[0]
    dtype = TYPES[precision]
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision != "float32"
    with torch.autocast(device.type, dtype=dtype, enabled=device.type == "cuda" and dtype != torch.float32):
        loss = model(*shown)["loss"]
    weights = list(model.query_encoder.parameters())
    scale = SCALE if dtype == torch.float16 else 1.0
    while True:
        found = torch.autograd.grad(scale * loss, weights, retain_graph=scale > 1)
        row = torch.cat([each.flatten().double() / scale for each in found])
        if scale == 1 or row.isfinite().all():
            return row, loss.item()
        scale /= 2


def compare(
    model: RSPNet, network: str, ways: Sequence[str], batches: Iterable[Shown], device: torch.device
) -> dict[str, dict[str, float]]:
    """Return for each way the cosine with float32's gradients, mean and lowest over batches, and the loss's error."""
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for shown in batches:
        true, loss = gradients(copy.deepcopy(model), shown, "float32", device)
        for way in ways:
            ours, other = gradients(prepare(model, network, way, device), shown, way, device)
            found[way].append((F.cosine_similarity(true, ours, dim=0).item(), abs(other - loss) / loss))
    return {
        way: {
            "cosine": float(np.mean([cosine for cosine, _ in each])),
            "least": min(cosine for cosine, _ in each),
            "loss_error": max(error for _, error in each),
        }
        for way, each in found.items()
    }


def train(model: RSPNet, clips: Clips, steps: int, *, device: torch.device, until: float) -> tuple[int, float]:
    """Pretrain in float32 (TF32) for some steps, or until a moment; return the steps made, and the last loss."""
    optimizer = optim.sgd(model, 0.02, momentum=0.9, weight_decay=1e-4)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    loss, step = torch.zeros(()), 0
    while step < steps and time.monotonic() < until:
        loss = model(*clips.batch(step, device))["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        step += 1
    return step, loss.item()


def measure(
    case: Case,
    device: torch.device,
    folder: Path,
    *,
    steps: int,
    tell: Callable[[dict[str, Any]], None],
    until: float = math.inf,
) -> None:
    """Measure the cosines of one network, passed to `tell` as they come: `fresh`, then `trained`.

    Training takes `steps` steps, or ends early at the moment `until` of `time.monotonic`.
    """
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = False
    clips = Clips(folder, case, batches=8)
    model = RSPNet(case.encoder(), **method(queue_length=1024)).to(device)
    network = case.network
    ways = [*WAYS, *(GATED if network == "s3dg" else [])]
    batches = [clips.batch(1_000_000 + number, device) for number in range(2)]
    found: dict[str, Any] = {
        "videos": case.videos,
        "size": case.size,
        "fresh": compare(model, network, ways, batches, device),
    }
    tell(found)
    if steps:
        began = time.perf_counter()
        made, loss = train(model, clips, steps, device=device, until=until)
        found |= {"steps": made, "loss": loss, "training_seconds": time.perf_counter() - began}
        found["trained"] = compare(model, network, ways, batches, device)
        tell(found)


def table(found: dict[str, Any]) -> str:
    """Return the results of a network as lines of text."""
    states = [state for state in ("fresh", "trained") if state in found]
    return "\n".join(
        f"  {way:26s} " + "  ".join(f"{state} {found[state][way]['cosine']:.4f}" for state in states)
        for way in found["fresh"]
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--networks", default=",".join(PUBLISHED), help="separated by commas")
    parser.add_argument("--data", type=Path, help="folder of videos")
    parser.add_argument("--size", type=int, help="side of a clip in pixels (default: as published)")
    parser.add_argument("--width", type=int, help="width of the networks (default: as published)")
    parser.add_argument("--videos", type=int, default=16)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--json")
    args = parser.parse_args()
    device, results = torch.device(args.device), {}
    with tempfile.TemporaryDirectory() as made:
        if not args.data:
            make_dataset(made, videos_per_class=6, seed=0)
        for network in args.networks.split(","):
            results[network] = {}
            case = Case.of(network, args.videos, args.size, args.width)
            measure(case, device, args.data or Path(made), steps=args.steps, tell=results[network].update)
            print(f"{network}\n{table(results[network])}", flush=True)
    if args.json:
        about = {"device": devices.describe(device), "networks": results}
        Path(args.json).write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
