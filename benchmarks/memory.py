"""Peak memory of a pretraining step on one GPU: computed without a GPU, and measured if there is one.

    python benchmarks/memory.py [--networks c3d,s3dg] [--out results/memory.json]
    python benchmarks/memory.py --device cuda

The step is that of stages/pretrain.py, from the augmented clips on, at the published batch of four GPUs and in four
batch-norm groups. Its memory is computed with fake tensors, which have a shape and no contents: every storage counts
from the operation that makes it until it is freed. Memory that an operation takes while it runs (cuDNN's workspaces) is
not counted, nor are the CUDA context and what the allocator keeps in reserve. With --device cuda real steps are made as
well, for cases that fit, and both numbers are shown. GB are 10^9 bytes.
"""

import argparse
import json
import platform
import time
import weakref
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from steps import PUBLISHED, Alone, method
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from rspnet import create_encoder
from rspnet.encoders import encoder_spec
from rspnet.method import optim
from rspnet.method.draws import StepDraws
from rspnet.method.pretext import RSPNet
from rspnet.method.steps import pretrain_step

GPUS = 4
"""GPUs of the published runs, and so the number of batch-norm groups."""


@dataclass(frozen=True)
class Case:
    """A step to compute the memory of.

    Attributes:
        network: name of an encoder.
        precision: float32 or bf16.
        micro_batches: number of parts in which the step is computed.
        videos: number of videos in a step; 0 for the published number.
    """

    network: str
    precision: str
    micro_batches: int
    videos: int = 0

    @property
    def batch(self) -> int:
        """Number of videos in a step."""
        return self.videos or GPUS * PUBLISHED[self.network]


ON_A_GPU = [
    Case("c3d", "float32", 4),
    Case("c3d", "bf16", 1),
    Case("resnet18", "bf16", 4),
    Case("r2plus1d", "bf16", 1),
    Case("s3dg", "bf16", 4),
    Case("s3dg", "float32", 4),
]
"""Cases of --device cuda."""


class _Counted(TorchDispatchMode):
    """Runs operations on fake tensors without computing, and counts the bytes that real ones would take."""

    def __init__(self) -> None:
        super().__init__()
        self.fake = FakeTensorMode(allow_non_fake_inputs=True)
        self.now = self.peak = 0
        self._held: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not any(isinstance(leaf, FakeTensor) for leaf in tree_leaves((args, kwargs))):
            return func(*args, **kwargs)
        with self.fake:
            result = func(*args, **kwargs)
        for leaf in tree_leaves(result):
            self.count(leaf)
        return result

    def empty(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Return a tensor that takes no memory, and is counted."""
        with self.fake:
            made = torch.empty(shape, dtype=dtype)
        self.count(made)
        return made

    def count(self, value: object) -> None:
        """Count a tensor's storage, once, until it is freed."""
        if not isinstance(value, FakeTensor):
            return
        storage = value.untyped_storage()
        if (key := storage._cdata) in self._held:
            return
        self._held.add(key)
        self.now += (size := storage.nbytes())
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self._held.discard(key)
        self.now -= size


def run(case: Case, device: torch.device, counted: _Counted | None = None) -> None:
    """Make a step like all but the first, when SGD's momentum buffers exist already."""
    spec = encoder_spec(case.network)
    model = RSPNet(create_encoder(case.network), **method(groups=GPUS)).to(device)
    if counted:
        _empty(model, counted)
    if case.precision == "bf16":
        model.forward = torch.autocast(device.type, torch.bfloat16)(model.forward)  # as accelerate does
    optimizer = optim.sgd(model, 1e-3, momentum=0.9, weight_decay=1e-4)
    for parameter in model.query_encoder.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    draws = StepDraws(0, case.batch, [2], bn_groups=GPUS)
    shapes = [(case.batch, 3, frames, spec.size, spec.size) for frames in (16, 24)]
    clips = [counted.empty(shape) if counted else torch.randn(shape, device=device) for shape in shapes]
    pretrain_step(model, clips, draws[0], accelerator=Alone(), micro_batches=case.micro_batches)
    optimizer.step()


def _empty(model: nn.Module, counted: _Counted) -> None:
    """Replace a network's tensors by fake ones without contents."""
    for module in model.modules():
        for name, value in module._parameters.items():
            if value is not None:
                module._parameters[name] = nn.Parameter(counted.empty(value.shape), value.requires_grad)
        for name, value in module._buffers.items():
            if value is not None:
                module._buffers[name] = counted.empty(value.shape, value.dtype)


def _as_on_a_gpu(pool: Any) -> Any:
    """Return max-pooling in the type of its input; on a CPU autocast would run it in single precision."""

    def pooled(*args: Any, **kwargs: Any) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            result: Tensor = pool(*args, **kwargs)
        return result

    return pooled


def worked_out(case: Case) -> float:
    """Return the peak memory in GB, computed with fake tensors."""
    with patch.object(nn.functional, "max_pool3d", _as_on_a_gpu(nn.functional.max_pool3d)), _Counted() as counted:
        run(case, torch.device("cpu"), counted)
    return counted.peak / 1e9


def measured(case: Case) -> float:
    """Return the peak memory in GB, as torch's allocator has measured it on a GPU."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    run(case, torch.device("cuda"))
    return torch.cuda.max_memory_allocated() / 1e9


def main() -> None:
    """Compute, on a GPU measure as well, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default=",".join(PUBLISHED), help="separated by commas")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda: measure as well")
    parser.add_argument("--out", help="JSON file for the numbers")
    args = parser.parse_args()
    networks = args.networks.split(",")
    every = [Case(name, precision, parts) for name in networks for precision in ("float32", "bf16") for parts in (1, 4)]
    found = []
    chosen = every if args.device == "cpu" else [case for case in ON_A_GPU if case.network in networks]
    for case in sorted(chosen, key=lambda case: -case.micro_batches):  # those that need the least memory come first
        began = time.perf_counter()
        row = asdict(case) | {"videos": case.batch, "worked_out_gb": worked_out(case)}
        seen = ""
        if args.device == "cuda":
            row["measured_gb"] = measured(case)
            seen = f"; measured {row['measured_gb']:6.1f} GB"
        row["seconds"] = time.perf_counter() - began
        found.append(row)
        parts = f"{case.micro_batches} part{'s' * (case.micro_batches > 1)}"
        said = f"{case.network:9s} {case.batch:4d} videos, {case.precision:7s}, {parts:7s}"
        print(f"{said}: {row['worked_out_gb']:6.1f} GB{seen}  ({row['seconds']:.0f} s)", flush=True)
    if args.out:
        machine = torch.cuda.get_device_name() if args.device == "cuda" else platform.machine()
        Path(args.out).write_text(json.dumps({"torch": torch.__version__, "device": machine, "steps": found}, indent=2))


if __name__ == "__main__":
    main()
