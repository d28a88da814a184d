"""Greyscale and the four operations of colour jitter, written to be fast on both CPU and GPU.

N clips, T frames, H W pixels: floats (N, 3, T, H, W) in [0, 1]. The jitter operations work in place; their second
argument is (N, 1, 1, 1, 1).
"""

from collections.abc import Sequence

import torch

# Weights of red, green and blue in a grey value: ITU-R BT.601 to four decimals, as in the published code.
GRAY_WEIGHTS = (0.2989, 0.5870, 0.1140)

JITTER = ("brightness", "contrast", "saturation", "hue")


def grayscale(clips: torch.Tensor) -> torch.Tensor:
    """Return the grey values (N, 1, T, H, W) of (N, 3, T, H, W)."""
    red, green, blue = _channels(clips)
    return (red * GRAY_WEIGHTS[0]).add_(green, alpha=GRAY_WEIGHTS[1]).add_(blue, alpha=GRAY_WEIGHTS[2])


def brightness_(clips: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Multiply by the factor and clamp to [0, 1], in place."""
    return clips.mul_(factor).clamp_(0, 1)


def contrast_(clips: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Blend with the mean grey value over all frames of the clip, in place.

    The mean is over the given frames. In pretraining these are the ones a step shows, while the published code averages
    over all frames that a clip spans.
    """
    mean = grayscale(clips.mean(dim=(2, 3, 4), keepdim=True))
    return clips.mul_(factor).add_(mean * (1 - factor)).clamp_(0, 1)


def saturation_(clips: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Blend each pixel with its own grey value, in place."""
    return clips.lerp_(grayscale(clips), 1 - factor).clamp_(0, 1)


def hue_(clips: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Shift the hue (of HSV) by ``shift``, a fraction of the colour circle in [-0.5, 0.5], in place.

    Gives the same result as converting to HSV, adding modulo 1 and converting back, but without a division or a case
    per colour. Let V be the largest channel, m the smallest and C = V - m. Measure the hue as an angle times C, with
    6 C to the circle and red at 0: its absolute value is |V + G + B - R - 2 m| and its sign that of G - B. A channel
    whose own colour is at angle a (red 0, green 2 C, blue 4 C) has the value m + clamp(2 C - distance(hue, a), 0, C).
    For a difference x of hue and a of at most 7 C, 2 C - distance is ||x| - 3 C| - C after clamping. Taking a = -4 C
    for green and -2 C for blue if the shift is negative keeps x that small, so that no wrapping is needed.
    """
    return turn_(clips, turns_of(shift.flatten(1)).view(-1, 3, 1, 1, 1))


def turns_of(shift: torch.Tensor) -> torch.Tensor:
    """Return 6 * shift - a / C for each channel, (N, 3), from shifts (N, 1); for `a` and `C` see `hue_`."""
    own = 2 * torch.arange(3, device=shift.device)
    return 6 * shift - torch.where((shift < 0) & (own > 0), own - 6, own)


def turn_(clips: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """Shift the hue in place as `hue_` does, given the shifts' `turns_of`, (N, 3, 1, 1, 1)."""
    red, green, blue = _channels(clips)
    low = torch.minimum(torch.minimum(red, green), blue)
    high = torch.maximum(torch.maximum(red, green), blue)
    chroma = high - low
    angle = (green + blue).sub_(red).sub_(low).add_(chroma).copysign_(green - blue)

    torch.addcmul(angle, chroma, turns, out=clips)
    clips.abs_().sub_(chroma, alpha=3).abs_()
    clips.sub_(chroma.sub_(low))
    return torch.clamp(clips, low, high, out=clips)


# In the order of JITTER.
OPERATIONS = (brightness_, contrast_, saturation_, hue_)


def jitter_sorted(
    clips: torch.Tensor, *, order: torch.Tensor, factors: torch.Tensor, wanted: Sequence[bool]
) -> torch.Tensor:
    """Apply to each clip the operations in its own order, as few large operations, for an accelerator.

    At each of the four steps the clips are sorted by their next operation, so that those that share it lie together.

    Args:
        clips: not to be used afterwards; the result is another tensor.
        order: (N, 4) int64, on the CPU: operations as places in `JITTER`.
        factors: (N, 4), on the CPU: columns as in `JITTER`.
        wanted: whether each operation of `JITTER` is applied at all.
    """
    rows = torch.arange(len(order))
    moves, given, sizes = list[torch.Tensor](), list[torch.Tensor](), list[list[int]]()
    for turn in range(len(JITTER)):
        moves.append(order[rows, turn].argsort(stable=True))
        rows = rows[moves[-1]]
        operations = order[rows, turn]
        given.append(factors[rows, operations])
        sizes.append(operations.bincount(minlength=len(JITTER)).tolist())
    moves.append(rows.argsort())
    # Everything in two non-blocking copies, which the host does not wait for.
    moved = torch.stack(moves).to(clips.device, non_blocking=True)
    factor = torch.stack(given).to(clips.device, non_blocking=True)[..., None, None, None, None]
    for move, amounts, numbers in zip(moved, factor, sizes):
        clips = clips.index_select(0, move)
        for operation, part, amount, does in zip(OPERATIONS, clips.split(numbers), amounts.split(numbers), wanted):
            if does and len(part):
                operation(part, amount)
    return clips.index_select(0, moved[-1])


def _channels(clips: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return clips[:, 0:1], clips[:, 1:2], clips[:, 2:3]
