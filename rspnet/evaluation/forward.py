"""A network run over clips, in batches of one shape, so that what it says of a clip hangs on no other clip.

What a convolution makes of a clip is the same to the last bit whichever clips share its batch, but not whatever their
number (a single one takes another path through the libraries). So a batch that is not full is filled up: neither the
number of processes nor where a run was stopped moves a bit of a result. (On a CPU the gates of an S3D-G that is
narrower than the published one are an exception where clips times channels are no multiple of 16.)

N videos, V views of each, K outputs.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from rspnet.data.parts import Part, Span

if TYPE_CHECKING:
    from accelerate import Accelerator

    from rspnet.running.team import Team


class Forward:
    """A network as every process of a run has it.

    Args:
        model: maps views (N, V, 3, T, H, W) to (N, K); left in evaluation mode.
        normalise: uint8 clips (N, T, H, W, 3) to network input (N, 3, T, H, W).
        accelerator: accelerate's.
        team: the processes.
    """

    def __init__(
        self, model: nn.Module, normalise: Callable[[Tensor], Tensor], *, accelerator: "Accelerator", team: "Team"
    ) -> None:
        # Without what makes it one of several: processes that have another number of batches must not wait for each
        # other.
        self.network = accelerator.unwrap_model(model).eval()
        self._normalise = normalise
        self._device = accelerator.device
        self.precision = accelerator.mixed_precision
        if team.world_size > 1:  # of batch norm: each process has its own, the first one's are those that are kept
            for buffer in self.network.buffers():
                torch.distributed.broadcast(buffer, 0)

    @torch.no_grad()
    def __call__(self, views: list[Tensor], size: int) -> Tensor:
        """The output (N, K), float32, on the device: whoever asks for its numbers waits until it is computed.

        Args:
            views: V uint8 (N, T, H, W, 3).
            size: videos that the network is given, at least N: so many go through it whatever N.
        """
        number = len(views[0])
        clips = torch.stack([view.to(self._device, non_blocking=True) for view in views], dim=1)
        if number < size:
            clips = torch.cat([clips, clips.new_zeros(size - number, *clips.shape[1:])])
        outputs: Tensor = self.network(self._normalise(clips.flatten(0, 1)).unflatten(0, clips.shape[:2]))
        return outputs[:number].flatten(1).float()


class Window(NamedTuple):
    """What a network says of a window of a video.

    Attributes:
        row: the video's, of the index.
        number: of the window, from 0.
        span: where it lies; None: the video cannot be read here, so nothing of it counts from here on.
        value: (K,) float32; of no use without a span.
        total: windows of the video; 0: not known.
        status: as in `rspnet.data.parts.Part`; not ok without a span.
        reason: likewise.
    """

    row: int
    number: int
    span: Span | None
    value: Tensor
    total: int
    status: str = "ok"
    reason: str = ""


def windows(forward: Forward, parts: Iterable[Part], size: int) -> Iterator[Window]:
    """The network's output for each window, averaged over its clips; batches are full, of whatever videos.

    Args:
        forward: the network.
        parts: of videos.
        size: clips of a batch.

    Yields:
        The windows of the parts, in their order, and one without a span behind which a video cannot be read further.
    """
    waiting: deque[tuple[Window, int]] = deque()
    values: deque[Tensor] = deque()
    batch, filled = torch.empty(0), 0

    def done() -> Iterator[Window]:
        while waiting and len(values) >= waiting[0][1]:
            window, views = waiting.popleft()
            clips = [values.popleft() for _ in range(views)]
            yield window._replace(value=torch.stack(clips)[None].mean(1)[0]) if clips else window

    for part in parts:
        clips, first, total = part["clips"][0], part["first"], part["total"]
        for number, span in enumerate(part["spans"], first):
            waiting.append((Window(part["row"], number, span, _NOTHING, total), len(clips) // len(part["spans"])))
        if part["status"] != "ok":
            reached = first + len(part["spans"])
            last = Window(part["row"], reached, None, _NOTHING, total, part["status"], part["reason"])
            waiting.append((last, 0))
        if len(clips) and not len(batch):
            batch = clips.new_zeros(size, *clips.shape[1:])
        while len(clips):
            taken = min(len(clips), size - filled)
            batch[filled : filled + taken] = clips[:taken]
            filled, clips = filled + taken, clips[taken:]
            if filled == size:
                values.extend(forward([batch], size).cpu())
                filled = 0
        yield from done()
    if filled:
        values.extend(forward([batch], size)[:filled].cpu())
    yield from done()


_NOTHING = torch.empty(0)
