"""Make files like the published code's: from modules of the same structure, or by its recorded layouts."""

import json
import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, MultiStepLR

from rspnet.encoders import create_encoder

PUBLISHED = {"c3d": "c3d", "resnet18": "resnet18", "r2plus1d": "r2plus1d-vcop", "s3dg": "s3dg"}
KINDS = ("pretrain_checkpoint", "finetune_checkpoint_101")


def small(name: str, width: int = 8, **kwargs):
    """Return a small encoder with random weights and batch-norm statistics."""
    encoder = create_encoder(name, width=width, **kwargs)
    for value in encoder.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.1, 0.9)
        else:
            value.fill_(7)
    return encoder


def two_heads(name: str, width: int = 8, dim: int = 16) -> nn.Module:
    """The published wrapper: an encoder with its unused 1-class classifier, and the two heads."""
    net = nn.Module()
    net.encoder = small(name, width, num_classes=1)
    net.fc1, net.fc2 = (
        nn.Sequential(nn.Identity(), nn.Identity(), nn.Linear(net.encoder.num_features, dim)) for _ in "12"
    )
    return net


def pretraining(name: str, width: int = 8, dim: int = 16, queue_length: int = 8) -> nn.Module:
    """Return a module with everything that the published pretraining saves as its model."""
    whole = nn.Module()
    whole.register_buffer("queue", torch.randn(dim, queue_length))
    whole.register_buffer("queue_ptr", torch.zeros(1, dtype=torch.int64))
    whole.encoder_q, whole.encoder_k = (two_heads(name, width, dim) for _ in "qk")
    return whole


def fine_tuned(name: str, num_classes: int = 5, width: int = 8) -> nn.Module:
    """Return a module with everything that the published fine-tuning saves as its model."""
    whole = nn.Module()
    whole.encoder = small(name, width, num_classes=1)
    whole.fc = nn.Linear(whole.encoder.num_features, num_classes)
    return whole


def optimizer_of(whole: nn.Module) -> torch.optim.SGD:
    """Return the published optimizer, which lists all parameters, also those that never get a gradient."""
    return torch.optim.SGD(whole.parameters(), lr=0.1, momentum=0.9, dampening=0.0, weight_decay=1e-4)


def stepped(whole: nn.Module) -> torch.optim.SGD:
    """Return the published optimizer after a step with random gradients of the parameters that are trained."""
    unused = f"encoder.{next(m for m in whole.modules() if hasattr(m, 'classifier_name')).classifier_name}."
    for name, parameter in whole.named_parameters():
        if unused not in name and not name.startswith("encoder_k."):
            parameter.grad = torch.rand_like(parameter)
    optimizer = optimizer_of(whole)
    optimizer.step()
    return optimizer


def pretraining_file(path: Path, name: str, **changes) -> nn.Module:
    """Write a file as the published pretraining does; return the encoder in it."""
    whole = pretraining(name)
    optimizer = stepped(whole)
    schedule = CosineAnnealingLR(optimizer, T_max=200)
    contents = {
        "epoch": 200,
        "arch": PUBLISHED[name],
        "model": whole.state_dict(),
        "best_loss": 5.06,
        "optimizer": optimizer.state_dict(),
        "scheduler": schedule.state_dict(),
    }
    torch.save(contents | changes, path)
    return whole.encoder_q.encoder


def fine_tuned_file(path: Path, name: str, num_classes: int = 5) -> nn.Module:
    """Write a file as the published fine-tuning does; return the module in it."""
    whole = fine_tuned(name, num_classes)
    optimizer = stepped(whole)
    schedule = MultiStepLR(optimizer, milestones=[50, 70])
    contents = {"epoch": 30, "arch": PUBLISHED[name], "model": whole.state_dict(), "best_acc1": 66.7}
    torch.save(contents | {"optimizer": optimizer.state_dict(), "scheduler": schedule.state_dict()}, path)
    return whole


def read_layout(shared: Path, name: str, kind: str) -> dict[str, Any]:
    return json.loads((shared / "fixtures" / f"layout_{name}.json").read_text())[kind]


def laid_out(layout: dict[str, Any], tensor: Callable[[str, list[int], torch.dtype], Tensor]) -> dict[str, Any]:
    """Return the contents of a published file, with every key, type, order and value that its layout records.

    Args:
        layout: as `read_layout` returns it.
        tensor: makes the value of an entry, given its key, shape and type.
    """
    rows = {key: (shape, getattr(torch, dtype)) for key, shape, dtype in layout["state_dict"]}
    top = layout["toplevel"]
    model = OrderedDict((key, tensor(key, *row)) for key, row in rows.items())
    model._metadata = OrderedDict([("", {"version": 1}), ("encoder", {"version": 1})])
    parameters = layout["optimizer_param_names"]
    optimizer = top["optimizer"]
    assert optimizer["state"]["entry_key_sets"] == ["['momentum_buffer']"]
    state = {i: {"momentum_buffer": tensor(parameters[i], *rows[parameters[i]])} for i in optimizer["state"]["keys"]}
    (group,) = optimizer["param_groups"]["items"]
    settings = {key: _value(node) for key, node in group["items"].items() if key != "params"}
    made = {"model": model, "optimizer": {"state": state}}
    made["optimizer"]["param_groups"] = [settings | {"params": list(range(len(parameters)))}]
    return {key: made[key] if key in made else _value(node) for key, node in top.items()}


def _value(node: dict[str, Any]) -> Any:
    """Return a recorded value, of the recorded type."""
    if "items" not in node:
        assert type(node["value"]).__name__ == node["type"]
        return node["value"]
    items = node["items"]
    return [_value(item) for item in items] if node["type"] == "list" else {k: _value(v) for k, v in items.items()}


class Code:
    """Its pickle calls a function (os.mkdir) when it is loaded."""

    def __reduce__(self):
        return os.mkdir, ("executed",)
