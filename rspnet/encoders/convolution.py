"""3-D convolutions whose weights get correct gradients in half precision on a CPU.

torch 2.14 (oneDNN 3.12 with AMX) computes the gradient of a 3-D convolution's weights wrongly if maps are small next to
the kernel: from uninitialised memory, and from memory out of bounds. The forward pass and the gradient of the maps are
right. Of these examples, the first returns what the memory held before, here NaN; the second reads or writes out of
bounds, and may crash the process:

    bf16 = torch.bfloat16
    torch.full((1 << 20,), torch.nan)
    maps, weight = torch.randn(1, 16, 8, 1, 1, dtype=bf16), torch.randn(16, 16, 3, 7, 7, dtype=bf16, requires_grad=True)
    torch.conv3d(maps, weight, None, (1, 2, 2), (1, 3, 3)).sum().backward()
    maps, weight = torch.randn(7, 3, 1, 8, 9, dtype=bf16), torch.randn(48, 3, 7, 7, 7, dtype=bf16, requires_grad=True)
    torch.conv3d(maps, weight, None, 1, 3).sum().backward()

Here such layers are computed in float32. `proven` selects the kind of layers that are not: 598 of them, with random
shapes and 1, 2, 3, 4 and 8 threads, gave the gradients of float32 although the memory pages around each tensor were
protected and uninitialised memory was filled with NaN (tests/encoders/test_convolution.py repeats some of this).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_HALVES = (torch.bfloat16, torch.float16)


class Conv3d(nn.Conv3d):
    """`nn.Conv3d`; on a CPU in float32 if its weights would get a half-precision gradient that is not `proven`."""

    def forward(self, maps: Tensor) -> Tensor:
        """Map (N, in_channels, T, H, W) to (N, out_channels, t, h, w)."""
        if maps.device.type != "cpu" or not (torch.is_grad_enabled() and self.weight.requires_grad):
            return super().forward(maps)
        autocast = torch.is_autocast_enabled("cpu")
        dtype = torch.get_autocast_dtype("cpu") if autocast else self.weight.dtype
        if dtype not in _HALVES or (dtype == torch.bfloat16 and self._proven(maps.shape)):
            return super().forward(maps)
        with torch.autocast("cpu", enabled=False):
            bias = None if self.bias is None else self.bias.float()
            mapped: Tensor = self._conv_forward(maps.float(), self.weight.float(), bias)
        return mapped if autocast else mapped.to(dtype)

    def _proven(self, shape: Sequence[int]) -> bool:
        plain = self.groups == 1 and self.padding_mode == "zeros" and set(self.dilation) == {1}
        padded = self.padding == tuple(size // 2 for size in self.kernel_size)
        return plain and padded and proven(shape[2:], self.kernel_size, self.stride)


def proven(sizes: Sequence[int], kernel: Sequence[int], stride: Sequence[int]) -> bool:
    """Return whether the bfloat16 gradient of a convolution's weights is known to be right on this CPU.

    Args:
        sizes: T, H, W of the maps.
        kernel: kernel size in time, height, width; the maps are padded by half of it.
        stride: stride in time, height, width.
    """
    fits = all(width == 1 or size > width for size, width in zip(sizes, kernel, strict=True))
    return has_bf16() and fits and all(width % 2 for width in kernel) and set(stride) <= {1, 2}


# Computed at import because torch.compile cannot trace these calls.
_HAS_BF16 = torch.cpu._is_avx512_bf16_supported() and torch.cpu._is_amx_tile_supported()


def has_bf16() -> bool:
    """Return whether this CPU has the instructions that the gradients were tested with: AVX512-BF16 and AMX."""
    return _HAS_BF16


def bf16_is_right() -> bool:
    """Return whether the installed torch computes right bfloat16 gradients for layers that are `proven`; this is fast.

    One small layer of each kind is tried, after freeing memory full of NaN, which shows if it is read uninitialised.
    """
    return has_bf16() and all(_is_right(*each) for each in _TRIED)


_TRIED = (
    ((4, 6, 6), (3, 3, 3), (1, 1, 1)),
    ((4, 6, 6), (3, 3, 3), (2, 2, 2)),
    ((8, 9, 9), (7, 7, 7), (1, 2, 2)),
    ((3, 5, 5), (1, 3, 3), (1, 2, 2)),
    ((5, 4, 4), (3, 1, 1), (2, 1, 1)),
    ((2, 4, 4), (1, 1, 1), (2, 2, 2)),
)


def _is_right(sizes: tuple[int, ...], kernel: tuple[int, ...], stride: tuple[int, ...]) -> bool:
    draw = torch.Generator().manual_seed(0)
    padding = tuple(width // 2 for width in kernel)
    maps = torch.randn(3, 20, *sizes, generator=draw).bfloat16().contiguous(memory_format=torch.channels_last_3d)
    weight = torch.randn(40, 20, *kernel, generator=draw).bfloat16()
    for size in range(8, 20):
        torch.full((1 << size,), torch.nan)
    found = []
    for dtype in (torch.bfloat16, torch.float32):
        given = weight.to(dtype, copy=True).requires_grad_()
        mapped = F.conv3d(maps.to(dtype), given, None, stride, padding)
        upstream = torch.randn(mapped.shape, generator=torch.Generator().manual_seed(1)).bfloat16()
        found.append(torch.autograd.grad(mapped, given, upstream.to(dtype))[0].float())
    return bool((found[0] - found[1]).norm() < 0.02 * found[1].norm())
