"""The pretraining steps that benchmarks compare: rspnet's, and the published one written plainly (literal.py).

A way of making a step is written as words joined by "+": `literal` or `ours`, then float32 (the default; TF32 off),
tf32, bf16 or fp16, then switches: channels_last, compile (on a GPU the augmentation too), keep (keep freed memory, on a
CPU), micro4 (in four parts, each a batch-norm group).
"""

import dataclasses
import random
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import literal
import numpy as np
import torch
from torch import Tensor, nn

from rspnet import create_encoder
from rspnet.cli import options
from rspnet.data.augment import Augment
from rspnet.data.batches import Batch
from rspnet.data.sampling import random_area_crop, shown_frames
from rspnet.encoders import VideoEncoder, encoder_spec
from rspnet.method import optim
from rspnet.method.draws import StepDraws
from rspnet.method.pretext import RSPNet
from rspnet.method.steps import pretrain_step
from rspnet.running.layout import lay_out
from rspnet.running.memory import keep_freed_memory
from rspnet.running.tuning import compile_step

PUBLISHED = {"c3d": 32, "resnet18": 64, "r2plus1d": 32, "s3dg": 64}
"""Videos in a step on each GPU of the published runs."""
FRAME = (256, 340)
"""Height and width in pixels of a video as the literal step's workers read it."""
TYPES = {"float32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
SWITCHES = ("channels_last", "compile", "keep")


@dataclasses.dataclass(frozen=True)
class Way:
    """A way of making a step; the docstring of this file explains its words."""

    literal: bool
    precision: str
    switches: frozenset[str]
    parts: int = 1

    @classmethod
    def parse(cls, text: str) -> "Way":
        """Parse the words of a way, joined by "+"."""
        kind, *words = text.split("+")
        parts = [int(word[5:]) for word in words if re.fullmatch(r"micro[1-9]\d*", word)]
        words = [word for word in words if not re.fullmatch(r"micro[1-9]\d*", word)]
        precisions = [word for word in words if word in TYPES] or ["float32"]
        switches = frozenset(word for word in words if word in SWITCHES)
        is_known = kind in ("literal", "ours") and set(words) <= {*TYPES, *SWITCHES}
        if not is_known or len(precisions) > 1 or len(parts) > 1:
            raise SystemExit(f"{text!r}: literal or ours, then + and words of {', '.join((*TYPES, *SWITCHES))}, microN")
        if kind == "literal" and (switches or parts):
            raise SystemExit(f"{text!r}: nothing can be switched on in the literal step")
        return cls(kind == "literal", precisions[0], switches, *parts)

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """Return the context that the forward pass runs in."""
        dtype = TYPES[self.precision]
        return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype=dtype)

    def settle(self, device: torch.device) -> None:
        """Apply this way's settings that hold for the whole process."""
        torch.backends.cudnn.benchmark, torch.backends.cudnn.benchmark_limit = True, 4  # the default limit is 10
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = self.precision != "float32"
        if "keep" in self.switches:
            if device.type != "cpu":
                raise SystemExit("keep: only for a CPU; on a GPU freed memory is kept anyway")
            keep_freed_memory()


@dataclasses.dataclass(frozen=True)
class Case:
    """The network that is trained, and the sizes of its input.

    Attributes:
        network: name of an encoder.
        videos: number of videos in a step.
        size: height and width of a clip, in pixels.
        width: width of the encoder; None for the published one.
    """

    network: str
    videos: int
    size: int
    width: int | None = None

    @classmethod
    def of(cls, network: str, videos: int | None, size: int | None = None, width: int | None = None) -> "Case":
        """Return the published case, with the given values changed."""
        return cls(network, videos or PUBLISHED[network], size or encoder_spec(network).size, width)

    def encoder(self) -> VideoEncoder:
        """Make a fresh encoder."""
        return create_encoder(self.network, width=self.width)


@dataclasses.dataclass(frozen=True)
class Step:
    """A step in two parts; calling it runs both, on the example.

    Attributes:
        prepare: turns a batch as it was read into the networks' input, on the device.
        train: does the rest, given the step's number and the prepared input, and returns the loss.
        example: a batch of noise.
    """

    prepare: Callable[[Any], Sequence[Tensor]]
    train: Callable[[int, Sequence[Tensor]], Tensor]
    example: Any

    def __call__(self, number: int) -> Tensor:
        """Run step `number`, and return its loss."""
        return self.train(number, self.prepare(self.example))


def make(case: Case, way: Way, device: torch.device) -> Step:
    """Make a step that is run on noise."""
    torch.manual_seed(0)
    return (_literal if way.literal else _ours)(case, way, device)


def method(**changes: float) -> dict[str, float]:
    """Return the arguments of `RSPNet`, as published except for the changes."""
    settings = vars(options.Pretext()) | {"num_frames": literal.SHOWN, "groups": 1} | changes
    return {name: value for name, value in settings.items() if name not in ("speeds", "bn_groups")}


class Alone:
    """Replaces accelerate's Accelerator for a step in a single process."""

    def __init__(self, backward: Callable[[Tensor], None] = Tensor.backward) -> None:
        self.backward = backward

    def no_sync(self, _: nn.Module) -> AbstractContextManager[None]:
        """Return a context that does nothing, because there are no other processes."""
        return nullcontext()


def _ours(case: Case, way: Way, device: torch.device) -> Step:
    model = RSPNet(case.encoder(), **method(groups=way.parts)).to(device)
    augment = Augment.to_feed(encoder_spec(case.network).clip, **vars(options.Augment()))
    if "channels_last" in way.switches:
        lay_out(model)
    compile_step(model, device, augment, wanted="compile" in way.switches)
    optimizer = optim.sgd(model, 1e-3, momentum=0.9, weight_decay=1e-4)
    forward, scaler = model.forward, _scaler(way, device)
    draws = StepDraws(0, case.videos, [2], bn_groups=way.parts)
    alone: Any = Alone(lambda loss: scaler.scale(loss).backward())

    def in_precision(*args: Any) -> Any:  # as accelerate does
        with way.autocast(device):
            return forward(*args)

    model.forward = in_precision

    def prepare(batch: Batch) -> Sequence[Tensor]:
        return list(augment.views(batch, device))

    def train(number: int, views: Sequence[Tensor]) -> Tensor:
        terms = pretrain_step(model, list(views), draws[number], accelerator=alone, micro_batches=way.parts)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        return terms["loss"]

    return Step(prepare, train, _our_batch(case, device))


def _literal(case: Case, way: Way, device: torch.device) -> Step:
    draw = random.Random(0)
    model = literal.Literal(case.encoder()).to(device)
    assert_plain(model)
    optimizer = literal.sgd(model, 1e-3)
    scaler = _scaler(way, device)

    def prepare(views: Sequence[Sequence[Tensor]]) -> Sequence[Tensor]:
        return [torch.stack([literal.augment(crop.to(device), case.size, draw) for crop in view]) for view in views]

    def train(number: int, clips: Sequence[Tensor]) -> Tensor:
        orders = [torch.randperm(case.videos).to(device) for _ in range(3)]
        with way.autocast(device):
            loss: Tensor = model(*clips, orders)["loss"]
        optimizer.zero_grad(set_to_none=False)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss.detach()

    return Step(prepare, train, _literal_batch(case.videos))


def _scaler(way: Way, device: torch.device) -> torch.amp.GradScaler:
    """Return a scaler of the loss in fp16, as accelerate uses it; in other precisions it does nothing."""
    return torch.amp.GradScaler(device.type, enabled=way.precision == "fp16")


def assert_plain(model: nn.Module) -> None:
    """Check that a network consists of torch's own layers with contiguous weights, so that nothing makes it faster."""
    own = [type(layer).__name__ for layer in model.modules() if not list(layer.children()) and _is_changed(layer)]
    assert not own, f"the literal step has layers that are not torch's: {own}"
    assert all(weight.is_contiguous() for weight in model.parameters())


def _is_changed(layer: nn.Module) -> bool:
    return type(layer).__module__.partition(".")[0] != "torch"


def _our_batch(case: Case, device: torch.device) -> Batch:
    """Return a batch as rspnet's loader makes it: query clips with the frames of one speed, key clips with both."""
    rng, videos, size = np.random.default_rng(0), case.videos, case.size
    frames = (literal.SHOWN, len(shown_frames(literal.SHOWN, (1, literal.SPEED))))
    clips = [torch.from_numpy(rng.integers(0, 256, (videos, n, size, size, 3), dtype=np.uint8)) for n in frames]
    if device.type == "cuda":
        clips = [view.pin_memory() for view in clips]
    none = torch.full((videos,), -1)
    seeds = torch.arange(2 * videos).view(videos, 2)
    return Batch(clips=clips, seeds=seeds, label=none, row=none, failed=none, reason=[""] * videos)


def _literal_batch(videos: int) -> list[list[Tensor]]:
    """Return a batch as the published workers make it: all frames of every clip, cropped but not resized."""
    rng = np.random.default_rng(0)
    noise = torch.from_numpy(rng.integers(0, 256, (literal.READ, *FRAME, 3), dtype=np.uint8))
    views: list[list[Tensor]] = []
    for _ in range(2):
        crops = [random_area_crop(rng, *FRAME, area=(0.4, 1.0)) for _ in range(videos)]
        views.append([noise[:, top : top + h, left : left + w].contiguous() for top, left, h, w in crops])
    return views
