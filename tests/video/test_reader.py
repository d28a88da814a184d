"""Reading: frame n is frame n of a full decode, in every container, codec and GOP structure."""

import contextlib
import csv
import os
import random
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

import rspnet
from rspnet.errors import VideoError
from rspnet.video.opening import ODD_TEXT
from rspnet.video.orientation import orientation
from rspnet.video.packets import read_packets
from rspnet.video.plan import Plan
from rspnet.video.reader import Video, inspect, read_frames
from tests.support.numbered import number, picture, write_numbered, write_packed

LENGTH = 40
B_FRAMES = {"bf": "3", "b_strategy": "0"}
OPEN_GOP = {"bf": "5", "x264-params": "open-gop=1:b-pyramid=normal:scenecut=0"}
# name, how to write it, whether the packets tell where to seek
BY_PLAN = ("b_frames.avi", "mpeg4.avi", "mpeg4_b_frames.avi", "mjpeg.avi")  # only decoding does, and then a table
CASES = {
    "plain.mp4": ({"options": {"bf": "0"}}, True),
    "all_keys.mp4": ({"gop": 1, "options": {"bf": "0"}}, True),
    "b_frames.mp4": ({"options": B_FRAMES}, True),
    "b_frames.mkv": ({"options": B_FRAMES}, True),
    "b_frames.mov": ({"options": B_FRAMES}, True),
    "b_frames.avi": ({"options": B_FRAMES}, False),
    "b_frames.ts": ({"options": B_FRAMES}, False),
    "b_frames.flv": ({"options": B_FRAMES}, False),
    "raw.h264": ({"options": B_FRAMES}, False),
    "open_gop.mp4": ({"options": OPEN_GOP}, True),
    "open_gop.mkv": ({"options": OPEN_GOP}, True),
    "intra_refresh.mp4": ({"options": {"bf": "0", "x264-params": "intra-refresh=1"}}, False),
    "interlaced.mp4": ({"options": {"bf": "2", "x264-params": "interlaced=1:tff=1"}}, True),
    "fragmented.mp4": ({"options": B_FRAMES, "container_options": {"movflags": "frag_keyframe+empty_moov"}}, True),
    "late_start.mp4": ({"options": B_FRAMES, "times": [index + 30 for index in range(LENGTH)]}, True),
    "late_start.mkv": ({"options": B_FRAMES, "times": [index + 30 for index in range(LENGTH)]}, True),
    "variable_rate.mp4": ({"options": B_FRAMES, "times": [index + index**2 // 9 for index in range(LENGTH)]}, True),
    "hevc_open_gop.mkv": (
        {"codec": "libx265", "options": {"x265-params": "keyint=12:bframes=4:open-gop=1:log-level=none"}},
        True,
    ),
    "mpeg4.avi": ({"codec": "mpeg4"}, False),
    "mpeg4_b_frames.avi": ({"codec": "mpeg4", "options": {"bf": "2"}}, False),
    "mpeg4_b_frames.m4v": ({"codec": "mpeg4", "options": {"bf": "2"}, "container": "mp4"}, True),
    "mpeg2.mpg": ({"codec": "mpeg2video", "options": {"bf": "2"}}, False),
    "mpeg2.mkv": ({"codec": "mpeg2video", "options": {"bf": "2"}}, True),
    "vp8_hidden_frames.webm": ({"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "16"}}, True),
    "vp9.webm": ({"codec": "libvpx-vp9", "options": {"lag-in-frames": "8", "cpu-used": "8"}}, True),
    "mjpeg.avi": ({"codec": "mjpeg", "pix_fmt": "yuvj420p"}, False),
    "odd_size.mp4": ({"options": B_FRAMES, "size": (101, 75), "pix_fmt": "yuv444p"}, True),
}


def decode(path):
    """The frames of a plain sequential decode, bad packets passed over, each not yet converted."""
    frames = []
    with av.open(str(path), **ODD_TEXT) as container:
        stream = container.streams.best("video")
        stream.codec_context.thread_count = 1
        for packet in container.demux(stream):
            with contextlib.suppress(av.FFmpegError):
                frames += packet.decode()
    return frames


def pictures(frames):
    return np.stack([np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90) for frame in frames])


def check_random_access(path, expected, num_requests, num_frames=None, plan=None):
    rng = random.Random(str(path.name))
    with Video(path, num_frames, plan=plan) as video:
        assert video.num_frames == len(expected)
        assert (video.height, video.width) == expected.shape[1:3]
        for _ in range(num_requests):
            indices = rng.choices(range(len(expected)), k=rng.choice([1, 2, 5]))
            assert np.array_equal(video.read(indices), expected[indices])


@pytest.mark.parametrize("name", CASES)
def test_every_frame_is_the_right_one(tmp_path, monkeypatch, name):
    how, can_seek = CASES[name]
    path = write_numbered(tmp_path / name, LENGTH, **how)
    expected = pictures(decode(path))
    assert [number(frame) for frame in expected] == list(range(LENGTH))
    check_random_access(path, expected, 12)
    plan = inspect(path, "decode")["plan"]
    with monkeypatch.context() as context:
        if can_seek:
            context.setattr("rspnet.video.reader.decode_all", None)  # what counts from the start
        check_random_access(path, expected, 12, num_frames=LENGTH)
    if can_seek or name in BY_PLAN:
        monkeypatch.setattr("rspnet.video.reader.decode_all", None)
        monkeypatch.setattr(Video, "_plan_from_packets", lambda video: None)
    check_random_access(path, expected, 20, plan=plan)
    with Video(path, plan=plan) as video:
        assert "variable" in name or video.fps == pytest.approx(25, rel=1e-4)
        assert (video.moments is not None) == ("variable" in name)


@pytest.mark.parametrize("kind", [{}, {"still": True}, {"marked": True}])
@pytest.mark.parametrize("name", ["packed.avi", "packed.mp4"])
def test_packed_b_frames(tmp_path, monkeypatch, name, kind):
    """As in many files of UCF101. Each frame alone: what is left out on the way to it must not shift the others."""
    path = write_packed(tmp_path / name, LENGTH, **kind)
    expected = pictures(decode(path))
    assert len(expected) == LENGTH
    assert "still" in kind or [number(frame) for frame in expected] == list(range(LENGTH))
    plan = inspect(path, "decode")["plan"]
    check_random_access(path, expected, 12)
    check_random_access(path, expected, 12, num_frames=LENGTH)
    monkeypatch.setattr("rspnet.video.reader.decode_all", None)  # with a plan nothing is counted from the start
    for index in range(LENGTH):
        with Video(path, LENGTH, plan=plan) as video:
            assert np.array_equal(video.read([index])[0], expected[index])
    check_random_access(path, expected, 12, plan=plan)


def test_an_edit_list_hides_frames(tmp_path, monkeypatch):
    path = write_numbered(tmp_path / "x.mp4", LENGTH, options=B_FRAMES, times=[index - 7 for index in range(LENGTH)])
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == LENGTH  # the header counts what is hidden
    expected = pictures(decode(path))
    assert [number(frame) for frame in expected] == list(range(7, LENGTH))
    plan = inspect(path, "decode")["plan"]
    monkeypatch.setattr("rspnet.video.reader.decode_all", None)
    check_random_access(path, expected, 12)
    check_random_access(path, expected, 12, plan=plan)


def test_the_plan_of_another_container(tmp_path):
    """Of a file that was there before, as long as this one by chance."""
    avi = write_numbered(tmp_path / "a.avi", LENGTH, codec="mpeg4", options={"b": "4000000"})
    path = write_numbered(tmp_path / "b.mp4", LENGTH)
    expected = read_frames(path, range(LENGTH))
    path.write_bytes(path.read_bytes().ljust(avi.stat().st_size, b"\0"))
    with Video(path, LENGTH, plan=inspect(avi, "decode")["plan"]) as video:
        assert np.array_equal(video.read(range(LENGTH)), expected)


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_rotation_is_applied(tmp_path, degrees):
    upright = read_frames(write_numbered(tmp_path / "a.mp4", 20), [3, 17])
    path = write_numbered(tmp_path / "b.mp4", 20, rotation=degrees)
    for plan in (None, inspect(path, "decode")["plan"]):
        with Video(path, plan=plan) as video:
            assert (video.height, video.width) == ((80, 64) if degrees % 180 else (64, 80))
            assert np.array_equal(video.read([3, 17]), np.rot90(upright, degrees // 90, axes=(1, 2)))


def test_samples(shared):
    """Real and awkward files: exact whether or not the number of frames is known."""
    folder = shared / "data" / "samples"
    with open(folder / "samples.tsv") as table:
        rows = [row for row in csv.DictReader(table, delimiter="\t") if row["frames_decoded"] != "-"]
    rng = random.Random(0)
    for row in rows:
        path = folder / row["file"]
        frames = decode(path)
        assert len(frames) == int(row["frames_decoded"])
        indices = [len(frames) - 1, 0, *rng.choices(range(len(frames)), k=3)]
        expected = pictures([frames[index] for index in indices])
        assert np.array_equal(read_frames(path, indices), expected), path
        with Video(path, len(frames)) as video:
            assert np.array_equal(video.read(indices[:3]), expected[:3]), path
            assert np.array_equal(video.read(indices[3:]), expected[3:]), path
            assert (video.height, video.width) == expected.shape[1:3]
        with Video(path, len(frames), plan=inspect(path, "decode")["plan"]) as video:
            assert (video.height, video.width) == expected.shape[1:3]
            assert np.array_equal(video.read(indices[1:4]), expected[1:4]), path
            assert np.array_equal(video.read(indices), expected), path


def test_foreign_files(shared):
    """Files from test collections of other projects, single frames in any order: marks, times and counts that lie."""
    for path in sorted((shared / "cases/media").iterdir()):
        facts = inspect(path, "decode")
        if facts["status"] != "ok" or path.stem.startswith("damaged"):
            continue
        frames = decode(path)
        assert facts["num_frames"] == len(frames)
        rng = random.Random(path.name)
        first = orientation(frames[0])
        size = first.size(*first.size(frames[0].height, frames[0].width))
        for promised, plan, times in ((None, None, 1), (len(frames), None, 1), (len(frames), facts["plan"], 4)):
            indices = rng.choices(range(len(frames)), k=times)
            with Video(path, promised, plan=plan) as video:
                for index in indices:
                    stored = frames[index].to_ndarray(format="rgb24", width=size[1], height=size[0])
                    assert np.array_equal(video.read([index])[0], first.apply(stored)), (path, index)
                assert video.num_frames == len(frames)
                assert (video.height, video.width) == first.size(*size)


def test_the_first_frame_decides_the_size(tmp_path):
    path = tmp_path / "a.webm"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libvpx", rate=25)
        stream.width, stream.height, stream.pix_fmt = 80, 64, "yuv420p"
        for part, size in enumerate(((80, 64), (48, 40))):
            encoder = av.CodecContext.create("libvpx", "w")
            encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = *size, "yuv420p", Fraction(1, 25)
            packets = []
            for index in range(10):
                frame = av.VideoFrame.from_ndarray(picture(10 * part + index, *size), format="rgb24")
                frame = frame.reformat(format="yuv420p")
                frame.pts = index
                packets += encoder.encode(frame)
            for index, packet in enumerate([*packets, *encoder.encode(None)]):
                packet.stream, packet.pts, packet.dts = stream, 10 * part + index, 10 * part + index
                packet.time_base = Fraction(1, 25)
                output.mux(packet)
    for plan in (None, inspect(path, "decode")["plan"]):
        for index in (15, 3):
            with Video(path, plan=plan) as video:
                shown = video.read([index])[0]
                assert shown.shape == (64, 80, 3)
                assert number(shown) == index


def test_frames_before_the_first_key_packet(tmp_path):
    """A recording cut at a key frame: pictures that lean on what was cut off are shown first."""
    options = {"x265-params": "keyint=12:min-keyint=12:bframes=4:open-gop=1:radl=0:log-level=none"}
    source = write_numbered(tmp_path / "a.mkv", LENGTH, codec="libx265", options=options)
    plans = {}
    for cut in (False, True):
        path = tmp_path / f"cut{cut}.mkv"
        with av.open(str(source)) as container, av.open(str(path), "w") as output:
            stream = container.streams.video[0]
            target = output.add_stream_from_template(stream)
            packets = [packet for packet in container.demux(stream) if packet.size]
            keys = [place for place, packet in enumerate(packets) if packet.is_keyframe]
            for packet in packets[keys[1] if cut else 0 :]:
                packet.stream = target
                output.mux(packet)
        expected = pictures(decode(path))
        plans[cut] = inspect(path, "decode")["plan"]
        check_random_access(path, expected, 20)
        check_random_access(path, expected, 20, plan=plans[cut])
    # All packets of the uncut file, taken for shown in another order: places before the first key packet.
    plan = Plan.from_text(plans[False])
    shown = np.roll(plan.shown, -3)
    runs = replace(plan, shown=shown).runs(range(3))
    assert [run.first for run in runs] == [0]


@pytest.mark.parametrize("indices", [[0.5], [0.0], ["1"], "12", [True], [None], [np.float64(1)], [1, 2.0], [[1]]])
def test_indices_that_are_no_whole_numbers(tmp_path, indices):
    path = write_numbered(tmp_path / "a.mp4", 20)
    with pytest.raises(VideoError, match=r"a\.mp4: frame .*; whole numbers are needed$"):
        read_frames(path, indices)


@pytest.mark.parametrize("index", [3, np.int64(3), None])
def test_one_index_is_no_list(tmp_path, index):
    path = write_numbered(tmp_path / "a.mp4", 20)
    with pytest.raises(VideoError) as caught:
        read_frames(path, index)
    assert str(caught.value) == f"{path}: frame {index!r}; a list of whole numbers is needed, such as [0, 1]"


def test_whole_numbers_of_all_kinds(tmp_path):
    path = write_numbered(tmp_path / "a.mp4", 20)
    for indices in ((7,), np.array([7], np.uint8), [np.int64(7)], range(7, 8), iter([7])):
        assert number(read_frames(path, indices)[0]) == 7
    for size in (0, -1, 2.0, "3", True):
        with Video(path) as video, pytest.raises(VideoError, match=r"size .*; whole numbers are needed, 1 or more$"):
            video.read([1], None, size)
    for crop in ((0, 0, 8), (0, 0, 8.0, 8), "abcd"):
        with Video(path) as video, pytest.raises(VideoError, match="crop"):
            video.read([1], crop)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4"), ("a.webm", "libvpx"), ("a.mov", "png")],
)
def test_nothing_but_video_errors(tmp_path, name, codec):
    """Whatever bytes are changed, with the plan of the file as it was, or without one."""
    pix_fmt = "rgb24" if codec == "png" else "yuv420p"
    path = write_numbered(tmp_path / name, 12, codec=codec, pix_fmt=pix_fmt)
    whole, plan = path.read_bytes(), inspect(path, "decode")["plan"]
    rng = np.random.default_rng(0)
    for attempt in range(60):
        content = bytearray(whole)
        for place in rng.integers(0, len(whole), 1 + attempt % 7):
            content[place] = rng.integers(256)
        if attempt % 5 == 0:
            content = content[: rng.integers(len(whole))]
        path.write_bytes(content)
        assert inspect(path, "decode")["status"]
        for used in (plan, None):
            with contextlib.suppress(VideoError), Video(path, plan=used) as video:
                video.read([0, 11, 5])


def test_what_goes_wrong_inside_is_a_video_error(tmp_path, monkeypatch):
    path = write_numbered(tmp_path / "a.mp4", 12)
    for error in (IndexError("no place"), OSError(5, "Input/output error"), OverflowError("big"), MemoryError()):

        def fails(*_, error=error):
            raise error

        with monkeypatch.context() as context, Video(path) as video:
            context.setattr("rspnet.video.reader.decode_all", fails)
            context.setattr("rspnet.video.reader.Survey", fails)
            with pytest.raises(VideoError, match=rf"a\.mp4: cannot be read \({type(error).__name__}: ") as caught:
                video.read([3])
            assert caught.value.__cause__ is error
            with pytest.raises(VideoError, match="cannot be read"):
                _ = video.num_frames


def test_the_public_function(tmp_path):
    path = write_numbered(tmp_path / "a.mp4", 20)
    frames = rspnet.read_frames(path, [5, 2, 5])
    assert frames.dtype == np.uint8
    assert frames.shape == (3, 64, 80, 3)
    assert [number(frame) for frame in frames] == [5, 2, 5]
    assert rspnet.read_frames(str(path), np.arange(0)).shape == (0, 64, 80, 3)


def test_fewer_frames_than_promised(tmp_path):
    path = write_numbered(tmp_path / "a.mp4", LENGTH, container_options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 3])
    with Video(path, LENGTH) as video, pytest.raises(VideoError) as caught:
        video.read([LENGTH - 1])
    assert str(caught.value).startswith(f"{path}: promised {LENGTH} frames, but only ")
    with Video(path) as video:
        assert 0 < video.num_frames < LENGTH
        assert [number(frame) for frame in video.read([0, video.num_frames - 2])] == [0, video.num_frames - 2]


@pytest.mark.parametrize(
    ("index", "crop", "message"),
    [
        (20, None, r"no frame 20; it has 20 frames"),
        (-1, None, r"no frame -1"),
        (0, (0, 1, 64, 80), r"crop \(0, 1, 64, 80\).* is not inside the 64 x 80 frame"),
        (0, (0, 0, 0, 10), "is not inside the 64 x 80 frame"),
        (0, (-1, 0, 10, 10), "is not inside the 64 x 80 frame"),
    ],
)
def test_requests_outside_the_video(tmp_path, index, crop, message):
    path = write_numbered(tmp_path / "a.mp4", 20)
    with Video(path) as video, pytest.raises(VideoError, match=message) as caught:
        video.read([index], crop)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("content", [None, b"", b"text" * 100])
def test_files_that_are_no_videos(tmp_path, content):
    path = tmp_path / "a.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VideoError, match="cannot be opened as a video") as caught:
        Video(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_name_that_looks_like_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.rename(write_numbered(tmp_path / "a.mp4", 4), "http:x ünïcode's.mp4")
    assert number(read_frames("http:x ünïcode's.mp4", [3])[0]) == 3


def test_the_time_limit(tmp_path):
    path = write_numbered(tmp_path / "a.mp4", 20)
    with Video(path, time_limit=1e-9) as video, pytest.raises(VideoError, match=r"not done after 1e-09 s"):
        video.read([10])


def test_nothing_stays_open(tmp_path):
    good = write_numbered(tmp_path / "a.avi", 20, codec="mpeg4")
    cut = tmp_path / "cut.avi"
    cut.write_bytes(good.read_bytes()[:3000])

    def use():
        read_frames(good, [3, 15])
        with pytest.raises(VideoError), Video(cut, 20) as video:
            video.read([19])
        with pytest.raises(VideoError):
            Video(tmp_path / "none.mp4")

    use()
    before = os.listdir("/proc/self/fd")
    for _ in range(20):
        use()
    assert os.listdir("/proc/self/fd") == before


def test_the_decoder_is_flushed_whatever_the_library_does_at_the_end(tmp_path):
    """PyAV reads past its list where a stream turned up on the way; frames that are held back come all the same."""
    path = write_numbered(tmp_path / "a.mp4", 20, options={"bf": "3"})

    class Failing:
        def __init__(self, container):
            self.container = container

        def demux(self, stream):
            yield from (packet for packet in self.container.demux(stream) if packet.size)
            raise IndexError("list index out of range")

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = read_packets(Failing(container), stream)
        assert len([frame for packet in packets for frame in stream.codec_context.decode(packet)]) == 20
