"""The gradients of a training step, computed in parts: the memory of one part, the gradients of the whole.

Batch-norm groups do not know of each other, and losses are means over clips, so that the parts' gradients add up to
those of the whole. The accelerator is handed in.

N clips of this process.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from rspnet.errors import ConfigError
from rspnet.method.draws import Draws
from rspnet.method.momentum import statistics_unmoved
from rspnet.method.pretext import LOG_TERMS, spread

if TYPE_CHECKING:
    from accelerate import Accelerator

Terms = dict[str, Tensor]
"""Scalars by name; and of `effective_rank`, a matrix."""


def check_micro_batches(number: int, divides: int, what: str) -> int:
    """See that a process's share of a step can be divided so, and return how much a part is.

    Args:
        number: of parts.
        divides: what they share, with `what` it is.
        what: in the plural.

    Raises:
        ConfigError: it cannot.
    """
    if divides % number:
        fitting = [str(count) for count in range(1, divides + 1) if divides % count == 0]
        raise ConfigError(
            f"run.micro_batches: {number}; each process has {divides} {what} to divide: take {' or '.join(fitting[:9])}"
        )
    return divides // number


def pretrain_step(
    model: nn.Module, clips: list[Tensor], draws: Draws, *, accelerator: "Accelerator", micro_batches: int
) -> Terms:
    """Add one pretraining step's gradients to those of the parameters.

    Args:
        model: an `rspnet.method.pretext.RSPNet`, as the accelerator prepared it.
        clips: the step's query and key clips, as the model takes them. The list is emptied: nobody but this function
            holds on to them, so that their memory is free as soon as it can be.
        draws: the step's.
        accelerator: whose precision and processes it goes by.
        micro_batches: number of parts; they divide the model's batch-norm groups.

    Returns:
        The log terms of the whole batch of this process: the losses and `LOG_TERMS`.
    """
    query = clips.pop(0)
    with torch.no_grad():  # through the wrapper, which sees to precision
        keys = model(None, clips.pop(), draws)
    outs, embeddings, size = list[Terms](), list[Tensor](), len(query) // micro_batches
    for part in _parts(model, accelerator, micro_batches):
        rows = slice(part * size, (part + 1) * size)
        out = model(query[rows], keys[rows], draws)
        accelerator.backward(out["loss"] / micro_batches)
        outs.append({name: out[name].detach() for name in ("loss", "loss_avid", "loss_rsp", *LOG_TERMS)})
        embeddings.append(out["embeddings"])
    together = {"spread": spread(torch.cat(embeddings))} if micro_batches > 1 else {}  # no mean of those of the parts
    return _means(outs) | together


def finetune_step(
    model: nn.Module, clips: list[Tensor], labels: Tensor, *, accelerator: "Accelerator", micro_batches: int
) -> Terms:
    """Add one fine-tuning step's gradients to those of the parameters; batch statistics are those of each part.

    Args:
        model: an `rspnet.method.classifier.Classifier`, as the accelerator prepared it.
        clips: the step's clips (N, 3, T, H, W), as the one item of a list, which is emptied.
        labels: class indices (N,).
        accelerator: whose precision and processes it goes by.
        micro_batches: number of parts; they divide N.

    Returns:
        ``loss`` and ``train_top1`` of the whole batch of this process.
    """
    parts = list(zip(clips.pop().chunk(micro_batches), labels.chunk(micro_batches), strict=True))
    outs = list[Terms]()
    for part in _parts(model, accelerator, micro_batches):
        out = model(*parts[part])
        accelerator.backward(out["loss"] / micro_batches)
        outs.append({"loss": out["loss"].detach(), "train_top1": out["top1"]})
    return _means(outs)


def _parts(model: nn.Module, accelerator: "Accelerator", number: int) -> Iterator[int]:
    """The numbers of the parts, each in what it is to be computed in.

    The last one has the processes exchange their gradients, the first one moves the running statistics: those are what
    as many processes would keep.
    """
    for part in range(number):
        with ExitStack() as stack:
            if part < number - 1:
                stack.enter_context(accelerator.no_sync(model))
            if part:
                stack.enter_context(statistics_unmoved(model))
            yield part


def _means(outs: Sequence[Terms]) -> Terms:
    if len(outs) == 1:
        return outs[0]
    return {name: torch.stack([out[name] for out in outs]).mean(0) for name in outs[0]}
