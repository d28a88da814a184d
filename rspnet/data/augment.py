"""Photometric augmentation and normalisation, batched on the device; all frames of a clip share one set of draws.

The published chain of pretraining, after crop and resize: scale to [0, 1], greyscale, colour jitter in random order,
flip, normalise. A clip's augmentation depends only on its own seed, not on its batch, worker or device.

N clips, T frames, H W pixels; clips arrive as uint8 (N, T, H, W, 3) and leave as float (N, 3, T, H, W).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from rspnet.clipspec import ClipSpec
from rspnet.data.batches import Batch
from rspnet.data.drawn import COURSE, Draws
from rspnet.data.jitter import JITTER, OPERATIONS, grayscale, jitter_sorted, turn_

# ImageNet's, as in the published code.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

# Second word of the generator's key, so that equal seeds used elsewhere with the same generator give other numbers.
_STREAM = 0xA06


@dataclass(frozen=True, kw_only=True)
class Augment:
    """The random augmentations; the `augment` options define their limits and published settings.

    Fine-tuning, as published, uses only the flip (0.5; 0 on Something-Something), with gray and jitter at 0.

    Attributes:
        gray: Probability that a clip is turned grey.
        brightness: Factors are drawn from [1 - brightness, 1 + brightness].
        contrast: Likewise.
        saturation: Likewise.
        hue: Shifts are drawn from [-hue, hue] turns of the colour circle.
        flip: Probability that a clip is mirrored.
        mean: Subtracted per channel at the end.
        std: Divided by per channel at the end.
        channels: Channel order of the output, and of mean and std: "RGB" or "BGR".
        crop_area: Smallest and largest fraction of the frame's area that a crop keeps. The crop is made when the clip
            is read (rspnet.data.clip_dataset), because only that part is converted to pixels.
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

    _compiled: ClassVar[bool] = False

    @classmethod
    def to_feed(cls, clip: ClipSpec, crop_area: list[float], **changes: float) -> "Augment":
        """Return the augmentation whose output is normalised as a network's `ClipSpec` requires.

        Args:
            clip: Gives mean, std and channel order.
            crop_area: See the attribute.
            changes: The attributes from `gray` to `flip`.
        """
        low, high = crop_area
        return cls(mean=clip.mean, std=clip.std, channels=clip.channels, crop_area=(low, high), **changes)

    def compile(self, **how: Any) -> None:
        """Compile `together`, which an accelerator then uses for every batch; `how` goes to `torch.compile`."""
        object.__setattr__(self, "together", torch.compile(self.together, **how))  # frozen: the settings do not change
        object.__setattr__(self, "_compiled", True)

    def views(self, batch: Batch, device: torch.device) -> Iterator[torch.Tensor]:
        """Yield each view of a batch as network input (N, 3, T, H, W) on a device.

        Args:
            batch: Its ``clips`` and ``seeds`` are used.
            device: Where to augment.
        """
        for clips, seeds in zip(batch["clips"], batch["seeds"].numpy().T, strict=True):
            yield self(clips.to(device, non_blocking=True), self.draw(seeds))

    def draw(self, seeds: npt.NDArray[np.int64]) -> Draws:
        """Draw the augmentation of N clips, each from its own seed; the same seed always gives the same draws.

        Args:
            seeds: (N,) integers.
        """
        # Always ten numbers per clip, so that switching one augmentation off does not change the draws of the others.
        uniform = np.stack([_generator(int(seed)).random(10) for seed in seeds])
        factors = np.array([1, 1, 1, 0]) + np.array(self._spread) * (2 * uniform[:, 1:5] - 1)
        return Draws(
            gray=torch.from_numpy(uniform[:, 0] < self.gray),
            factors=torch.from_numpy(factors.astype(np.float32)),
            order=torch.from_numpy(uniform[:, 5:9].argsort(axis=1)),  # argsort of random numbers: a uniform shuffle
            flip=torch.from_numpy(uniform[:, 9] < self.flip),
        )

    def __call__(self, clips: torch.Tensor, draws: Draws, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Augment and normalise.

        Args:
            clips: (N, T, H, W, 3) uint8, cropped and resized.
            draws: The augmentation of each of the N clips.
            dtype: Of the result; computed in float32.

        Returns:
            (N, 3, T, H, W) of ``dtype`` on the device of ``clips``.

        Raises:
            ValueError: the clips have another shape or dtype, or there are more or fewer draws than clips.
        """
        if len(draws) != len(clips):
            raise ValueError(f"expected draws for {len(clips)} clips, got draws for {len(draws)}")
        # On a CPU, one clip at a time stays in the cache (measured: nearly twice as fast as the whole batch). An
        # accelerator wants few large operations. Compiled, `together` is a handful of kernels, so it costs little that
        # every clip goes through operations it does not need; uncompiled, each operation would read and write the whole
        # batch, so `sorted` runs only those that are needed.
        if clips.device.type != "cpu" and self._compiled:
            return self.together(clips, draws.table().to(clips.device, non_blocking=True)).to(dtype)
        if clips.device.type != "cpu":
            return self.sorted(clips, draws).to(dtype)
        done = torch.empty(_channels_first(clips).shape, dtype=dtype)
        for number in range(len(clips)):
            one = slice(number, number + 1)
            changed = self.apply_(to_float(clips[one]), draws[one])
            done[one] = _normalise_(changed, self.mean, self.std, channels=self.channels)
        return done

    def apply_(self, clip: torch.Tensor, draws: Draws) -> torch.Tensor:
        """Greyscale, jitter and flip one clip by its draws, in place: (1, 3, T, H, W) floats in [0, 1]."""
        if draws.gray:
            clip.copy_(grayscale(clip).expand_as(clip))
        for place in draws.order[0].tolist():
            factor = draws.factors[0, place]
            if factor != (0.0 if JITTER[place] == "hue" else 1.0):
                OPERATIONS[place](clip, factor.view(1, 1, 1, 1, 1))
        if draws.flip:
            clip.copy_(clip.flip(-1))
        return clip

    def together(self, clips: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        """Augment and normalise a whole batch by the same operations whatever was drawn, so that one graph serves all.

        Args:
            clips: (N, T, H, W, 3) uint8.
            table: `Draws.table` of the clips, on the same device.

        Returns:
            (N, 3, T, H, W) float32.
        """
        *course, gray, flip = table[:, :-3, None, None, None, None].unbind(1)

        def jitter(changed: torch.Tensor) -> torch.Tensor:
            for place, factor in zip(COURSE, course, strict=True):
                if self._spread[place] and JITTER[place] == "hue":
                    turn_(changed, table[:, -3:, None, None, None])
                elif self._spread[place]:
                    OPERATIONS[place](changed, factor)
            return changed

        return self._chain(clips, gray > 0, flip > 0, jitter=jitter)

    def sorted(self, clips: torch.Tensor, draws: Draws) -> torch.Tensor:
        """Augment and normalise a whole batch, each clip by only the jitter operations drawn for it.

        Clips are sorted by their next operation (see `jitter_sorted`); the group sizes are computed on the CPU, so the
        device is not waited for.

        Args:
            clips: (N, T, H, W, 3) uint8.
            draws: The augmentation of the clips, on the CPU.

        Returns:
            (N, 3, T, H, W) float32.
        """
        marks = torch.stack([draws.gray, draws.flip]).to(clips.device, non_blocking=True)
        gray, flip = marks[..., None, None, None, None].unbind()
        wanted = [spread > 0 for spread in self._spread]
        jitter = partial(jitter_sorted, order=draws.order, factors=draws.factors, wanted=wanted)
        return self._chain(clips, gray, flip, jitter=jitter)

    def _chain(
        self,
        clips: torch.Tensor,
        gray: torch.Tensor,
        flip: torch.Tensor,
        *,
        jitter: Callable[[torch.Tensor], torch.Tensor],
    ) -> torch.Tensor:
        done = to_float(clips)
        if self.gray:
            done = torch.where(gray, grayscale(done), done)
        if any(self._spread):
            done = jitter(done)
        if self.flip:
            done = torch.where(flip, done.flip(-1), done)
        return _normalise_(done, self.mean, self.std, channels=self.channels)

    @property
    def _spread(self) -> tuple[float, float, float, float]:
        """Half the range of the draws for each operation of `JITTER`; one with 0 is left out."""
        return self.brightness, self.contrast, self.saturation, self.hue


def normalise(
    clips: torch.Tensor,
    mean: tuple[float, float, float] = MEAN,
    std: tuple[float, float, float] = STD,
    *,
    dtype: torch.dtype = torch.float32,
    channels: str = "RGB",
) -> torch.Tensor:
    """Turn clips into network input without augmentation, for validation, tests and features.

    Args:
        clips: (N, T, H, W, 3) uint8.
        mean: Subtracted per channel after division by 255.
        std: Divided by per channel.
        dtype: Of the result; computed in float32.
        channels: Channel order of the output, and of mean and std: "RGB" or "BGR".

    Returns:
        (N, 3, T, H, W) of ``dtype``, stored channels-last like the clips.
    """
    _check(clips)
    if channels == "BGR":
        clips = clips.flip(-1)
    # Each row of pixels is processed as one vector, so that channels-last data cost no more than separate planes.
    middle, width = (
        torch.tensor(each).repeat(clips.shape[3]).to(clips.device, non_blocking=True) for each in (mean, std)
    )
    done = torch.empty(clips.shape, dtype=torch.float32, device=clips.device)
    # On a CPU, one clip at a time, which stays in its cache; see `Augment.__call__`.
    for these, those in zip(*(each.flatten(3).split(1 if done.is_cpu else len(clips)) for each in (done, clips))):
        these.copy_(those).div_(255).sub_(middle).div_(width)
    return done.permute(0, 4, 1, 2, 3).to(dtype)


def normaliser(clip: ClipSpec) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return `normalise` with the mean, std and channel order of a `ClipSpec`."""
    return partial(normalise, mean=clip.mean, std=clip.std, channels=clip.channels)


def to_float(clips: torch.Tensor) -> torch.Tensor:
    """Turn (N, T, H, W, 3) uint8 into contiguous (N, 3, T, H, W) float32 in [0, 1]."""
    clips = _channels_first(clips)
    return torch.empty(clips.shape, dtype=torch.float32, device=clips.device).copy_(clips).div_(255)


def _normalise_(
    clips: torch.Tensor, mean: tuple[float, ...], std: tuple[float, ...], *, channels: str = "RGB"
) -> torch.Tensor:
    if channels == "BGR":
        clips = clips.flip(1)
    # A non-blocking copy: torch.tensor(..., device=...) would make the host wait for the device.
    middle, width = (torch.tensor(each).view(3, 1, 1, 1).to(clips.device, non_blocking=True) for each in (mean, std))
    return clips.sub_(middle).div_(width)


def _channels_first(clips: torch.Tensor) -> torch.Tensor:
    _check(clips)
    return clips.permute(0, 4, 1, 2, 3)


def _check(clips: torch.Tensor) -> None:
    if clips.dtype != torch.uint8 or clips.ndim != 5 or clips.shape[-1] != 3:
        raise ValueError(f"expected uint8 clips (N, T, H, W, 3), not {clips.dtype} {tuple(clips.shape)}")


def _generator(seed: int) -> np.random.Generator:
    # Different Philox keys give independent streams by construction, so neighbouring seeds need no hashing.
    return np.random.Generator(np.random.Philox(key=np.array([seed & 0xFFFFFFFFFFFFFFFF, _STREAM], dtype=np.uint64)))
