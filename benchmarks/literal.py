"""The published training step, written plainly: the baseline of `benchmarks/train_step.py`.

Float32, contiguous, in the published order of work: a worker hands over uint8 clips of whole crops, 32 frames each;
clips go to the device one by one, and are converted to floats, resized and augmented there one after the other; then
the key encoder follows the query encoder one parameter at a time, keys at the other speed, keys at the same, queries,
losses, queue. tests/test_train_step.py checks it against recorded steps and pixels of the published code.

The published code's logging is left out, so that the step is too fast rather than too slow. N clips, T frames.
"""

import copy
import random
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rspnet.encoders import VideoEncoder

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GRAY = (0.2989, 0.5870, 0.1140)
READ, SHOWN, SPEED = 32, 16, 2  # frames of a clip as read, and as the network sees it; the fast playback rate
MOMENTUM, TEMPERATURE, MARGIN = 0.999, 0.07, 2.0


def gray(clip: Tensor) -> Tensor:
    """Return the grey values (1, T, H, W) of a clip (3, T, H, W)."""
    return (clip[0] * GRAY[0] + clip[1] * GRAY[1] + clip[2] * GRAY[2])[None]


def turn_hue(clip: Tensor, shift: float) -> Tensor:
    """Turn the hue of a clip (3, T, H, W) in [0, 1]: to HSV, add modulo 1, and back."""
    red, green, blue = clip
    high, low = clip.amax(0), clip.amin(0)
    chroma = high - low
    safe = torch.where(chroma > 0, chroma, torch.ones_like(chroma))
    sector = torch.where(high == green, 2 + (blue - red) / safe, 4 + (red - green) / safe)
    sector = torch.where(high == red, (green - blue) / safe, sector)
    hue = (torch.where(chroma > 0, sector, torch.zeros_like(sector)) / 6 + shift) % 1
    saturation = chroma / torch.where(high > 0, high, torch.ones_like(high))
    place = torch.floor(hue * 6)
    rest = hue * 6 - place
    p, q, t = high * (1 - saturation), high * (1 - saturation * rest), high * (1 - saturation * (1 - rest))
    red, green, blue = (high, q, p, p, t, high), (t, high, high, q, p, p), (p, p, t, high, high, q)
    return torch.stack([torch.stack(each).gather(0, place.long()[None] % 6)[0] for each in (red, green, blue)])


def jitter(clip: Tensor, factors: Sequence[float], order: Sequence[int]) -> Tensor:
    """Change brightness, contrast, saturation and hue of a clip (3, T, H, W), in the given order."""
    for which in order:
        if which == 0:
            clip = (clip * factors[0]).clamp(0, 1)
        elif which == 1:
            clip = (clip * factors[1] + gray(clip).mean() * (1 - factors[1])).clamp(0, 1)
        elif which == 2:
            clip = (clip * factors[2] + gray(clip) * (1 - factors[2])).clamp(0, 1)
        else:
            clip = turn_hue(clip, factors[3])
    return clip


def augment(crop: Tensor, size: int, draw: random.Random) -> Tensor:
    """Augment one clip for the network.

    Args:
        crop: uint8 (T, h, w, 3), on the device.
        size: height and width of the result, in pixels.
        draw: source of the random draws, which are made in the published order.

    Returns:
        float32 (3, T, size, size).
    """
    clip = crop.permute(3, 0, 1, 2).float() / 255
    frames = F.interpolate(clip.transpose(0, 1), size=(size, size), mode="bilinear", align_corners=False)
    clip = frames.transpose(0, 1)
    if draw.random() < 0.2:
        clip = gray(clip).repeat(3, 1, 1, 1)
    factors = [draw.uniform(0.6, 1.4) for _ in range(3)] + [draw.uniform(-0.4, 0.4)]
    order = [0, 1, 2, 3]
    draw.shuffle(order)
    clip = jitter(clip, factors, order)
    if draw.random() < 0.5:
        clip = clip.flip(-1)
    mean, std = (torch.tensor(each, device=clip.device).view(3, 1, 1, 1) for each in (MEAN, STD))
    return (clip - mean) / std


def plain(encoder: VideoEncoder) -> VideoEncoder:
    """Turn an encoder's convolutions and normalisations back into torch's own, in place."""
    for layer in encoder.modules():
        for kind in (nn.Conv3d, nn.BatchNorm3d):
            if isinstance(layer, kind):
                layer.__class__ = kind
    return encoder


class TwoHeads(nn.Module):
    """Encoder and both heads, with the published names."""

    def __init__(self, encoder: VideoEncoder, dim: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.fc1, self.fc2 = (
            nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(encoder.num_features, dim)) for _ in range(2)
        )

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Map clips (N, 3, T, H, W) to two unit-length embeddings (N, dim): appearance, motion."""
        maps = self.encoder.forward_features(clips)
        return F.normalize(self.fc1(maps), dim=1), F.normalize(self.fc2(maps), dim=1)


class Literal(nn.Module):
    """The losses of the pretraining step, with the published names of entries."""

    queue: Tensor
    queue_ptr: Tensor

    def __init__(self, encoder: VideoEncoder, dim: int = 128, queue_length: int = 16384) -> None:
        super().__init__()
        self.encoder_q = TwoHeads(plain(encoder), dim)
        self.encoder_k = copy.deepcopy(self.encoder_q).requires_grad_(False)
        self.register_buffer("queue", F.normalize(torch.randn(dim, queue_length), dim=0))
        self.register_buffer("queue_ptr", torch.zeros(1, dtype=torch.long))

    def forward(self, query: Tensor, key: Tensor, orders: Sequence[Tensor]) -> dict[str, Tensor]:
        """Compute one step on a query and a key clip of each video, both (N, 3, 32, H, W).

        Args:
            query: normalised clips.
            key: normalised clips.
            orders: three permutations of the videos: the first half of the first plays at normal speed, the second
                shuffles the keys at the other speed, the third the keys at the same speed.
        """
        self._follow()
        slow, fast = orders[0][: len(query) // 2], orders[0][len(query) // 2 :]
        other_avid, other_rsp = self._keys(self._at_speed(key, fast, slow), orders[1])
        same_avid, same_rsp = self._keys(self._at_speed(key, slow, fast), orders[2])
        avid, rsp = self.encoder_q(self._at_speed(query, slow, fast))
        negatives = self.queue.clone().detach()
        first = torch.cat([(avid * same_avid).sum(1, keepdim=True), avid @ negatives], dim=1) / TEMPERATURE
        second = torch.cat([(avid * other_avid).sum(1, keepdim=True), avid @ negatives], dim=1) / TEMPERATURE
        target = torch.zeros(len(first), dtype=torch.long, device=first.device)
        loss_avid = F.cross_entropy(first, target) + F.cross_entropy(second, target)
        near, far = (rsp * same_rsp).sum(1) / TEMPERATURE, (rsp * other_rsp).sum(1) / TEMPERATURE
        loss_rsp = F.margin_ranking_loss(near, far, torch.ones_like(near), margin=MARGIN)
        self._enqueue(other_avid)
        logits = {"logits_same": first, "logits_other": second, "near": near, "far": far}
        return {"loss": loss_avid + loss_rsp, "loss_avid": loss_avid, "loss_rsp": loss_rsp, **logits}

    def _follow(self) -> None:
        for key, query in zip(self.encoder_k.parameters(), self.encoder_q.parameters()):
            key.data = key.data * MOMENTUM + query.data * (1 - MOMENTUM)

    def _at_speed(self, clips: Tensor, slow: Tensor, fast: Tensor) -> Tensor:
        shown = torch.empty_like(clips[:, :, :SHOWN])
        shown[slow] = clips[slow][:, :, :SHOWN]
        shown[fast] = clips[fast][:, :, ::SPEED]
        return shown

    @torch.no_grad()
    def _keys(self, clips: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
        avid, rsp = self.encoder_k(clips[order])
        back = torch.argsort(order)
        return avid[back], rsp[back]

    @torch.no_grad()
    def _enqueue(self, keys: Tensor) -> None:
        start = int(self.queue_ptr)
        self.queue[:, start : start + len(keys)] = keys.T
        self.queue_ptr[0] = (start + len(keys)) % self.queue.shape[1]


def sgd(model: nn.Module, lr: float) -> torch.optim.Optimizer:
    """Return the published optimiser, which updates one parameter after the other."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    return torch.optim.SGD(weights, lr, momentum=0.9, weight_decay=1e-4, foreach=False, fused=False)
