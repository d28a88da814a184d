"""Photometric augmentation and normalisation, batched on the device: one set of draws per clip, for all its frames.

The published chain of pretraining, after crop and resize: to [0, 1], grey, colour jitter in a drawn order, flip,
normalise. What a clip is given depends on its own seed alone, not on its batch, worker or device.

N clips, T frames, H W pixels; clips arrive as uint8 (N, T, H, W, 3) and leave as float (N, 3, T, H, W).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from rspnet.clipspec import ClipSpec
from rspnet.data.batches import Batch

# ImageNet's, as in the published code.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

# Weights of red, green and blue in a grey value: ITU-R BT.601, rounded as in the published code.
GRAY_WEIGHTS = (0.2989, 0.5870, 0.1140)

# The columns of Draws.factors and the numbers in Draws.order.
JITTER = ("brightness", "contrast", "saturation", "hue")

# Second word of the generator's key: seeds used elsewhere with the same generator give other numbers.
_STREAM = 0xA06


@dataclass(frozen=True)
class Draws:
    """What was drawn for each of N clips, on the CPU.

    Attributes:
        gray: (N,) bool, whether the clip turns grey.
        factors: (N, 4) float32, columns as ``JITTER``: three factors (1 changes nothing) and the hue's shift in turns
            of the colour circle (0 changes nothing).
        order: (N, 4) int64, which operation comes first, second, third and last, as places in ``JITTER``.
        flip: (N,) bool, whether the clip is mirrored left to right.
    """

    gray: torch.Tensor
    factors: torch.Tensor
    order: torch.Tensor
    flip: torch.Tensor

    def __len__(self) -> int:
        return len(self.flip)

    def __getitem__(self, rows: slice | torch.Tensor) -> "Draws":
        return Draws(self.gray[rows], self.factors[rows], self.order[rows], self.flip[rows])


@dataclass(frozen=True, kw_only=True)
class Augment:
    """The random chain, with the limits and the published settings that the options `augment` have.

    Fine-tuning, as published, keeps the flip alone (0.5; 0 on Something-Something): gray and jitter 0.

    Attributes:
        gray: Probability of a grey clip.
        brightness: Factors are drawn from [1 - brightness, 1 + brightness].
        contrast: Likewise.
        saturation: Likewise.
        hue: Shifts are drawn from [-hue, hue] turns of the colour circle.
        flip: Probability of a mirrored clip.
        mean: Subtracted per channel at the end.
        std: Divided by per channel at the end.
        channels: Order in which they leave, also that of mean and std: "RGB" or "BGR".
        crop_area: Smallest and largest part of the frame's area that a crop keeps; made where the clip is read
            (rspnet.data.clip_dataset), since only that part is decoded to pixels.
    """

    gray: float
    brightness: float
    contrast: float
    saturation: float
    hue: float
    flip: float
    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD
    channels: str = "RGB"
    crop_area: tuple[float, float]

    @classmethod
    def to_feed(cls, clip: ClipSpec, crop_area: list[float], **changes: float) -> "Augment":
        """The chain at whose end stands what a network is fed with.

        Args:
            clip: Says its normalisation and channels.
            crop_area: As the attribute.
            changes: The attributes from `gray` to `flip`.
        """
        low, high = crop_area
        return cls(mean=clip.mean, std=clip.std, channels=clip.channels, crop_area=(low, high), **changes)

    def views(self, batch: Batch, device: torch.device) -> Iterator[torch.Tensor]:
        """Each view of a batch as network input (N, 3, T, H, W) on a device, in turn.

        Args:
            batch: Its ``clips`` and ``seeds``.
            device: To augment on.
        """
        for clips, seeds in zip(batch["clips"], batch["seeds"].numpy().T, strict=True):
            yield self(clips.to(device, non_blocking=True), self.draw(seeds))

    def draw(self, seeds: npt.NDArray[np.int64]) -> Draws:
        """Draw for N clips, each from its own seed: the same seed always gives the same clip the same draws.

        Args:
            seeds: (N,) integers.
        """
        # Ten numbers per clip whatever the settings, so that switching one off leaves the others as they were.
        uniform = np.stack([_generator(int(seed)).random(10) for seed in seeds])
        spread = np.array([self.brightness, self.contrast, self.saturation, self.hue])
        factors = np.array([1, 1, 1, 0]) + spread * (2 * uniform[:, 1:5] - 1)
        return Draws(
            gray=torch.from_numpy(uniform[:, 0] < self.gray),
            factors=torch.from_numpy(factors.astype(np.float32)),
            order=torch.from_numpy(uniform[:, 5:9].argsort(axis=1)),  # sorting random numbers shuffles fairly
            flip=torch.from_numpy(uniform[:, 9] < self.flip),
        )

    def __call__(self, clips: torch.Tensor, draws: Draws, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Augment and normalise.

        Args:
            clips: (N, T, H, W, 3) uint8, cropped and resized.
            draws: What to do to each of the N clips.
            dtype: Of the result; the arithmetic is float32.

        Returns:
            (N, 3, T, H, W) of ``dtype`` on the device of ``clips``.

        Raises:
            ValueError: the clips have another shape or type, or their number is not that of the draws.
        """
        if len(draws) != len(clips):
            raise ValueError(f"{len(clips)} clips cannot take the draws of {len(draws)}")
        done = torch.empty(_channels_first(clips).shape, dtype=dtype, device=clips.device)
        # One clip at a time stays in a processor's cache (measured: nearly twice as fast as the whole batch);
        # an accelerator wants few large operations.
        step = 1 if clips.device.type == "cpu" else max(len(clips), 1)
        for start in range(0, len(clips), step):
            part = slice(start, start + step)
            changed = self.apply_(to_float(clips[part]), draws[part])
            done[part] = _normalise_(changed, self.mean, self.std, channels=self.channels)
        return done

    def apply_(self, clips: torch.Tensor, draws: Draws) -> torch.Tensor:
        """Grey, jitter and flip, in place, on (N, 3, T, H, W) floats in [0, 1]."""
        factors = draws.factors.to(clips.device, non_blocking=True)[..., None, None, None, None]
        wanted = draws.factors != torch.tensor([1.0, 1.0, 1.0, 0.0])

        _change_(clips, draws.gray, lambda chosen: grayscale(chosen).expand_as(chosen))
        for place in range(len(JITTER)):
            for number, operation_ in enumerate((brightness_, contrast_, saturation_, hue_)):
                mask = (draws.order[:, place] == number) & wanted[:, number]
                _change_(clips, mask, operation_, factors[:, number])
        _change_(clips, draws.flip, lambda chosen: chosen.flip(-1))
        return clips


def normalise(
    clips: torch.Tensor,
    mean: tuple[float, float, float] = MEAN,
    std: tuple[float, float, float] = STD,
    *,
    dtype: torch.dtype = torch.float32,
    channels: str = "RGB",
) -> torch.Tensor:
    """Turn clips into network input without augmenting them: validation, tests, features.

    Args:
        clips: (N, T, H, W, 3) uint8.
        mean: Subtracted per channel after division by 255.
        std: Divided by per channel.
        dtype: Of the result; the arithmetic is float32.
        channels: Order in which they leave, also that of mean and std: "RGB" or "BGR".

    Returns:
        (N, 3, T, H, W) of ``dtype``.
    """
    return _normalise_(to_float(clips), mean, std, channels=channels).to(dtype)


def normaliser(clip: ClipSpec) -> Callable[[torch.Tensor], torch.Tensor]:
    """`normalise`, as the network wants it that is fed so."""
    return partial(normalise, mean=clip.mean, std=clip.std, channels=clip.channels)


def to_float(clips: torch.Tensor) -> torch.Tensor:
    """Turn (N, T, H, W, 3) uint8 into contiguous (N, 3, T, H, W) float32 in [0, 1]."""
    clips = _channels_first(clips)
    return torch.empty(clips.shape, dtype=torch.float32, device=clips.device).copy_(clips).div_(255)


def grayscale(clips: torch.Tensor) -> torch.Tensor:
    """Return the grey values (N, 1, T, H, W) of (N, 3, T, H, W)."""
    red, green, blue = _channels(clips)
    return (red * GRAY_WEIGHTS[0]).add_(green, alpha=GRAY_WEIGHTS[1]).add_(blue, alpha=GRAY_WEIGHTS[2])


# The operations of the jitter work in place on (N, 3, T, H, W) in [0, 1]; the second argument is (N, 1, 1, 1, 1).


def brightness_(clips: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Scale towards black, in place."""
    return clips.mul_(factor).clamp_(0, 1)


def contrast_(clips: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Blend with the mean grey of the whole clip, all its frames together, in place.

    Of the frames that are given: in pretraining those that a step shows, where the published code averages over all
    that a clip spans.
    """
    mean = grayscale(clips.mean(dim=(2, 3, 4), keepdim=True))
    return clips.mul_(factor).add_(mean * (1 - factor)).clamp_(0, 1)


def saturation_(clips: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Blend with each pixel's own grey, in place."""
    return clips.lerp_(grayscale(clips), 1 - factor).clamp_(0, 1)


def hue_(clips: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Turn the hue of HSV by ``shift``, a fraction of the circle in [-0.5, 0.5], in place.

    The same numbers as going to HSV, adding modulo 1 and coming back, without a division or a case per colour. With
    V the largest channel, m the smallest and C = V - m, measure the hue as an angle times C, 6 C to the circle, red
    at 0. Its size is |V + G + B - R - 2 m| and its sign that of G - B. A channel whose own colour lies at angle a
    (red 0, green 2 C, blue 4 C) has the value m + clamp(2 C - distance(hue, a), 0, C), and for a difference x of at
    most 7 C, clamped, 2 C - distance is ||x| - 3 C| - C. Taking a = -4 C for green, -2 C for blue where the shift
    is negative keeps x that small, so nothing needs to be wrapped.
    """
    red, green, blue = _channels(clips)
    low = torch.minimum(torch.minimum(red, green), blue)
    high = torch.maximum(torch.maximum(red, green), blue)
    chroma = high - low
    angle = (green + blue).sub_(red).sub_(low).add_(chroma).copysign_(green - blue)

    own = 2 * torch.arange(3, device=clips.device).view(1, 3, 1, 1, 1)
    own = torch.where((shift < 0) & (own > 0), own - 6, own)
    torch.addcmul(angle, chroma, 6 * shift - own, out=clips)
    clips.abs_().sub_(chroma, alpha=3).abs_()
    clips.sub_(chroma.sub_(low))
    return torch.clamp(clips, low, high, out=clips)


def _normalise_(
    clips: torch.Tensor, mean: tuple[float, ...], std: tuple[float, ...], *, channels: str = "RGB"
) -> torch.Tensor:
    if channels == "BGR":
        clips = clips.flip(1)
    # Copied without waiting: torch.tensor(..., device=...) would hold the host up until the device has caught up.
    middle, width = (torch.tensor(each).view(3, 1, 1, 1).to(clips.device, non_blocking=True) for each in (mean, std))
    return clips.sub_(middle).div_(width)


def _change_(
    clips: torch.Tensor, mask: torch.Tensor, operation: Callable[..., torch.Tensor], *values: torch.Tensor
) -> None:
    """Put in place of the clips chosen by a CPU mask what the operation makes of them (in place, if it likes).

    The choice is made on the CPU, so that nobody waits for the device.
    """
    rows = mask.nonzero().flatten()
    if len(rows) == len(clips):
        clips.copy_(operation(clips, *values))
    elif len(rows):
        rows = rows.to(clips.device, non_blocking=True)
        clips.index_copy_(0, rows, operation(clips.index_select(0, rows), *(value[rows] for value in values)))


def _channels(clips: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return clips[:, 0:1], clips[:, 1:2], clips[:, 2:3]


def _channels_first(clips: torch.Tensor) -> torch.Tensor:
    if clips.dtype != torch.uint8 or clips.ndim != 5 or clips.shape[-1] != 3:
        raise ValueError(f"expected uint8 clips (N, T, H, W, 3), not {clips.dtype} {tuple(clips.shape)}")
    return clips.permute(0, 4, 1, 2, 3)


def _generator(seed: int) -> np.random.Generator:
    # Philox turns its key into independent streams by construction, so neighbouring seeds need no hashing.
    return np.random.Generator(np.random.Philox(key=np.array([seed & 0xFFFFFFFFFFFFFFFF, _STREAM], dtype=np.uint64)))
