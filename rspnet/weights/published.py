"""Build the contents of a published checkpoint from a run of ours: its entries, their names and their order.

In the published code (commit 2958779) a pretraining file's `model` holds `queue`, `queue_ptr`, `encoder_q.*` and
`encoder_k.*`, a fine-tuned one's `encoder.*` and `fc.*`. Each encoder also has a 1-class classifier, never trained or
used, which ours do not have; it is filled with zeros. The optimizer lists all parameters in the order of the model,
also those that have no momentum: the key encoder's and the unused classifier's. The scheduler counts finished epochs.
"""

from collections import OrderedDict
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, MultiStepLR

from rspnet.errors import CheckpointError
from rspnet.weights.entries import OURS
from rspnet.weights.read import PUBLISHED_NAMES, WeightFile, few

_ARCHS = {ours: theirs for theirs, ours in PUBLISHED_NAMES.items()}
_WIDTH = 64  # the published code builds no other


class FinishedRun(Protocol):
    """A run at one of its checkpoints: its folder, step and state, the run's options, and the epochs logged so far."""

    folder: Path
    step: int
    config: dict[str, Any]
    state: dict[str, Any]
    epochs: list[dict[str, Any]]


def of_weights(file: WeightFile) -> tuple[dict[str, Any], list[str]]:
    """Return the contents of a published file made from weights alone, and the parts that it lacks.

    Raises:
        CheckpointError: If the published code has no such network.
    """
    arch = _arch(file)
    state = {f"encoder.{name}": file.tensors[key] for name, key in file.entries.encoder.items()}
    state |= {f"fc.{name}": file.tensors[key] for name, key in file.entries.head.items()}
    if file.entries.head:
        names, lacks = _classifier_names(file), ["best_acc1", "optimizer", "scheduler"]
    else:
        names = _backbone_names(file, "encoder_q.encoder", "encoder")
        lacks = ["heads", "key encoder", "queue", "best_loss", "optimizer", "scheduler"]
    known = {} if file.epoch is None else {"epoch": file.epoch}
    return {**known, "arch": arch, "model": _model(file, state, names)}, lacks


def of_run(file: WeightFile, run: FinishedRun) -> dict[str, Any]:
    """Return the contents of a published file made from a run at one of its checkpoints.

    The published optimizer is SGD; the state of another one is left out.

    Args:
        file: The run's encoder.safetensors, which must be from that checkpoint, or the checkpoint itself.
        run: The run at that checkpoint.

    Raises:
        CheckpointError: If the published code has no such network, or the checkpoint holds other weights than `file`.
    """
    arch, tuned = _arch(file), bool(file.entries.head)
    state = run.state["model"]
    own = file.path.parent == run.folder
    inside = {key: state.get(key if tuned or own else f"{OURS}{key}") for key in file.tensors}
    if not all(inside[key] is not None and torch.equal(inside[key], value) for key, value in file.tensors.items()):
        raise CheckpointError(f"{run.folder}: holds other weights than {file.path}; give an unchanged run folder")

    if tuned:
        names, trained = _classifier_names(file), "fc." if run.config["frozen"] else ""
        best = {"best_acc1": max((event["val_top1"] for event in run.epochs), default=0.0)}
    else:
        names, trained = _pretraining_names(file), "query_encoder."
        best = {"best_loss": min((event["loss"] for event in run.epochs), default=float("inf"))}
    ours = [name for name in state if _is_parameter(name) and name.startswith(trained)]
    optimizer = run.state["optimizer"] if optimizer_of(run) == "sgd" else run.state["optimizer"] | {"state": {}}
    epoch = run.epochs[-1]["epoch"] if run.epochs else 0
    group, scheduler = _schedule(run.config["optim"], epoch)
    return {
        "epoch": epoch,
        "arch": arch,
        "model": _model(file, state, names),
        **best,
        "optimizer": _optimizer(optimizer, ours, names, group=group),
        "scheduler": scheduler,
    }


def optimizer_of(run: FinishedRun) -> str:
    """Return the name of a run's optimiser: `sgd`, or `adam`."""
    return str(run.config["optim"]["optimizer"])


def _arch(file: WeightFile) -> str:
    """Return the network's published name."""
    if file.arch not in _ARCHS:
        raise CheckpointError(f"{file.path}: holds {file.arch}; the published code has only {', '.join(_ARCHS)}")
    if file.width != _WIDTH:
        raise CheckpointError(
            f"{file.path}: its {file.arch} has width {file.width}; the published code has only {_WIDTH}, and could not "
            "load it"
        )
    return _ARCHS[file.arch]


def _pretraining_names(file: WeightFile) -> dict[str, str]:
    """Return a dict of published name -> ours, in the published order, as do the next two functions."""
    names = {"queue": "queue.columns", "queue_ptr": "queue.pointer"}
    for theirs, ours in (("encoder_q", "query_encoder"), ("encoder_k", "key_encoder")):
        names |= _backbone_names(file, f"{theirs}.encoder", f"{ours}.encoder")
        for their_head, our_head in (("fc1.2", "appearance"), ("fc2.2", "motion")):
            names |= {f"{theirs}.{their_head}.{name}": f"{ours}.{our_head}.{name}" for name in ("weight", "bias")}
    return names


def _classifier_names(file: WeightFile) -> dict[str, str]:
    return _backbone_names(file, "encoder", "encoder") | {name: name for name in ("fc.weight", "fc.bias")}


def _backbone_names(file: WeightFile, theirs: str, ours: str) -> dict[str, str]:
    return {f"{theirs}.{name}": f"{ours}.{name}" for name in _backbone(file)[0]}


def _backbone(file: WeightFile) -> tuple[dict[str, Tensor], str]:
    """Return the published network's entries, on the meta device, and the prefix of its unused classifier's."""
    from rspnet.encoders import create_encoder  # here, because it loads timm

    with torch.device("meta"):
        network = create_encoder(file.arch, num_classes=1, width=_WIDTH)
    return network.state_dict(), f"{network.classifier_name}."


def _model(file: WeightFile, state: dict[str, Tensor], names: dict[str, str]) -> OrderedDict[str, Tensor]:
    """Return the tensors under their published names."""
    if strange := state.keys() - names.values():
        raise CheckpointError(f"{file.path}: has entries that the published code does not have: {few(sorted(strange))}")
    network, unused = _backbone(file)
    model = OrderedDict()
    for theirs, ours in names.items():
        name = theirs.split("encoder.")[-1]
        if ours in state:
            model[theirs] = state[ours]
        elif name.startswith(unused):
            model[theirs] = torch.zeros(network[name].shape)
        # otherwise it is a batch counter, which the oldest files lack
    return model


def _optimizer(
    saved: dict[str, Any], ours: list[str], names: dict[str, str], *, group: dict[str, Any]
) -> dict[str, Any]:
    """Return the optimizer's state with its parameters numbered as in the published code.

    Args:
        saved: State of our optimizer.
        ours: Our names of its parameters, in its order.
        names: Published name -> ours, for the whole model.
        group: The published parameter group, without `params`.
    """
    numbers = {our_name: number for number, our_name in enumerate(filter(_is_parameter, names.values()))}
    assert len(ours) == len(saved["param_groups"][0]["params"])
    state = {numbers[ours[number]]: dict(entry) for number, entry in saved["state"].items()}
    return {"state": state, "param_groups": [group | {"params": list(range(len(numbers)))}]}


def _schedule(settings: dict[str, Any], epoch: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parameter group and the scheduler of the published code after an epoch.

    Args:
        settings: The section `optim` of the run's config.
        epoch: Epochs finished.
    """
    from rspnet.method import optim  # here, because it loads timm

    lr = optim.scaled_lr(settings["lr"], settings["total_batch"], settings["lr_batch"])
    factor = settings["decay"]
    lr_at = optim.Schedule(settings["schedule"], lr, settings["epochs"], settings["milestones"], factor)
    # Made by torch's own classes, so that the states have all the keys that they need.
    momentum, decay = float(settings["momentum"]), float(settings["weight_decay"])
    sgd = torch.optim.SGD([torch.zeros(1)], lr=lr, momentum=momentum, dampening=0.0, weight_decay=decay)
    scheduler: LRScheduler
    if settings["schedule"] == "cosine":
        scheduler = CosineAnnealingLR(sgd, T_max=settings["epochs"], eta_min=lr_at(settings["epochs"]))
    else:
        scheduler = MultiStepLR(sgd, settings["milestones"], gamma=factor)
    now = lr_at(epoch)
    group = sgd.state_dict()["param_groups"][0] | {"lr": now}
    return group, scheduler.state_dict() | {"last_epoch": epoch, "_step_count": epoch + 1, "_last_lr": [now]}


def _is_parameter(name: str) -> bool:
    return name.endswith((".weight", ".bias"))
