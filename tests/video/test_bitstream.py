"""What packets say of themselves: the order that a decoder gives, and true starts only."""

import heapq

import av
import numpy as np
import pytest

from rspnet.video.bitstream import Headers
from rspnet.video.headers import _HEADERS
from rspnet.video.opening import open_video
from rspnet.video.survey import Survey
from tests.support.numbered import number, write_numbered

B_FRAMES = {"bf": "3", "b_strategy": "0"}
# name, how to write it, and the starts; None: every twelfth picture, give or take the order
FILES = {
    "mpeg4.mp4": ({"codec": "mpeg4"}, None),
    "mpeg4_b.mp4": ({"codec": "mpeg4", "options": {"bf": "2"}}, None),
    "mpeg2.mkv": ({"codec": "mpeg2video", "options": {"bf": "2"}}, None),
    "mpeg1.mkv": ({"codec": "mpeg1video", "options": {"bf": "2"}}, None),
    "mjpeg.mkv": ({"codec": "mjpeg", "pix_fmt": "yuvj420p"}, range(40)),
    "vp8.webm": ({"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "16"}}, None),
    "vp9.webm": ({"codec": "libvpx-vp9", "options": {"lag-in-frames": "8", "cpu-used": "8"}}, None),
    "av1.mp4": ({"codec": "libsvtav1", "options": {"preset": "12", "svtav1-params": "lp=1"}}, None),
    "h264.mp4": ({"options": {"bf": "0"}}, None),
    "h264_b.mkv": ({"options": B_FRAMES}, None),
    "h264_b.avi": ({"options": B_FRAMES}, None),
    "h264_fields.mp4": ({"options": {"bf": "2", "x264-params": "interlaced=1:tff=1"}}, None),
    "h264_open.mp4": ({"options": {"bf": "5", "x264-params": "open-gop=1:b-pyramid=normal:scenecut=0"}}, None),
    "h264_444.mp4": ({"options": B_FRAMES, "pix_fmt": "yuv444p"}, None),
    "h264_refresh.mkv": ({"options": {"bf": "0", "x264-params": "intra-refresh=1"}}, [0]),
    "hevc.mkv": (
        {"codec": "libx265", "options": {"x265-params": "keyint=12:bframes=4:open-gop=1:log-level=none"}},
        None,
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_order_and_starts(tmp_path, name):
    how, starts = FILES[name]
    path = write_numbered(tmp_path / name, 40, **how)
    container, stream = open_video(str(path))
    with container:
        survey = Survey(container, stream)
        frames = [frame for packet in survey(container.demux(stream)) for frame in stream.codec_context.decode(packet)]
        order, sure = survey._headers.shown(stream.codec_context.reorder_depth), survey._keys
    decoded = [frame.pts for frame in frames]
    assert [number(frame.to_ndarray(format="rgb24")) for frame in frames] == list(range(40))
    assert order == decoded
    assert not survey._headers.changes
    assert sure[0] == 0
    if starts is not None:
        assert sure == list(starts)
    else:
        assert 3 <= len(sure) <= 8
        assert all(frames[decoded.index(packet)].key_frame for packet in sure)


def test_marks_are_not_believed(tmp_path):
    """Packets that a container marks say themselves that they are no key frames."""
    path = write_numbered(tmp_path / "a.mp4", 30, codec="mpeg4")
    container, stream = open_video(str(path))
    with container:
        survey = Survey(container, stream)
        for packet in container.demux(stream):
            packet.is_keyframe = True
            list(survey([packet]))
    assert survey._keys == [0, 12, 24]


def test_too_few_pictures_held_back(tmp_path):
    """The decoder would lose some."""
    path = write_numbered(tmp_path / "a.mp4", 30, options=B_FRAMES)
    container, stream = open_video(str(path))
    with container:
        survey = Survey(container, stream)
        list(survey(container.demux(stream)))
    assert len(survey._headers.shown(2)) == 30
    assert survey._headers.shown(0) is None


class Given(Headers):
    """Packets that say their rank, a byte."""

    def _read(self, data):
        return False, (data[0],)


@pytest.mark.parametrize("depth", range(4))
def test_the_order_is_told_where_a_decoder_of_that_depth_keeps_it(depth):
    """Compared with one that holds so many pictures back, and shows the earliest of them and the next."""
    rng = np.random.default_rng(0)
    told = 0
    for _ in range(200):
        ranks = np.argsort(np.arange(8) + rng.uniform(0, 5, 8)).tolist()
        headers, held, put_out = Given(b""), [], []
        for rank in ranks:
            headers.note(bytes([rank]))
            heapq.heappush(held, rank)
            if len(held) > depth:
                put_out.append(heapq.heappop(held))
        put_out += sorted(held)
        is_kept = put_out == sorted(ranks)
        assert headers.shown(depth) == (np.argsort(ranks).tolist() if is_kept else None)
        told += is_kept
    assert 0 < told < 200


@pytest.mark.parametrize("codec", _HEADERS)
def test_nonsense_is_never_a_start(codec):
    """Nor does it raise anything."""
    rng = np.random.default_rng(0)
    for config in (b"", b"\x01" + rng.bytes(60), rng.bytes(30)):
        try:
            headers = _HEADERS[codec](config)
        except (IndexError, ValueError):
            continue  # which the survey takes for no headers
        for _ in range(300):
            headers.note(rng.bytes(rng.integers(0, 60)))
            headers.note(b"\x00\x00\x01" + rng.bytes(rng.integers(0, 60)))
        assert headers.shown(4) is None
    assert av.codec.Codec(codec, "r").type == "video"
