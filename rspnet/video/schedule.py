"""Compute when the frames of a new file are shown: at the times of the source's frames, in rising order."""

from collections.abc import Iterable, Iterator
from fractions import Fraction

from rspnet.video.times import Frame, Timeline, in_order

FINEST_UNIT = Fraction(1, 90_000)
"""Seconds; the unit of MPEG's own containers."""


class Schedule:
    """Presentation times for a new file: the source's, from 0 on and strictly rising.

    Args:
        timeline: the timeline of the source, complete. If it has no usable times, frame n is shown at n / rate.

    Attributes:
        rate: average frames per second.
        unit: unit of the new times, seconds.
    """

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        known = [(time, number) for number in timeline.visible if (time := timeline.time(number)) is not None]
        times = [time for time, _ in known]
        self._tells = len(times) == len(timeline.visible) and len(set(times)) > 1
        self._start = times[0] if self._tells else 0
        self._lowest = min(times, default=0)
        order = [number for _, number in sorted(known)] if self._tells else timeline.visible
        pace = timeline.pace(order)
        self.rate = pace.rate or Fraction(25)
        self.unit = timeline.unit if self._tells else 1 / self.rate
        # Times that repeat need a finer unit; none may be finer than this, as mp4 stores a frame's duration in 32 bits.
        if self._tells and (len(set(times)) < len(times) or self.unit.denominator > FINEST_UNIT.denominator):
            self.unit = FINEST_UNIT
        self._end = round((pace.seconds or 0) / self.unit)

    def __call__(self, frames: Iterable[tuple[int | None, Frame]]) -> Iterator[tuple[Frame, int, int]]:
        """Yield frames with their time and their duration, in units.

        Args:
            frames: the frames with the numbers of their packets, in display order.
        """
        waiting: tuple[Frame, int] | None = None
        for frame, time in self._timed(frames):
            if waiting:
                time = max(time, waiting[1] + 1)
                yield *waiting, time - waiting[1]
            waiting = frame, time
        if waiting:
            last = self._end - waiting[1]
            yield *waiting, last if last > 0 else max(1, round(1 / (self.rate * self.unit)))

    def _timed(self, frames: Iterable[tuple[int | None, Frame]]) -> Iterator[tuple[Frame, int]]:
        if not self._tells:
            for place, (_, frame) in enumerate(frames):
                yield frame, place
            return
        start = None
        for time, frame in in_order(self._known(frames)):
            if start is None:  # a recording that was cut within a group of pictures starts with packets without frames
                start = time
                self._end -= round((start - self._lowest) * self._timeline.unit / self.unit)
            yield frame, round((time - start) * self._timeline.unit / self.unit)

    def _known(self, frames: Iterable[tuple[int | None, Frame]]) -> Iterator[tuple[int, Frame]]:
        """Yield frames with their packet's time; a frame without a packet gets the time of the frame before it."""
        time = None
        for number, frame in frames:
            time = time if number is None else self._timeline.time(number)
            yield self._start if time is None else time, frame
