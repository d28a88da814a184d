"""Reads the windows of videos of any length, a part at a time, with each frame decoded once.

Memory does not grow with the length of a video. A reading process keeps its videos open between parts, but its answers
depend only on the requests, so another process that takes over makes the same clips.
"""

from collections.abc import Iterator
from contextlib import ExitStack

import datasets
import numpy as np
from torch import Tensor

from rspnet.data import sampling
from rspnet.data.fetched import fetched, status_of, told
from rspnet.data.parts import Part, PartRequest, Span
from rspnet.data.picked import resampled
from rspnet.data.remote import path_of
from rspnet.data.sampling import Frames
from rspnet.data.windows import Grid, TooShortError, Windows
from rspnet.data.workers import BatchMemory
from rspnet.errors import VideoError
from rspnet.video.limits import MAX_PIXELS
from rspnet.video.orientation import Pixels
from rspnet.video.reader import Video
from rspnet.video.streaming import stream


class ShortWindowError(VideoError):
    """The windows of a video are shorter than a clip."""


class FilmDataset:
    """Parts of the windows of videos, for `rspnet.data.loader.Loader`.

    Args:
        index: rows with at least video, root and num_frames (or None).
        windows: how each video is cut into windows.
        clips: about how many clips a part has; as many as a batch keep the network busy while the next part is read.
        time_limit: seconds to read some tens of frames.
        max_pixels: the most pixels a picture may have.
    """

    def __init__(
        self,
        index: datasets.Dataset,
        windows: Windows,
        *,
        clips: int = 16,
        time_limit: float = 60.0,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.index = index
        self.windows = windows
        self.max_clips = max(clips, windows.clip.views)
        self.time_limit = time_limit
        self.max_pixels = max_pixels
        self._memory = BatchMemory()
        self._open: dict[int, tuple[int, Film]] = {}

    def __len__(self) -> int:
        return len(self.index)

    def batch_bytes(self, requests: list[PartRequest]) -> int:
        """Return how much memory the clips of a part take at most, in bytes."""
        return self.max_clips * self.windows.clip.num_frames * 3 * self.windows.clip.size**2 * len(requests)

    def path_of(self, request: PartRequest) -> str:
        """Return the path of the requested video."""
        row = self.index[request.row]
        return path_of(str(row["root"]), str(row["video"]))

    def __getitems__(self, requests: list[PartRequest]) -> Part:
        """Return the part of the first request, or an empty part if there is none."""
        if not requests:
            clips = self._clips(0)
            return Part(
                clips=clips, row=-1, lane=0, first=0, spans=[], size=0, total=0, status="ok", reason="", plan=None
            )
        request, spans = requests[0], list[Span]()
        row, first, stop, lane, _ = request
        clips, size, total, status, reason, plan = list[Tensor](), 0, 0, "ok", "", None
        try:
            film = self._film(request)
            size, total = max(1, self.max_clips // film.views), len(film.grid)
            stop = min(stop or total, total)
            at_once = film.spans(first, min(size, stop - first))
            clips = self._clips(len(at_once) * film.views)
            for span, out in zip(at_once, clips[0].unflatten(0, (len(at_once), film.views))):
                film.read(first + len(spans), out.numpy(), stop)
                spans.append(span)
            if request.plan is None and first + len(spans) < total:  # saves time for the process that reads on
                plan = film.plan
        except VideoError as error:
            row_facts = self.index[row]
            status = "short" if isinstance(error, ShortWindowError) else status_of(row_facts, error)
            reason = told(str(error), row_facts)
            clips = [clips[0][: len(spans) * film.views]] if clips else self._clips(0)
        if (status != "ok" or first + len(spans) == stop) and lane in self._open:
            self._open.pop(lane)[1].close()
        return Part(
            clips=clips,
            row=row,
            lane=lane,
            first=first,
            spans=spans,
            size=size,
            total=total,
            status=status,
            reason=reason,
            plan=plan,
        )

    def _film(self, request: PartRequest) -> "Film":
        """Return the video as this lane has it open; another lane may be at another place in it."""
        row, lane = request.row, request.lane
        if lane in self._open and self._open[lane][0] != row:
            self._open.pop(lane)[1].close()
        if lane not in self._open:
            facts = dict(self.index[row])
            facts["plan"] = request.plan or facts.get("plan")
            film = Film(facts, self.windows, time_limit=self.time_limit, max_pixels=self.max_pixels)
            self._open[lane] = row, film
            if request.plan and film.plan != request.plan:
                raise VideoError(f"{self.path_of(request)}: was replaced while it was read; give the command again")
        return self._open[lane][1]

    def _clips(self, number: int) -> list[Tensor]:
        clip = self.windows.clip
        return self._memory.take((number, clip.num_frames, clip.size, clip.size, 3))


class Film:
    """One open video, whose windows are read in order.

    Args:
        row: of the index.
        windows: how it is cut into windows.
        time_limit: as for `FilmDataset`.
        max_pixels: as for `FilmDataset`.

    Attributes:
        grid: its windows.
        views: number of clips of each window.

    Raises:
        VideoError: it cannot be read, or cannot be cut into such windows.
    """

    def __init__(self, row: dict[str, object], windows: Windows, *, time_limit: float, max_pixels: int) -> None:
        count, plan = row["num_frames"], row.get("plan")
        with ExitStack() as stack:
            video = Video(
                stack.enter_context(fetched(row)),
                num_frames=count if isinstance(count, int) else None,
                time_limit=time_limit,
                plan=plan if isinstance(plan, str) else None,
                max_pixels=max_pixels,
            )
            self._video = stack.enter_context(video)
            self._size = windows.clip.size
            self._kept = resampled(self._video, windows.clip.frame_rate)
            self.grid = self._cut(windows)
            self._crop = sampling.centre_square_crop(self._video.height, self._video.width)
            self._open = stack.pop_all()
        self.views = len(self.grid.clips)
        self._next = -1
        self._pictures: dict[int, Pixels] = {}
        self._stream: Iterator[tuple[int, Pixels]] = iter(())

    def _cut(self, windows: Windows) -> Grid:
        try:
            return windows.grid(len(self._kept), windows.clip.frame_rate or self._video.fps)
        except ValueError as error:
            kind = ShortWindowError if isinstance(error, TooShortError) else VideoError
            raise kind(f"{self._video.path}: {error}") from None

    @property
    def plan(self) -> str | None:
        """How its file is read, see `rspnet.video.reader.Video.plan`."""
        return self._video.plan

    def close(self) -> None:
        """Close the file."""
        self._open.close()

    def spans(self, first: int, number: int) -> list[Span]:
        """Return the spans of `number` windows from number `first` on."""
        found = []
        for start in self.grid.starts[first : first + number].tolist():
            begin, end = int(self._kept[start]), int(self._kept[start + self.grid.size - 1]) + 1
            found.append(Span(self._seconds(begin), self._seconds(end), begin, end))
        return found

    def read(self, number: int, out: Pixels, stop: int | None = None) -> None:
        """Read the clips of a window into `out`; if windows are read in order, each frame is decoded once.

        Args:
            number: of the window.
            out: uint8 (V, T, S, S, 3).
            stop: number of the window before which reading will end; None reads to the end of the video.

        Raises:
            VideoError: the video cannot be read up to the window's end.
        """
        if number != self._next:
            self._pictures.clear()
            self._stream = self._from(number, stop)
        clips = self._kept[self.grid.starts[number] + self.grid.clips]
        for clip, frames in zip(out, clips.tolist(), strict=True):
            for place, frame in enumerate(frames):
                while frame not in self._pictures:
                    read, picture = next(self._stream)
                    self._pictures[read] = picture
                clip[place] = self._pictures[frame]
        self._next = number + 1
        if self._next < len(self.grid):
            needed = int(self._kept[self.grid.starts[self._next]])
            for frame in [frame for frame in self._pictures if frame < needed]:
                del self._pictures[frame]

    def _seconds(self, frame: int) -> float | None:
        """Return when a frame is shown, in seconds after the first one; None if not known."""
        if (moments := self._video.moments) is not None:
            return (int(moments[frame]) - int(moments[0])) / 1000
        return round(frame / self._video.fps, 6) if self._video.fps else None

    def _from(self, first: int, stop: int | None) -> Iterator[tuple[int, Pixels]]:
        wanted: Frames = np.unique(self._kept[self.grid.frames(first, stop)])
        place = 0
        for pictures in stream(self._video, wanted, crop=self._crop, size=self._size):
            yield from zip(wanted[place : place + len(pictures)].tolist(), pictures)
            place += len(pictures)
