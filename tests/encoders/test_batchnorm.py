"""Batch normalisation gives the same numbers whatever the order in memory; torch's own does not."""

import pytest
import torch
from torch import nn

from rspnet.encoders.batchnorm import ADDED, BatchNorm3d, blocks, statistics

LAST = torch.channels_last_3d


def drawn(*shape, dtype=torch.float32, seed=0):
    return (
        torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).mul_(2).add_(1).to(dtype)
    )


def both(maps, *, kind=BatchNorm3d, **options):
    """What torch's layer makes of contiguous maps, and ours (or another) of maps in the other order: all of it."""
    found = []
    for layer, given in ((nn.BatchNorm3d, maps), (kind, maps.contiguous(memory_format=LAST))):
        layer = layer(maps.shape[1], **options).to(torch.promote_types(maps.dtype, torch.float32))
        if layer.affine:
            nn.init.uniform_(layer.weight, 0.5, 1.5, generator=torch.Generator().manual_seed(1))
            nn.init.uniform_(layer.bias, -1, 1, generator=torch.Generator().manual_seed(2))
        given = given.detach().requires_grad_()
        out = layer(given)
        gradient = drawn(*maps.shape, dtype=maps.dtype, seed=3)
        by = torch.autograd.grad(out, [given, *layer.parameters()], gradient)
        found.append([out, *by, *layer.buffers()])
    return zip(*found, strict=True)


@pytest.mark.parametrize("options", [{}, {"momentum": None}, {"affine": False}, {"track_running_stats": False}])
def test_the_same_numbers_in_either_order(options):
    """Forward, backward and running statistics, with an odd number of positions."""
    for one, other in both(drawn(3, 5, 8, 29, 29, dtype=torch.float64), **options):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
        assert other.ndim < 5 or other.is_contiguous(memory_format=LAST)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 1e-2)])
def test_other_precisions(dtype, tolerance):
    for one, other in both(drawn(3, 5, 8, 29, 29, dtype=dtype)):
        assert one.dtype == other.dtype
        assert (one - other).double().norm() <= tolerance * one.double().norm()


def test_what_torch_adds_up_wrongly_is_right_here():
    """Three million values of a channel; upstream gradients of one sign, as pooling gives them, are the worst case."""
    maps = drawn(16, 2, 16, 112, 112)
    variance = maps.double().var(dim=(0, 2, 3, 4), correction=0)

    def wrong(found):
        return float((found.double() / variance - 1).abs().max())

    last = maps.contiguous(memory_format=LAST)
    assert wrong(torch.batch_norm_update_stats(last, None, None, 0.0)[1]) > 3e-4  # else this file is not needed
    assert wrong(statistics(last)[1]) < 2e-6

    upstream = drawn(*maps.shape, seed=4).abs_()
    found = []
    for layer, given in ((nn.BatchNorm3d(2).double(), maps.double()), (BatchNorm3d(2), last)):
        given.requires_grad_()
        found.append(torch.autograd.grad(layer(given), given, upstream.to(given.dtype))[0].double())
    assert (found[0] - found[1]).norm() < 1e-5 * found[0].norm()


def test_blocks():
    assert [blocks(number, 64) for number in (1, ADDED, ADDED + 1, 2 * ADDED, 9 * 8 * 29 * 29)] == [1, 1, 257, 2, 261]
    assert blocks(32 * 16 * 112 * 112, 64) == 2048  # as many sums as a cache can hold


def test_one_value_is_refused_as_by_torch():
    for maps in (torch.ones(1, 2, 1, 1, 1), torch.ones(1, 2, 1, 1, 1).contiguous(memory_format=LAST)):
        with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
            BatchNorm3d(2)(maps)


def test_out_of_training_it_is_torch_s():
    layer, theirs = BatchNorm3d(5).eval(), nn.BatchNorm3d(5).eval()
    maps = drawn(3, 5, 8, 29, 29)
    assert torch.equal(layer(maps.contiguous(memory_format=LAST)), theirs(maps.contiguous(memory_format=LAST)))
