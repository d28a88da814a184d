"""Half precision on a CPU: right gradients, from right layers; the others are computed in float32."""

import random

import pytest
import torch
from torch import nn

from rspnet.encoders import convolution, create_encoder
from rspnet.encoders.convolution import Conv3d, bf16_is_right, has_bf16, proven

needs_bf16 = pytest.mark.skipif(not has_bf16(), reason="a CPU without AMX, where training in bfloat16 is refused")


def gradients(layer, maps, dtype):
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        out = layer(maps)
    upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(5))
    return out, torch.autograd.grad(out, [*layer.parameters(), maps], upstream.to(out.dtype))


def poison():
    """Free memory that is no number: what is read before it is written shows."""
    for size in range(8, 22):
        torch.full((1 << size,), torch.nan)


def tried(draw, *, many):
    """A random layer and maps for it, `proven` or not."""
    kernel = draw.choice([(3, 3, 3), (1, 3, 3), (3, 1, 1), (1, 1, 1), (7, 7, 7), (1, 7, 7), (7, 1, 1), (3, 7, 7)])
    stride = draw.choice([(1, 1, 1), (2, 2, 2), (1, 2, 2), (2, 1, 1)])
    sizes = draw.choice([1, 2, 3, 4, 5, 8]), *(draw.choice([1, 2, 3, 4, 7, 8, 15]) for _ in "HW")
    if kernel[0] > sizes[0]:
        stride = (1, *stride[1:])  # where torch's float32 reads outside its memory
    inside, outside = (draw.choice(many) for _ in range(2))
    padding = tuple(width // 2 for width in kernel)
    layer = Conv3d(inside, outside, kernel, stride=stride, padding=padding, bias=draw.random() < 0.3)
    return layer, torch.randn(draw.choice([1, 2, 3]), inside, *sizes), proven(sizes, kernel, stride)


@needs_bf16
@pytest.mark.parametrize("count", [40, pytest.param(400, marks=pytest.mark.slow)])
def test_gradients_are_those_of_float32(count):
    """Of layers of random shapes: those computed in halves, and those that are not."""
    draw, threads, halves = random.Random(count), torch.get_num_threads(), 0
    try:
        for _ in range(count):
            torch.set_num_threads(draw.choice([1, 2, 3, 4]))
            layer, maps, right = tried(draw, many=[3, 16, 23, 48, 64])
            layer.to(memory_format=draw.choice([torch.channels_last_3d, torch.contiguous_format]))
            maps.requires_grad_()
            poison()
            out, found = gradients(layer, maps, torch.bfloat16)
            _, expected = gradients(layer, maps, torch.float32)
            assert (out.dtype == torch.bfloat16) == right
            halves += right
            for one, other in zip(found, expected, strict=True):
                assert (one - other).norm() <= (0.02 if right else 1e-5) * other.norm() + 1e-6, (layer, maps.shape)
    finally:
        torch.set_num_threads(threads)
    assert count / 5 < halves < count * 4 / 5


def test_what_is_not_proven(monkeypatch):
    assert proven((4, 8, 8), (3, 3, 3), (1, 2, 2)) == has_bf16()
    monkeypatch.setattr(convolution, "has_bf16", lambda: True)
    assert proven((4, 8, 8), (3, 3, 3), (1, 2, 2))
    for sizes, kernel, stride in (
        ((3, 8, 8), (3, 3, 3), (1, 1, 1)),
        ((4, 3, 8), (3, 3, 3), (1, 1, 1)),
        ((4, 8, 3), (3, 3, 3), (1, 1, 1)),
        ((4, 8, 8), (3, 3, 3), (1, 3, 3)),
        ((4, 8, 8), (2, 3, 3), (1, 1, 1)),
    ):
        assert not proven(sizes, kernel, stride)
    for options in ({"padding": 0}, {"dilation": 2}, {"groups": 2}, {"padding_mode": "circular"}, {"padding": "same"}):
        layer = Conv3d(4, 4, 3, **{"padding": 1, **options})
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert layer(torch.ones(2, 4, 8, 8, 8)).dtype == torch.float32, options
    monkeypatch.setattr(convolution, "has_bf16", lambda: False)
    assert not proven((4, 8, 8), (3, 3, 3), (1, 2, 2))


def test_what_needs_no_gradient_of_its_weights_is_torch_s():
    layer = Conv3d(4, 4, 3, padding=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(torch.ones(2, 4, 2, 2, 2)).dtype == torch.float32
        with torch.no_grad():
            assert layer(torch.ones(2, 4, 2, 2, 2)).dtype == torch.bfloat16
        assert layer.requires_grad_(False)(torch.ones(2, 4, 2, 2, 2)).dtype == torch.bfloat16


def test_weights_in_halves_are_computed_in_float32_too():
    layer = Conv3d(4, 4, 3, padding=1)
    expected = layer(torch.ones(2, 4, 2, 2, 2))
    found = layer.bfloat16()(torch.ones(2, 4, 2, 2, 2).bfloat16())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("name", ["c3d", "r2plus1d_18", "s3d"])
def test_every_encoder_has_them(name):
    layers = [type(layer) for layer in create_encoder(name).modules()]
    assert not {nn.Conv3d, nn.BatchNorm3d} & set(layers)
    assert sum(issubclass(layer, nn.Conv3d) for layer in layers) == layers.count(Conv3d) > 0


@needs_bf16
def test_why_it_is_needed():
    """The first of the reproductions in rspnet/encoders/convolution.py, on torch's own layer."""
    layer = nn.Conv3d(16, 16, (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3), bias=False)
    maps = torch.randn(1, 16, 8, 1, 1, requires_grad=True)
    wrong = []
    for _ in range(20):
        poison()
        _, (of_weight, _) = gradients(layer, maps, torch.bfloat16)
        wrong.append(not of_weight.isfinite().all())
    assert any(wrong)


@needs_bf16
def test_this_torch_keeps_what_is_promised(monkeypatch):
    assert bf16_is_right()
    monkeypatch.setattr(convolution, "_TRIED", [((2, 1, 1), (1, 3, 3), (2, 2, 2)), ((5, 9, 9), (7, 7, 7), (2, 1, 1))])
    wrong = nn.functional.conv3d
    monkeypatch.setattr(
        convolution.F, "conv3d", lambda maps, *rest: wrong(maps, *rest) * (1 + 0.1 * (maps.dtype == torch.bfloat16))
    )
    assert not bf16_is_right()
