"""Steps in parts, each with a backward of its own; those of pretraining are in test_pretext.py."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from rspnet.errors import ConfigError
from rspnet.method.classifier import Classifier
from rspnet.method.steps import check_micro_batches, finetune_step

ACCELERATOR = SimpleNamespace(backward=torch.Tensor.backward, no_sync=lambda module: nullcontext())


def classifier():
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Conv3d(3, 4, 2), nn.BatchNorm3d(4), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten())
    encoder.num_features, encoder.reset_classifier = 4, lambda classes: None
    return Classifier(encoder, 3).double()


def test_parts_of_a_fine_tuning_are_as_many_processes():
    """Their mean gradients and losses; the statistics are those of the first, which is the process that is saved."""
    generator = torch.Generator().manual_seed(1)
    clips, labels = torch.randn(6, 3, 4, 5, 5, generator=generator).double(), torch.tensor([0, 1, 2, 2, 1, 0])
    clips *= torch.arange(1, 7).view(-1, 1, 1, 1, 1)
    together, whole, processes = classifier(), classifier(), [classifier() for _ in range(3)]
    given = [clips.clone()]
    terms = finetune_step(together, given, labels, accelerator=ACCELERATOR, micro_batches=3)
    assert given == []
    outs = [process(clips[rows], labels[rows]) for process, rows in zip(processes, torch.arange(6).chunk(3))]
    for out in outs:
        out["loss"].backward()
    for name, term in (("loss", "loss"), ("top1", "train_top1")):
        torch.testing.assert_close(terms[term], torch.stack([out[name] for out in outs]).mean())
    assert not terms["loss"].requires_grad
    for name, parameter in together.named_parameters():
        gradients = [dict(process.named_parameters())[name].grad for process in processes]
        torch.testing.assert_close(parameter.grad, torch.stack(gradients).mean(0), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(dict(together.named_buffers()), dict(processes[0].named_buffers()))
    assert finetune_step(whole, [clips], labels, accelerator=ACCELERATOR, micro_batches=1)["loss"] != terms["loss"]


def test_parts_that_do_not_come_out_even_are_refused():
    assert check_micro_batches(2, 4, "batch-norm groups") == 2
    with pytest.raises(ConfigError, match="micro_batches: 3 does not divide the 4 batch-norm groups of each process; "):
        check_micro_batches(3, 4, "batch-norm groups")
