"""Replay recorded training steps of the published code, and report how far rspnet's numbers are from them.

    python tests/support/replay_step.py FILE.npz [--dtype float64|float32] [--laid_out]

A file records three SGD steps: every random draw, losses, logits, embeddings, gradient norms, the queue, checksums of
both encoders. Weights and clips are rebuilt from a recipe (recipe.py beside the file). For a file of several processes
(`NAME.rankR.npz`) the steps are computed in one process with as many batch-norm groups, or, started by a launcher, in
as many processes:

    torchrun --standalone --nproc_per_node 2 tests/support/replay_step.py step_ws2_resnet18.rank0.npz

Prints the worst relative error per quantity; exit status 1 beyond tolerance (float64 1e-8 over three steps; float32
1e-4 at step 0, where gradients and what they move are held to 1e-2: rounding decides which way a ReLU falls).
"""

import argparse
import importlib.util
import os
import re
import sys
from collections import defaultdict
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from rspnet import create_encoder
from rspnet.cli import options
from rspnet.method import optim
from rspnet.method.pretext import Draws, RSPNet
from rspnet.running.layout import lay_out

ARCHITECTURES = ("c3d", "resnet18", "s3dg", "r2plus1d")
LEARNING_RATE = 0.1
PUBLISHED = {
    r"^query_encoder\.encoder\.": "encoder_q.encoder.",
    r"^query_encoder\.appearance\.": "encoder_q.fc1.2.",
    r"^query_encoder\.motion\.": "encoder_q.fc2.2.",
    r"^key_encoder\.encoder\.": "encoder_k.encoder.",
    r"^key_encoder\.appearance\.": "encoder_k.fc1.2.",
    r"^key_encoder\.motion\.": "encoder_k.fc2.2.",
    r"^queue\.columns$": "queue",
    r"^queue\.pointer$": "queue_ptr",
}


def published_name(name: str) -> str:
    """Return the published name of one of our state-dict keys."""
    for pattern, replacement in PUBLISHED.items():
        name = re.sub(pattern, replacement, name)
    return name


def load_recipe(folder: Path) -> ModuleType:
    """Import recipe.py, which makes weights, clips and draws."""
    spec = importlib.util.spec_from_file_location("recipe", folder / "recipe.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def architecture(path: Path) -> str:
    """Return the network of a file, recognised by the file's name or its contents."""
    with np.load(path) as record:
        text = f"{path.name} {record.get('meta', '')}"
    for name in ARCHITECTURES:
        if re.search(rf"(^|[^a-z0-9]){name}([^a-z0-9]|$)", text):
            return name
    raise SystemExit(f"{path}: names none of {', '.join(ARCHITECTURES)}")


def replay(path: Path, dtype: torch.dtype, steps: int = 3, *, laid_out: bool = False) -> dict[str, float]:
    """Return the worst relative error (max |difference| / max |recorded|) of each quantity over the steps compared.

    With several processes each compares what it computes with the record of its own rank.
    """
    files = sorted(path.parent.glob(re.sub(r"rank\d+", "rank*", path.name)))
    ranks = range(len(files))
    if dist.is_initialized():
        assert dist.get_world_size() == len(files), f"recorded by {len(files)} processes, not {dist.get_world_size()}"
        ranks = [dist.get_rank()]
    records = [dict(np.load(files[rank])) for rank in ranks]
    recipe = load_recipe(path.parent)
    name, precision = architecture(path), "f64" if dtype == torch.float64 else "f32"
    torch.manual_seed(0)
    groups, size = len(ranks), 4
    all_clips = size * len(files)
    settings = vars(options.Pretext(queue_length=32)) | {"num_frames": 16, "groups": groups}
    del settings["speeds"], settings["bn_groups"]
    model = RSPNet(create_encoder(name), **settings).to(dtype)
    for key, value in model.state_dict().items():
        filled = torch.from_numpy(np.asarray(recipe.fill_array(published_name(key), value.shape)))
        value.copy_(filled.reshape(value.shape))
    if laid_out:
        lay_out(model)
    if len(files) > 1:
        model.queue.pointer.fill_(24)
    step_of = DistributedDataParallel(model) if dist.is_initialized() else model
    optimizer = optim.sgd(model, lr=LEARNING_RATE, momentum=0.9, weight_decay=1e-4)

    embeddings: list[tuple[str, torch.Tensor]] = []
    worst: dict[str, float] = defaultdict(float)

    def compare(quantity: str, ours: object, recorded: np.ndarray, scale: float | None = None) -> None:
        ours = np.asarray(ours.detach() if isinstance(ours, torch.Tensor) else ours, dtype=np.float64)
        recorded = np.asarray(recorded, dtype=np.float64)
        scale = scale or max(np.abs(recorded).max(), 1e-30)
        worst[quantity] = max(worst[quantity], float(np.abs(ours.reshape(recorded.shape) - recorded).max() / scale))

    for which in ("query_encoder", "key_encoder"):
        getattr(model, which).register_forward_hook(lambda _, __, out, which=which: embeddings.append((which, out)))

    for step in range(steps if dtype == torch.float64 else 1):
        drawn = [recipe.draws(step + 50 * rank, size, all_clips) for rank in range(len(files))]
        draws = Draws(
            # The first half of the permutation plays at normal speed.
            fast=torch.from_numpy(np.concatenate([np.argsort(drawn[rank]["speed"]) >= size // 2 for rank in ranks])),
            speed=2,
            shuffle_other=torch.from_numpy(drawn[0]["neg"]),
            shuffle_same=torch.from_numpy(drawn[0]["pos"]),
        )
        query, key = (
            torch.cat(
                [
                    torch.from_numpy(recipe.clip_array(base + 10 * step + 1000 * rank, (size, 3, 32, 64, 64)))
                    for rank in ranks
                ]
            ).to(dtype)
            for base in (200, 201)
        )
        embeddings.clear()
        optimizer.zero_grad()
        fast = draws.fast.view(-1, 1, 1, 1, 1)
        query = torch.where(fast, query[:, :, ::2], query[:, :, :16])
        out = step_of(query, key[:, :, [*range(16), *range(16, 32, 2)]], draws)
        out["loss"].backward()
        calls = [[e for w, e in embeddings if w == "key_encoder"], [e for w, e in embeddings if w == "query_encoder"]]
        for group, record in enumerate(records):
            rows = slice(group * size, (group + 1) * size)
            was = {k.split("/", 2)[2]: v for k, v in record.items() if k.startswith(f"{precision}/step{step}/")}
            was |= {k.split("/", 2)[2]: v for k, v in record.items() if k.startswith(f"f32/step{step}/queue_ptr")}
            compare("logits", out["logits_same"][rows], was["logits1"])
            compare("logits", out["logits_other"][rows], was["logits2"])
            compare("speed similarities", out["near"][rows], was["l_pos_M"])
            compare("speed similarities", out["far"][rows], was["l_neg_M"])
            for head, x in enumerate(("x1", "x2")):
                compare("embeddings", calls[0][group][head], was[f"enc0_k_{x}"])
                compare("embeddings", calls[0][groups + group][head], was[f"enc1_k_{x}"])
                compare("embeddings", calls[1][group][head], was[f"enc2_q_{x}"])
            compare("queue pointer", model.queue.pointer, was["queue_ptr"])
            columns = record[f"f32/step{step}/queue_cols_written"]
            compare("queue", model.queue.columns[:, columns], was["queue_written"])
        for quantity, recorded in (("loss", "loss"), ("loss_avid", "loss_A"), ("loss_rsp", "loss_M")):
            compare(quantity, out[quantity], np.mean([r[f"{precision}/step{step}/{recorded}"] for r in records]))

        record, prefix = records[0], f"{precision}/step{step}"
        gradients = {published_name(n): p.grad for n, p in model.named_parameters() if p.grad is not None}
        recorded = dict(zip(record["f32/param_names"], record[f"{prefix}/grad_norm_per_param"]))
        recorded = {n: v for n, v in recorded.items() if not np.isnan(v)}
        assert recorded.keys() == gradients.keys(), sorted(recorded.keys() ^ gradients.keys())
        largest = max(recorded.values())
        for parameter, norm in recorded.items():
            # Against the largest: a bias before a batch norm has gradient zero up to rounding.
            compare("gradient norms", gradients[parameter].norm(), norm, scale=largest)
        optimizer.step()

        sums = dict(zip(record["f32/init/keys"], record[f"{prefix}/state_sum_l2"]))
        for key, value in model.state_dict().items():
            total, norm = sums.pop(published_name(key))
            value = value.double()
            if published_name(key) in recorded:
                # A parameter's error is that of its gradient, so it is measured against the largest update.
                move = LEARNING_RATE * largest
                compare("parameters, sum", value.sum(), total, scale=move * value.numel() ** 0.5)
                compare("parameters, norm", value.norm(), norm, scale=move)
            else:
                compare("key encoder and statistics, sum", value.sum(), total, scale=max(abs(total), norm, 1.0))
                compare("key encoder and statistics, norm", value.norm(), norm, scale=max(norm, 1.0))
        unused = {key for key in sums if not re.match(r"encoder_[qk]\.encoder\.(fc|linear)\.", key)}
        assert not unused, f"recorded but not ours: {sorted(unused)}"
    return dict(worst)


def main(argv: list[str]) -> int:
    """Parse the command line, print the table, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64")
    parser.add_argument("--laid_out", action="store_true", help="with weights laid out in memory as in the stages")
    parser.add_argument("--steps", type=int, default=3, help="number of the three recorded steps to replay (float64)")
    options = parser.parse_args(argv)
    dtype = getattr(torch, options.dtype)
    if "WORLD_SIZE" in os.environ:
        dist.init_process_group("gloo")
    tolerance = {"float64": defaultdict(lambda: 1e-8), "float32": defaultdict(lambda: 1e-4)}[options.dtype]
    if dtype == torch.float32:
        tolerance |= dict.fromkeys(("gradient norms", "parameters, sum", "parameters, norm"), 1e-2)
    failed = False
    where = f"rank {dist.get_rank()}  " if dist.is_initialized() else ""
    for quantity, error in replay(options.file, dtype, options.steps, laid_out=options.laid_out).items():
        beyond = not error <= tolerance[quantity]
        failed |= beyond
        print(f"{where}{quantity:34s} {error:.2e}  {'BEYOND' if beyond else 'within'} {tolerance[quantity]:.0e}")
    if dist.is_initialized():
        dist.destroy_process_group()
    return int(failed)


def command(argv: list[str]) -> None:
    """Run `main`, and end the program with its exit status."""
    sys.exit(main(argv))


if __name__ == "__main__":
    command(sys.argv[1:])
