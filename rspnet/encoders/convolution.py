"""3-D convolutions whose weights get right gradients in half precision on a CPU.

torch 2.14 (oneDNN 3.12 with AMX) computes the gradient of a 3-D convolution's weights wrongly where maps are small
beside the kernel: from memory that nobody has filled, and outside its own. What comes forward is right, and so is the
gradient of the maps. Of these, the first gives what memory held before, here no numbers; the second reads or writes
where nothing of its own is, and may end the process:

    bf16 = torch.bfloat16
    torch.full((1 << 20,), torch.nan)
    maps, weight = torch.randn(1, 16, 8, 1, 1, dtype=bf16), torch.randn(16, 16, 3, 7, 7, dtype=bf16, requires_grad=True)
    torch.conv3d(maps, weight, None, (1, 2, 2), (1, 3, 3)).sum().backward()
    maps, weight = torch.randn(7, 3, 1, 8, 9, dtype=bf16), torch.randn(48, 3, 7, 7, 7, dtype=bf16, requires_grad=True)
    torch.conv3d(maps, weight, None, 1, 3).sum().backward()

Here such layers are computed in float32. `proven` says which are not: those of a kind of which 598 of random shapes,
with 1, 2, 3, 4 and 8 threads, gave the gradients of float32 with every page of memory around a tensor forbidden and
every number that nobody had written no number (tests/encoders/test_convolution.py tries some anew).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_HALVES = (torch.bfloat16, torch.float16)


class Conv3d(nn.Conv3d):
    """torch's; where half precision would give its weights a gradient on a CPU that is not `proven`, in float32."""

    def forward(self, maps: Tensor) -> Tensor:
        """Map (N, C, T, H, W) to (N, channels, t, h, w)."""
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
    """Whether the bfloat16 gradient of a convolution's weights is known to be right on this CPU.

    Args:
        sizes: T, H, W of the maps.
        kernel: its sizes, odd; the maps are padded by half of them.
        stride: likewise.
    """
    fits = all(width == 1 or size > width for size, width in zip(sizes, kernel, strict=True))
    return has_bf16() and fits and all(width % 2 for width in kernel) and set(stride) <= {1, 2}


# Asked once, here: torch's compiler cannot ask.
_HAS_BF16 = torch.cpu._is_avx512_bf16_supported() and torch.cpu._is_amx_tile_supported()


def has_bf16() -> bool:
    """Whether this CPU has what the gradients were tried with: AVX512-BF16 and AMX."""
    return _HAS_BF16


def bf16_is_right() -> bool:
    """Whether this torch, as it is set up, gives weights the bfloat16 gradients that `proven` promises; a moment.

    The shapes are small ones of each kind. What was freed before is no number, so that it shows where it is read.
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
