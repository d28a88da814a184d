"""Run a network over clips in batches of one shape, so that its output for a clip does not depend on other clips.

The output of a convolution for a clip is bit for bit the same whichever clips share its batch, but may differ with
their number (a single clip takes another path through the libraries). A batch that is not full is therefore padded:
neither the number of processes nor where a run was interrupted changes a bit of a result. (An exception on a CPU are
the gates of an S3D-G narrower than the published one, if clips times channels is not a multiple of 16.)

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
    """A network in evaluation mode, with the same buffers on every process of a run.

    Args:
        model: maps views (N, V, 3, T, H, W) to (N, K); it is put into evaluation mode and left in it.
        normalise: maps uint8 clips (N, T, H, W, 3) to network input (N, 3, T, H, W).
        accelerator: the run's.
        team: the processes of the run.
    """

    def __init__(
        self, model: nn.Module, normalise: Callable[[Tensor], Tensor], *, accelerator: "Accelerator", team: "Team"
    ) -> None:
        # Without the DistributedDataParallel wrapper: processes may have different numbers of batches, and must not
        # wait for each other.
        self.network = accelerator.unwrap_model(model).eval()
        self._normalise = normalise
        self._device = accelerator.device
        self.precision = accelerator.mixed_precision
        if team.world_size > 1:  # running statistics differ between processes; the first one's are those saved
            for buffer in self.network.buffers():
                torch.distributed.broadcast(buffer, 0)

    @torch.no_grad()
    def __call__(self, views: list[Tensor], size: int) -> Tensor:
        """Return the output (N, K), float32, on the device, without waiting for it.

        Args:
            views: V tensors of clips, uint8 (N, T, H, W, 3).
            size: number of videos in every batch of the network, at least N; missing ones are padded.
        """
        number = len(views[0])
        clips = torch.stack([view.to(self._device, non_blocking=True) for view in views], dim=1)
        if number < size:
            clips = torch.cat([clips, clips.new_zeros(size - number, *clips.shape[1:])])
        outputs: Tensor = self.network(self._normalise(clips.flatten(0, 1)).unflatten(0, clips.shape[:2]))
        return outputs[:number].flatten(1).float()


class Window(NamedTuple):
    """The output of a network for a window of a video.

    Attributes:
        row: the video's row of the index.
        number: number of the window, from 0.
        span: where the window lies; None if the video cannot be read here, which ends its windows.
        value: the output (K,), float32; meaningless without a span.
        total: number of windows of the video; 0 if unknown.
        status: as in `rspnet.data.parts.Part`; not ok without a span.
        reason: as in `rspnet.data.parts.Part`.
    """

    row: int
    number: int
    span: Span | None
    value: Tensor
    total: int
    status: str = "ok"
    reason: str = ""


def windows(forward: Forward, parts: Iterable[Part], size: int) -> Iterator[Window]:
    """Compute the network's output for each window, averaged over its clips; a batch may mix clips of several videos.

    Args:
        forward: the network.
        parts: parts of videos.
        size: number of clips in a batch.

    Yields:
        The windows of the parts in order; where a video cannot be read further, a window without a span.
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
