"""The gradients of a training step, computed in micro-batches: with the memory of one, the gradients of the whole.

In pretraining this is exact: batch-norm groups are independent of each other, and the losses are means over clips. In
fine-tuning each micro-batch has its own batch statistics.

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
"""Scalars by name, and a matrix as `effective_rank` (see `rspnet.method.pretext.moments`)."""


def check_micro_batches(number: int, divides: int, what: str) -> int:
    """Check that a process's share of a step can be divided into micro-batches, and return the size of one.

    Args:
        number: number of micro-batches.
        divides: number of things to divide.
        what: what these are, in the plural, for the message.

    Raises:
        ConfigError: `divides` is not a multiple of `number`.
    """
    if divides % number:
        fitting = [str(count) for count in range(1, divides + 1) if divides % count == 0]
        raise ConfigError(
            f"run.micro_batches: {number} does not divide the {divides} {what} of each process; take "
            f"{' or '.join(fitting[:9])}"
        )
    return divides // number


def pretrain_step(
    model: nn.Module, clips: list[Tensor], draws: Draws, *, accelerator: "Accelerator", micro_batches: int
) -> Terms:
    """Add the gradients of one pretraining step to those of the parameters.

    Args:
        model: an `rspnet.method.pretext.RSPNet`, as the accelerator prepared it.
        clips: the step's query clips (N, 3, T, H, W) and key clips (N, 3, U, H, W). The list is emptied, so that their
            memory is freed as early as possible.
        draws: the step's random choices.
        accelerator: the run's, which handles precision and processes.
        micro_batches: number of micro-batches, which divides the model's number of batch-norm groups.

    Returns:
        The log terms of the whole batch of this process: the losses and `LOG_TERMS`.
    """
    query = clips.pop(0)
    with torch.no_grad():  # the wrapper is called, not the module, because it sets the precision
        keys = model(None, clips.pop(), draws)
    outs, embeddings, size = list[Terms](), list[Tensor](), len(query) // micro_batches
    for part in _parts(model, accelerator, micro_batches):
        rows = slice(part * size, (part + 1) * size)
        out = model(query[rows], keys[rows], draws)
        accelerator.backward(out["loss"] / micro_batches)
        outs.append({name: out[name].detach() for name in ("loss", "loss_avid", "loss_rsp", *LOG_TERMS)})
        embeddings.append(out["embeddings"])
    together = {"spread": spread(torch.cat(embeddings))} if micro_batches > 1 else {}  # not the mean of the parts'
    return _means(outs) | together


def finetune_step(
    model: nn.Module, clips: list[Tensor], labels: Tensor, *, accelerator: "Accelerator", micro_batches: int
) -> Terms:
    """Add the gradients of one fine-tuning step to those of the parameters; each micro-batch has own batch statistics.

    Args:
        model: an `rspnet.method.classifier.Classifier`, as the accelerator prepared it.
        clips: a list whose one item is the step's clips (N, 3, T, H, W); it is emptied, as in `pretrain_step`.
        labels: class indices (N,).
        accelerator: the run's, which handles precision and processes.
        micro_batches: number of micro-batches, which divides N.

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
    """Yield the index of each micro-batch, inside the contexts in which it has to be computed.

    Only the last one makes the processes exchange gradients. Only the first one updates the running statistics, as if
    each micro-batch were on a process of its own (see `rspnet.method.momentum.grouped`).
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
