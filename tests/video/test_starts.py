"""Marks of key frames that nothing proves are tried out, and only true ones are kept."""

from fractions import Fraction

import av
import numpy as np
import pytest

from rspnet.video.opening import open_video
from rspnet.video.plan import Plan
from rspnet.video.reader import Video, inspect
from rspnet.video.starts import Starts
from tests.support.numbered import picture

LENGTH = 40


def write_marked(path, codec, pix_fmt, falsely=True):
    """A drifting picture with a key frame every ten; returns these. `falsely` marks every packet as one."""
    width, height = (176, 144) if codec in ("h261", "h263") else (80, 64)
    encoder = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.gop_size = width, height, pix_fmt, 10
    encoder.time_base, encoder.framerate, encoder.thread_count = Fraction(1, 25), Fraction(25), 1
    packets = []
    for index in [*range(LENGTH), None]:
        frame = None
        if index is not None:
            shown = np.roll(picture(7, width, height), (index, 2 * index), axis=(0, 1))
            frame = av.VideoFrame.from_ndarray(shown, format="rgb24").reformat(format=pix_fmt, threads=1)
            frame.pts, frame.time_base = index, Fraction(1, 25)
        packets += encoder.encode(frame)
    true = [place for place, packet in enumerate(packets) if packet.is_keyframe]
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.extradata = encoder.extradata
        for place, packet in enumerate(packets):
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, place, place, Fraction(1, 25)
            packet.is_keyframe = packet.is_keyframe or falsely
            output.mux(packet)
    return true


def sequential(path):
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def check_every_frame(path, expected, plan=None):
    for index in range(len(expected)):
        with Video(path, plan=plan) as video:
            assert np.array_equal(video.read([index])[0], expected[index]), index
    with Video(path, plan=plan) as video:
        assert video.num_frames == len(expected)
        for indices in ([30, 3, 12], range(5, 25), [len(expected) - 1, 0]):
            assert np.array_equal(video.read(indices), expected[list(indices)])


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("h263.avi", "h263", "yuv420p"),
        ("h263.mov", "h263", "yuv420p"),
        ("h261.avi", "h261", "yuv420p"),
        ("rpza.mov", "rpza", "rgb555le"),
        ("msvideo1.avi", "msvideo1", "rgb555le"),
        ("svq1.mov", "svq1", "yuv410p"),
        ("flv1.avi", "flv", "yuv420p"),
        ("divx3.avi", "msmpeg4", "yuv420p"),
        ("divx3.mkv", "msmpeg4", "yuv420p"),
        ("wmv2.avi", "wmv2", "yuv420p"),
        ("mpeg4.avi", "mpeg4", "yuv420p"),
        ("mpeg4.mp4", "mpeg4", "yuv420p"),
        ("qtrle.mov", "qtrle", "rgb24"),
        ("snow.mkv", "snow", "yuv420p"),
    ],
)
def test_false_marks(tmp_path, monkeypatch, name, codec, pix_fmt):
    path = tmp_path / name
    true = write_marked(path, codec, pix_fmt)
    expected = sequential(path)
    facts = inspect(path, "decode")
    assert (facts["status"], facts["num_frames"]) == ("ok", LENGTH)
    check_every_frame(path, expected)
    assert Plan.from_text(facts["plan"]).keys.tolist() == sorted({0, *true})
    monkeypatch.setattr("rspnet.video.reader.decode_all", None)  # with the plan, nothing is counted from the start
    check_every_frame(path, expected, facts["plan"])


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("png.mov", "png", "rgba"),
        ("png.avi", "png", "rgb24"),
        ("huffyuv.avi", "huffyuv", "yuv422p"),
        ("ffv1.mkv", "ffv1", "yuv420p"),
        ("raw.avi", "rawvideo", "yuv420p"),
        ("prores.mov", "prores", "yuv422p10le"),
        ("h263.mov", "h263", "yuv420p"),
        ("msvideo1.avi", "msvideo1", "rgb555le"),
        ("wmv2.avi", "wmv2", "yuv420p"),
    ],
)
def test_true_marks_are_used(tmp_path, monkeypatch, name, codec, pix_fmt):
    """And the decoder gets the file's own marks."""
    true = write_marked(tmp_path / name, codec, pix_fmt, falsely=False)
    expected = sequential(tmp_path / name)
    plan = inspect(tmp_path / name, "decode")["plan"]
    found = Plan.from_text(plan)
    assert found.afresh
    assert found.keys.tolist() == true
    monkeypatch.setattr("rspnet.video.reader.decode_all", None)
    check_every_frame(tmp_path / name, expected, plan)


def test_a_palette_that_only_the_first_packet_has(tmp_path):
    """Colours would be wrong anywhere else: then decoding always starts there."""
    path = tmp_path / "a.mov"
    write_marked(path, "qtrle", "gray")
    expected = sequential(path)
    check_every_frame(path, expected, inspect(path, "decode")["plan"])
    check_every_frame(path, expected)


def test_a_start_is_kept_that_reaches_the_next(tmp_path):
    """One that was right for a while would give wrong frames after that."""
    path = tmp_path / "a.avi"
    write_marked(path, "h263", "yuv420p")
    container, stream = open_video(str(path))
    with container, Starts(str(path), container, stream) as starts:
        for right, kept in [
            ({0: 40, 10: 3, 20: 20}, [0, 20]),
            ({0: 19, 10: 3, 20: 20}, []),
            ({0: 10, 10: 10, 20: 20}, [0, 10, 20]),
            ({0: 10, 10: 30, 20: 19}, [0, 10]),
            ({10: 30}, []),
        ]:
            starts._right = right
            assert starts.kept([], list(range(40)), 40) == (kept, bool(kept))
        starts._right = {0: 40, 10: 3}
        assert starts.kept([5], list(range(40)), 40) == ([0, 5], True)
        assert starts.kept([0, 20], list(range(40)), 40) == ([0, 20], False)
