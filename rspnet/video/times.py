"""Find out when frames are shown, from the times in a file and the frame rate that its header promises.

A browser's recording promises 1000 frames per second (the tick of its clock), a capture program leaves out frames that
it had no time for, and writers repeat times or set their clock back. So the times themselves decide how fast a video
plays and how long; the promised rate is used if it fits them, because it is exact and they are rounded.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from heapq import heappush, heappushpop
from typing import TypeVar

import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from rspnet.video.limits import LONGEST_FRAME, plausible_rate, plausible_seconds
from rspnet.video.packets import Packet
from rspnet.video.plan import Numbers

Frame = TypeVar("Frame")

MAX_REORDERING = 16
"""Largest number of frames that a decoder holds back to put them in order (H.264, HEVC)."""

_SLACK = Fraction(102, 100)  # frames that times may be off by: one, and some more for rounding
_BACK = 5  # seconds; if times go back by more, beyond those of all pictures that reordering may move, a clock was set
_STEP_BACK = Fraction(1, 2)  # seconds; if decoding times go back by more, the clock was set back
_TICKS = 240  # frames per second; a higher rate that equals the clock's is not a frame rate


@dataclass(frozen=True, eq=False)
class Pace:
    """How fast a video of N frames plays.

    Attributes:
        rate: average frames per second; 0 if not known.
        seconds: from the first frame to the end of the last; None if not known.
        moments: int64 (N + 1,), milliseconds, when each frame is shown and when the last one ends; None if frame n is
            shown at n / rate, give or take a frame.
    """

    rate: Fraction
    seconds: float | None
    moments: Numbers | None = None


def promised_rates(stream: VideoStream) -> list[Fraction]:
    """Return the frame rates that the header or the first packets promise: the average first, then the nominal ones.

    The tick of a clock is not a frame rate. A gif promises none: it gives a duration for each picture.
    """
    if stream.container.format.name == "gif":
        return []
    rates = (Fraction(rate or 0) for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate))
    unit = _unit(stream)
    told = (rate for rate in rates if plausible_rate(float(rate)) and (rate <= _TICKS or rate * unit < 1))
    return list(dict.fromkeys(told))


def _unit(stream: VideoStream) -> Fraction:
    """Return the unit of a stream's times, seconds.

    Raises:
        ValueError: it has none.
    """
    if not stream.time_base:
        raise ValueError("its video stream has no unit of time")
    return Fraction(stream.time_base)


def promised_rate(stream: VideoStream) -> Fraction:
    """Return the first of `promised_rates`; 0 if there is none."""
    return next(iter(promised_rates(stream)), Fraction(0))


def pace_in_header(container: InputContainer, stream: VideoStream) -> Pace:
    """Return how fast a video plays, as far as its header tells, with the table of its packets if there is one.

    Args:
        container: the file, just opened.
        stream: its video stream.
    """
    format_name = container.format.name
    timeline, shown = Timeline(stream, format_name), []
    entries = stream.index_entries
    if len(entries) > 1 and _is_whole(stream, format_name):
        for number, entry in enumerate(entries):
            timeline.note(None, entry.timestamp, None, size=entry.size, hidden=entry.is_discard)
            if entry.size and not entry.is_discard:
                shown.append(number)
    elif format_name == "avi":
        return Pace(Fraction(0), None)  # its header may not be filled in, as after writing to a pipe
    pace = timeline.pace(shown)
    seconds = timeline.promised_seconds or pace.seconds or (container.duration or 0) / 1e6
    return replace(pace, seconds=seconds if plausible_seconds(seconds, len(shown) or None) else None)


def _is_whole(stream: VideoStream, format_name: str) -> bool:
    """Whether the table of packets is complete: a fragmented mp4 has it in pieces, a truncated avi has lost its own."""
    if format_name == "avi":  # its header counts empty packets, its table does not
        return stream.index_entries[len(stream.index_entries) - 1].timestamp >= stream.frames * 0.9 > 0
    return "mp4" in format_name and len(stream.index_entries) == stream.frames


class _Clock:
    """Corrects one kind of a stream's times: they go on where the clock was set back or far ahead."""

    def __init__(self, unit: Fraction) -> None:
        self._back, self._ahead = _BACK / unit, LONGEST_FRAME / unit
        self._offset = self._count = 0
        self._first: int | None = None
        self._highest: list[int] = []  # a heap; a decoder that puts pictures in order never moves one past so many

    def __call__(self, time: int | None, is_set: bool = False) -> int | None:
        if time is None:
            return None
        time += self._offset
        if self._first is None:
            self._first = self._latest = time
        ahead = time - self._latest
        is_set |= len(self._highest) > MAX_REORDERING and time < self._highest[0] and ahead < -self._back
        if is_set or ahead > self._ahead:
            next_one = self._latest + (self._latest - self._first) // max(self._count - 1, 1)
            self._offset += next_one - time
            time = next_one
        (heappushpop if len(self._highest) > MAX_REORDERING else heappush)(self._highest, time)
        self._latest = max(time, self._latest)
        self._count += 1
        return time


class Timeline:
    """Collects the times of a stream's packets, in the order of the file.

    Args:
        stream: the video stream; all times here are in its unit.
        format_name: libavformat's name of the container.

    Attributes:
        unit: unit of the times, seconds.
        promises: frames per second, see `promised_rates`.
        promised_seconds: duration in the header; None if there is none.
        visible: numbers of the packets that passed through `watch` and should give a frame each.
    """

    def __init__(self, stream: VideoStream, format_name: str) -> None:
        self.unit = _unit(stream)
        self.promises = promised_rates(stream)
        self.promised_seconds = float(stream.duration * self.unit) if stream.duration else None
        declares = "mp4" in format_name or format_name == "avi"  # libavformat estimates the duration of others
        self._told_frames = 2 if declares else 1  # frames that the promised duration may be off by
        self._has_times = True
        self._counts_places = format_name == "avi"  # stores no times, but counts packets, the empty ones included
        self.visible: list[int] = []
        self._packets: list[tuple[int | None, int | None, int]] = []
        self._is_matroska = "matroska" in format_name
        self._decoded: int | None = None  # decoding time of the packet before
        self._clocks = _Clock(self.unit), _Clock(self.unit)  # with B-frames, the two jump at different packets

    def watch(self, packets: Iterable[Packet]) -> Iterator[Packet]:
        """Yield the packets and note their times; each packet, and each frame from it, gets its number as its time."""
        for packet in packets:
            if packet.size or packet.pts is not None:  # else it is the flush at the end
                number = len(self._packets)
                self.note(packet.pts, packet.dts, packet.duration, size=packet.size, hidden=packet.is_discard)
                if packet.size and not packet.is_discard:
                    self.visible.append(number)
                packet.pts = packet.dts = number
            yield packet

    def note(
        self, shown: int | None, decoded: int | None, duration: int | None, *, size: int, hidden: bool = False
    ) -> None:
        """Note the next packet's pts, dts, duration and size. An empty packet gives no frame, but takes time.

        A hidden one is decoded for others only: between two parts that an edit list shows, its times go back.
        """
        self._has_times &= shown is not None or not size
        if hidden:
            self._packets.append((shown, decoded, duration or 0))
            return
        # Decoding times only rise, whatever the display order; but .mkv stores none.
        before, step_back = self._decoded, _STEP_BACK / self.unit
        is_set = decoded is not None and before is not None and decoded < before - step_back
        self._decoded = None if self._is_matroska else decoded
        shown, decoded = self._clocks[0](shown, is_set), self._clocks[1](decoded, is_set)
        self._packets.append((shown, decoded, duration or 0))

    def time(self, number: int | None) -> int | None:
        """Return the time of a frame by its packet's number, before `in_order`; None if the file does not say."""
        if number is None:
            return None
        return self._packets[number][not self._has_times]

    def pace(self, shown: Iterable[int | None]) -> Pace:
        """Return how fast the frames follow each other.

        Args:
            shown: the number of the packet that each frame came from, in display order.
        """
        shown = list(shown)
        told, count = self.promised_seconds, len(shown)
        known = [(number, time) for number in shown if number is not None and (time := self.time(number)) is not None]
        numbers, times = [number for number, _ in known], [time for _, time in known]
        if count < 2 or len(times) < count or max(times) == min(times):
            rate = next(iter(self.promises), Fraction(0))
            lasts = told or (float(count / rate) if rate else 0.0)
            return Pace(rate, lasts if plausible_seconds(lasts, count) else None)
        ticks = np.array([time for time, _ in in_order((time, None) for time in times)])
        first, step = int(ticks[0]), (int(ticks.max()) - int(ticks[0])) * self.unit / (count - 1)
        seconds = step * (count - 1) + self._last_frame(ticks, numbers) * self.unit
        if told is not None and abs(told - seconds) <= self._told_frames * _SLACK * step:
            seconds = Fraction(told)
        rate = self._promise_that_fits(ticks, step) or (count / seconds).limit_denominator(10**6)
        moments, away = None, np.abs((ticks - first) * float(self.unit * rate) - np.arange(count))
        if away.max() > _SLACK:
            rate = (count / seconds).limit_denominator(10**6)
            ends = np.append(ticks - first, float(seconds / self.unit))
            moments = np.maximum.accumulate(np.rint(ends * float(self.unit * 1000)).astype(np.int64))
        return Pace(rate, float(seconds), moments)

    def keeps_promise(self) -> bool:
        """Whether the packets noted so far mostly follow each other as fast as promised; True if too few to tell."""
        times = {time for number in range(len(self._packets)) if (time := self.time(number)) is not None}
        if len(times) < 3 or not self.promises:
            return True
        usual = float(np.median(np.diff(sorted(times))) * self.unit)
        return any(0.9 < usual * rate < 1.1 for rate in self.promises)

    def _promise_that_fits(self, ticks: Numbers, step: Fraction) -> Fraction | None:
        """Return the promised rate that is at most a frame off at the end, preferably one that most frames keep to."""
        span, usual = step * (len(ticks) - 1), self.unit * Fraction(float(np.median(np.diff(ticks))))
        fitting = []
        for rate in self.promises:
            miss = abs((len(ticks) - 1) / rate - span)
            if miss <= _SLACK * min(step, 1 / rate) and miss * 10 <= span:
                fitting.append(rate)
        keeping = [rate for rate in fitting if abs(rate * usual - 1) * 100 <= 1]
        return next(iter(keeping or fitting), None)

    def _last_frame(self, ticks: Numbers, shown: list[int]) -> int:
        """Return the last frame's duration, in units: as its packet says, or if that is too short, the one before's."""
        steps = np.diff(np.unique(ticks))
        packets = self._packets if self._counts_places else [self._packets[number] for number in shown]
        ends = [time + packet[2] for packet in packets if (time := packet[not self._has_times]) is not None]
        said = max(ends) - int(ticks.max())
        return said if (said > 0 and self._counts_places) or said * 2 >= np.median(steps) else int(steps[-1])


def in_order(frames: Iterable[tuple[int, Frame]]) -> Iterator[tuple[int, Frame]]:
    """Sort the times of frames that come in display order, for times of decoding are in another order."""
    waiting: deque[Frame] = deque()
    times: list[int] = []
    for time, frame in frames:
        waiting.append(frame)
        if len(waiting) > MAX_REORDERING:
            yield heappushpop(times, time), waiting.popleft()
        else:
            heappush(times, time)
    for time, frame in zip(sorted(times), waiting):
        yield time, frame
