"""Make the plan of a file from facts that are collected about its packets while they are read."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from rspnet.video.bitstream import BLANK_OF_MPEG4, PICTURE_OF_MPEG4
from rspnet.video.headers import headers_of
from rspnet.video.orientation import UPRIGHT, orientation
from rspnet.video.packets import Packet
from rspnet.video.plan import TABLE_HEADERS, TIMED_FORMATS, Plan
from rspnet.video.spoilt import spoilt_of
from rspnet.video.starts import Starts
from rspnet.video.times import Timeline

_EACH_GIVES_ONE = ("hevc", "vp8", "vp9", "av1", "mjpeg")
"""Codecs whose decoders give a frame for each packet that holds one, unless they refuse it."""


class Survey:
    """Collects facts about the packets of a stream as they pass through; each gets its number as its time.

    Args:
        container: the file, just opened.
        stream: its video stream.
        starts: tries out doubtful key frame marks; None to ignore such marks.
    """

    def __init__(self, container: InputContainer, stream: VideoStream, starts: Starts | None = None) -> None:
        self._container = container
        self._stream = stream
        self._format = container.format.name
        self._starts = starts if self._format in (*TIMED_FORMATS, *TABLE_HEADERS) else None
        self._codec = stream.codec_context.codec.canonical_name
        self._headers = headers_of(self._codec, stream.codec_context.extradata or b"")
        self._entries = len(stream.index_entries)  # of a fragmented mp4, more are found while it is read
        self._times: list[int | None] = []
        self._keys: list[int] = []
        self._marks: list[bool] = []
        self.timeline = Timeline(stream, container.format.name)
        self._hidden: set[int] = set()
        self._spans: list[tuple[int | None, int]] = []
        self._framed = _has_length_prefixes(stream)
        self._sane = True
        self._is_spoilt = spoilt_of(self._codec, stream.codec_context.extradata or b"")
        self._packed = False

    def __call__(self, packets: Iterable[Packet]) -> Iterator[Packet]:
        """Yield the packets, with their numbers as their times."""
        for packet in packets:
            if packet.size or packet.pts is not None:  # else it is the flush at the end
                self._note(packet)
            yield packet

    def compared(self, frames: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
        """Yield the frames of the file, and compare those of the trials with them."""
        for frame in frames:
            if self._starts:
                self._starts.expect(frame)
            yield frame
        if self._starts:
            self._starts.finish()

    def _note(self, packet: Packet) -> None:
        number = len(self._times)
        self._times.append(packet.pts)
        self.timeline.note(packet.pts, packet.dts, packet.duration, size=packet.size, hidden=packet.is_discard)
        self._spans.append((packet.pos, packet.size))
        self._marks.append(packet.is_keyframe)
        data = memoryview(packet)
        pictures = bytes(data).split(PICTURE_OF_MPEG4)[1:] if self._codec == "mpeg4" else []
        self._packed |= len(pictures) > 1
        # Some writers mark the placeholder of an earlier picture as a key frame: decoding cannot start there.
        is_blank = pictures and (packet.size <= BLANK_OF_MPEG4 or pictures[0][:1] >= b"\x40")
        is_sure = self._headers.note(data) if self._headers else False
        is_key = packet.is_keyframe and not is_blank
        if is_key and is_sure:
            self._keys.append(number)
        if packet.is_discard:
            self._hidden.add(number)
        whole = packet.size and not packet.is_corrupt and not packet.has_sidedata("new_extradata")
        if not whole or (self._framed and not _is_well_framed(data)) or self._is_spoilt(bytes(data)):
            self._sane = False
        if self._starts and packet.size:
            self._starts.feed(packet, number, is_sure if is_key else None)
        packet.pts = packet.dts = number

    def lost(self, shown: Sequence[int | None]) -> int:
        """Return how many packets gave no frame although their headers say that they show a picture.

        0 for codecs other than those of `_EACH_GIVES_ONE`.

        Args:
            shown: as for `plan`.
        """
        if self._codec not in _EACH_GIVES_ONE or not self._headers:
            return 0
        return len(set(self._headers.clear()) - self._hidden - set(shown))

    def shown_by_headers(self) -> list[int] | None:
        """Return the packets in display order, without decoding; None unless headers and times agree on it."""
        times = self._distinct_times()
        if self._format not in TIMED_FORMATS or not self._sane or self._packed or times is None:
            return None
        shown = self._headers and self._headers.shown(self._stream.codec_context.reorder_depth)
        if not shown or shown != sorted(shown, key=times.__getitem__) or self._keys[:1] != [0]:
            return None
        return [number for number in shown if number not in self._hidden] or None

    def plan(self, shown: Sequence[int | None], damaged: bool = False, first: VideoFrame | None = None) -> Plan:
        """Return the plan of the file, once all of its packets have been read.

        Args:
            shown: the number of the packet that each frame came from, in display order.
            damaged: whether something went wrong in decoding; then the plan is to decode from the start.
            first: the first frame, if it was decoded.
        """
        stream, length = self._stream, len(shown)
        numbers = [number for number in shown if number is not None]
        pace = self.timeline.pace(shown)
        turn = orientation(first) if first else UPRIGHT
        size = turn.size(first.height, first.width) if first else (0, 0)
        facts = (self._container.size, stream.index, pace.rate, *size, turn, stream.codec_context.reorder_depth)
        from_start = Plan(*facts, length, np.arange(length), np.empty(0, np.int64), moments=pace.moments)
        ordered = numbers and len(set(numbers)) == length
        sound = ordered and self._sane and not damaged and not self._loses(shown)
        starts, afresh = self._where_to_start(numbers) if sound else ([], False)
        if not starts:
            return from_start
        known = replace(from_start, num_packets=len(self._times), shown=np.array(numbers), keys=np.array(starts))
        known = replace(known, packed=self._packed, afresh=afresh)
        if self._is_in_table(afresh):
            return replace(known, header=TABLE_HEADERS[self._format])
        times = self._distinct_times()
        if self._format in TIMED_FORMATS and times is not None:
            return replace(known, times=np.array(times))
        return from_start

    def _loses(self, shown: Sequence[int | None]) -> bool:
        """Whether a packet unexpectedly gave no frame: how its loss affects others depends on where decoding starts."""
        if not self._headers:
            return False
        unclear = self._headers.unclear() if self._codec in ("h264", "hevc") else []
        return bool({*self._headers.clear(), *unclear} - self._hidden - set(shown))

    def _where_to_start(self, shown: list[int]) -> tuple[list[int], bool]:
        """Return the packets at which decoding can start, and whether that takes new decoders."""
        sure = [] if self._headers and self._headers.changes else self._keys
        # A start that shows nothing could not be told from one that failed; packet 0 needs no check.
        sure = sorted({0, *shown} & set(sure))
        if self._starts and not self._packed:
            return self._starts.kept(sure, shown, len(self._times))
        return (sure, False) if sure[:1] == [0] else ([], False)

    def _distinct_times(self) -> list[int] | None:
        """Return the packets' times; None unless each packet has one that no other has."""
        times = [time for time in self._times if time is not None]
        return times if len(set(times)) == len(self._times) else None

    def _is_in_table(self, with_marks: bool) -> bool:
        """Whether the container's table gives place and size of every packet, and its mark if marks were used."""
        header = TABLE_HEADERS.get(self._format)
        if header is None or self._entries != len(self._spans):
            return False
        entries = self._stream.index_entries
        if with_marks and self._marks != [entry.is_keyframe for entry in entries]:
            return False
        return self._spans == [(entry.pos + header, entry.size) for entry in entries]


def _has_length_prefixes(stream: VideoStream) -> bool:
    """Whether packets are NAL units with 4-byte lengths in front (H.264 and HEVC in mp4 and mkv: avcC, hvcC)."""
    header, place = stream.codec_context.extradata or b"", {"h264": 4, "hevc": 21}.get(stream.codec_context.name)
    return place is not None and len(header) > place and header[0] == 1 and header[place] & 3 == 3


def _is_well_framed(data: memoryview) -> bool:
    """Whether the lengths add up: this finds overwritten packets, which would give no frame, without decoding."""
    position = 0
    while position + 4 < len(data):
        if data[position + 4] & 0x80:  # a NAL unit starts with a zero bit
            return False
        position += 4 + int.from_bytes(data[position : position + 4])
    return position == len(data)
