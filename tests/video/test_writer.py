"""Writing and transcoding: the files have the promised structure and every frame."""

from fractions import Fraction

import av
import numpy as np
import pytest

from rspnet.errors import ConfigError, VideoError
from rspnet.video.plan import Plan
from rspnet.video.reader import encode, inspect, read_frames, transcode
from rspnet.video.recipe import PRESETS
from rspnet.video.writer import read_comment
from tests.support.numbered import number, picture, write_numbered

LENGTH = 50


def packets(path):
    with av.open(str(path)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        return [packet for packet in container.demux() if packet.size]


def check_structure(path, gop):
    """What both writers promise."""
    found = packets(path)
    assert [index for index, packet in enumerate(found) if packet.is_keyframe] == list(range(0, LENGTH, gop))
    assert len(found) == LENGTH
    assert all(packet.pts == packet.dts for packet in found)  # no B-frames
    assert found[0].pts == 0
    with av.open(str(path)) as container:
        stream = container.streams[0]
        assert (stream.codec_context.name, stream.format.name) == ("h264", "yuv420p")
        assert not stream.codec_context.has_b_frames
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # the index in front
    assert b"cabac=0" in content  # tune fastdecode
    assert b"deblock=0" in content
    assert b"mbtree=0" in content  # with it, the same frames do not always give the same file
    assert not list(path.parent.glob(".*"))


@pytest.mark.parametrize("gop", [16, 5])
def test_encode(tmp_path, gop):
    pictures = [picture(index) for index in range(LENGTH)]
    encode(tmp_path / "a.mp4", iter(pictures), fps=29.97, gop=gop, crf=1)
    check_structure(tmp_path / "a.mp4", gop)
    frames = read_frames(tmp_path / "a.mp4", range(LENGTH))
    assert [number(frame) for frame in frames] == list(range(LENGTH))
    assert np.abs(frames.mean(axis=3) - np.stack(pictures).mean(axis=3)).mean() < 2
    assert inspect(tmp_path / "a.mp4", "decode")["fps"] == pytest.approx(29.97)


@pytest.mark.parametrize(
    ("shape", "kept"), [("4/3", "4/3"), ("4/1", "4/1"), ("1/4", "1/4"), ("5/1", "1"), ("1/5", "1")]
)
def test_pixels_keep_their_shape_unless_the_header_is_broken(tmp_path, shape, kept):
    with av.open(str(tmp_path / "a.mp4"), "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 80, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(shape)
        for index in range(3):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture(index), format="rgb24")))
        output.mux(stream.encode(None))
    transcode(tmp_path / "a.mp4", tmp_path / "b.mp4")
    for name, expected in (("a.mp4", shape), ("b.mp4", kept)):
        with av.open(str(tmp_path / name)) as container:
            assert container.streams.video[0].sample_aspect_ratio == Fraction(expected), name


def test_quality_and_size_follow_crf(tmp_path):
    pictures = np.stack([picture(index) for index in range(20)])
    errors, sizes = [], []
    for crf in (10, 40):
        encode(tmp_path / "a.mp4", pictures, fps=25, crf=crf)
        errors.append(np.abs(read_frames(tmp_path / "a.mp4", range(20)) - pictures.astype(float)).mean())
        sizes.append((tmp_path / "a.mp4").stat().st_size)
    assert errors[0] < errors[1]
    assert sizes[0] > sizes[1]


def test_a_failed_encode_leaves_nothing(tmp_path):
    def pictures():
        yield picture(0)
        raise RuntimeError("stop")

    (tmp_path / "a.mp4").write_text("what was there before")
    with pytest.raises(RuntimeError, match="stop"):
        encode(tmp_path / "a.mp4", pictures(), fps=25)
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_text() == "what was there before"


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        ([], "no frames"),
        ([np.zeros((63, 80, 3), np.uint8)], "even H and W"),
        ([np.zeros((64, 80), np.uint8)], r"needs \(H, W, 3\)"),
        ([picture(0), picture(1, width=64)], r"frame 1 is \(64, 64, 3\), but the first was \(64, 80, 3\)"),
    ],
)
def test_pictures_that_cannot_be_written(tmp_path, pictures, message):
    with pytest.raises(VideoError, match=message):
        encode(tmp_path / "a.mp4", pictures, fps=25)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"a\.mp4: cannot be written \(Not a directory\)"):
        encode(tmp_path / "file" / "a.mp4", [picture(0)], fps=25)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("a.mp4", {"options": {"bf": "3"}}),
        ("a.avi", {"codec": "mpeg4", "options": {"bf": "2"}}),
        ("a.mkv", {"codec": "mpeg2video", "size": (200, 100)}),
        ("a.webm", {"codec": "libvpx"}),
        ("a.mpg", {"codec": "mpeg2video"}),
        ("open.mp4", {"options": {"bf": "5", "x264-params": "open-gop=1"}, "pix_fmt": "yuv444p"}),
    ],
)
def test_transcode_keeps_every_frame(tmp_path, name, how):
    (tmp_path / "new").mkdir()
    source = write_numbered(tmp_path / name, LENGTH, **how)
    facts = transcode(source, tmp_path / "new" / "b.mp4", short_side=48, comment="how it was made")
    check_structure(tmp_path / "new" / "b.mp4", 16)
    assert facts == inspect(tmp_path / "new" / "b.mp4", "decode")
    assert (facts["num_frames"], facts["height"]) == (LENGTH, 48)
    assert facts["fps"] == pytest.approx(25, rel=1e-3)
    assert [number(frame) for frame in read_frames(tmp_path / "new" / "b.mp4", range(LENGTH))] == list(range(LENGTH))
    assert read_comment(tmp_path / "new" / "b.mp4") == "how it was made"
    assert read_comment(source) == ""


@pytest.mark.parametrize(
    ("size", "short_side", "expected"),
    [
        ((340, 256), 256, (340, 256)),
        ((320, 240), 256, (320, 240)),  # not enlarged
        ((640, 360), 256, (456, 256)),
        ((360, 640), 256, (256, 456)),
        ((127, 95), 256, (126, 94)),
        ((127, 95), 94, (126, 94)),
        ((200, 40), 20, (100, 20)),
    ],
)
def test_transcoded_size(tmp_path, size, short_side, expected):
    source = write_numbered(tmp_path / "a.mkv", 2, codec="libx264", pix_fmt="yuv444p", size=size)
    facts = transcode(source, tmp_path / "b.mp4", short_side=short_side)
    assert (facts["width"], facts["height"]) == expected


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_rotation_goes_into_the_pixels(tmp_path, degrees):
    source = write_numbered(tmp_path / "a.mp4", 20, rotation=degrees)
    facts = transcode(source, tmp_path / "b.mp4", crf=5)
    assert (facts["width"], facts["height"]) == ((64, 80) if degrees % 180 else (80, 64))
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert next(container.decode(video=0)).rotation == 0
    difference = read_frames(source, [7]).astype(float) - read_frames(tmp_path / "b.mp4", [7])
    assert np.abs(difference).mean() < 3


def write_repeated(path):
    """Each time twice, as a container with a coarse clock may have them."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 80, 64, "yuvj420p"
        for index in range(LENGTH):
            (packet,) = stream.encode(av.VideoFrame.from_ndarray(picture(index), format="rgb24"))
            packet.pts = packet.dts = index // 2 * 2
            output.mux(packet)
    return path


GAPS = [index + 9 * (index // 20) for index in range(LENGTH)]
SQUARES = [100 + index + index**2 // 7 for index in range(LENGTH)]
TIMES = {
    "late.mp4": {"times": [index + 30 for index in range(LENGTH)], "options": {"bf": "2"}},
    "late.mkv": {"times": [index + 30 for index in range(LENGTH)], "options": {"bf": "2"}},
    "varying.mp4": {"times": SQUARES, "options": {"bf": "2"}},
    "varying.mkv": {"times": SQUARES},
    "varying.webm": {"times": SQUARES, "codec": "libvpx"},
    "gaps.avi": {"times": GAPS, "codec": "mpeg4"},
    "gaps_b_frames.avi": {"times": GAPS, "codec": "mpeg4", "options": {"bf": "2"}},
    "repeated.mkv": None,
}


@pytest.mark.parametrize("name", TIMES)
def test_every_frame_at_its_own_time(tmp_path, name):
    """And as long in all as the source, whose row says the same of both."""
    how = TIMES[name]
    source = write_numbered(tmp_path / name, LENGTH, **how) if how else write_repeated(tmp_path / name)
    times = how["times"] if how else [index // 2 * 2 for index in range(LENGTH)]
    facts = transcode(source, tmp_path / "b.mp4")
    found = [float(packet.pts * packet.time_base) for packet in packets(tmp_path / "b.mp4")]
    slack = 0.081 if "b_frames" in name else 0.0011  # the times of B-frames in avi are worked out
    assert found == pytest.approx([(time - times[0]) / 25 for time in times], abs=slack)
    before = inspect(source, "decode")
    assert facts["duration"] == pytest.approx(before["duration"], abs=1 / before["fps"])
    assert facts["duration"] == pytest.approx((times[-1] - times[0]) / 25, abs=max(np.diff(times)) / 25 + 0.01)
    assert facts["fps"] == pytest.approx(before["fps"], rel=0.01)
    assert (Plan.from_text(facts["plan"]).moments is None) == (name[:4] in ("late", "repe"))


def test_a_recording_that_was_cut_within_a_group_of_pictures(tmp_path):
    """The packets before its first key frame give no frame, and no time to the last one."""
    whole = write_numbered(tmp_path / "a.ts", LENGTH, codec="mpeg2video", container="mpegts").read_bytes()
    (tmp_path / "b.ts").write_bytes(whole[len(whole) // 188 // 8 * 188 :])
    before, after = inspect(tmp_path / "b.ts", "decode"), transcode(tmp_path / "b.ts", tmp_path / "b.mp4")
    assert 20 < before["num_frames"] < LENGTH - 5
    assert (after["num_frames"], after["fps"]) == (before["num_frames"], pytest.approx(25))
    assert after["duration"] == pytest.approx(before["duration"], abs=0.01)


def test_dropped_frames_of_a_capture_program(tmp_path, shared):
    facts = transcode(shared / "cases" / "media" / "tree.avi", tmp_path / "b.mp4", short_side=64)
    assert (facts["num_frames"], facts["duration"]) == (68, pytest.approx(29.6, abs=0.05))
    assert facts["fps"] == pytest.approx(68 / 29.6, rel=0.01)


def test_times_that_make_no_sense_are_made_to_rise(tmp_path):
    times = [*range(20), *(index + 10**9 for index in range(20, LENGTH))]  # more than a year
    source = write_numbered(tmp_path / "a.mkv", LENGTH, times=times)
    facts = transcode(source, tmp_path / "b.mp4")
    assert facts["num_frames"] == LENGTH
    assert facts["duration"] == pytest.approx(LENGTH / 25, abs=0.15)  # B-frames lie on both sides of the jump


def test_colours_stay(tmp_path):
    """Full-range and differently coded sources look the same afterwards."""
    for name, how in {"full.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"}, "gray.mp4": {"pix_fmt": "gray"}}.items():
        source = write_numbered(tmp_path / name, 10, **how)
        transcode(source, tmp_path / "b.mp4", crf=5)
        before, after = read_frames(source, [3, 8]).astype(float), read_frames(tmp_path / "b.mp4", [3, 8])
        assert np.abs((before - after).mean(axis=(0, 1, 2))).max() < 1.5
        assert np.abs(before - after).mean() < 4


def test_a_colour_space_that_changes(tmp_path):
    """As where two recordings were joined; the new file has the first one's."""
    parts = []
    for space in (1, 5):
        with av.open(str(tmp_path / "a.ts"), "w") as output:
            stream = output.add_stream("libx264", rate=25, options={"crf": "1"})
            stream.width, stream.height, stream.pix_fmt = 80, 64, "yuv420p"
            stream.codec_context.colorspace = space
            for index in range(10):
                frame = av.VideoFrame.from_ndarray(np.full((64, 80, 3), [30, 200, 60], np.uint8), format="rgb24")
                frame = frame.reformat(format="yuv420p", dst_colorspace=space, threads=1)
                frame.pts, frame.time_base = index, Fraction(1, 25)
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        parts.append((tmp_path / "a.ts").read_bytes())
    for place, both in enumerate((parts, parts[::-1])):
        (tmp_path / "b.ts").write_bytes(b"".join(both))
        transcode(tmp_path / "b.ts", tmp_path / f"{place}.mp4", crf=1)
        colours = read_frames(tmp_path / f"{place}.mp4", [4, 14]).mean(axis=(1, 2))
        assert np.abs(colours - [30, 200, 60]).max() < 8


def test_sound_is_dropped(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as output:
        video, sound = output.add_stream("mpeg4", rate=25), output.add_stream("aac", rate=16000)
        video.width, video.height, video.pix_fmt = 80, 64, "yuv420p"
        for index in range(LENGTH):
            output.mux(video.encode(av.VideoFrame.from_ndarray(picture(index), format="rgb24")))
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.rate = 16000
            output.mux(sound.encode(frame))
        output.mux(video.encode(None))
        output.mux(sound.encode(None))
    transcode(tmp_path / "a.mp4", tmp_path / "b.mp4")
    check_structure(tmp_path / "b.mp4", 16)


@pytest.mark.parametrize("name", PRESETS)
def test_presets(tmp_path, name):
    source = write_numbered(tmp_path / "a.mp4", LENGTH, size=(320, 264), options={"bf": "2"})
    facts = transcode(source, tmp_path / "b.mp4", **PRESETS[name])
    check_structure(tmp_path / "b.mp4", PRESETS[name]["gop"])
    assert facts["height"] == PRESETS[name]["short_side"]
    transcode(source, tmp_path / "plain.mp4")
    same = (tmp_path / "b.mp4").read_bytes() == (tmp_path / "plain.mp4").read_bytes()
    assert same == (name == "match")  # the default is a preset


def test_settings_of_x264_win(tmp_path):
    transcode(write_numbered(tmp_path / "a.mp4", 5), tmp_path / "b.mp4", x264_params="cabac=1:mbtree=1")
    content = (tmp_path / "b.mp4").read_bytes()
    assert b"cabac=1" in content
    assert b"mbtree=1" in content


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_damaged_source_leaves_nothing(tmp_path, share):
    source = write_numbered(tmp_path / "a.mp4", LENGTH, container_options={"movflags": "faststart"})
    source.write_bytes(source.read_bytes()[: int(share * source.stat().st_size)])
    with pytest.raises(VideoError, match="truncated"):
        transcode(source, tmp_path / "b.mp4")
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


def test_wrong_arguments(tmp_path):
    with pytest.raises(ConfigError, match="short_side: 255"):
        transcode(tmp_path / "a.mp4", tmp_path / "b.mp4", short_side=255)
    with pytest.raises(VideoError, match="cannot be opened"):
        transcode(tmp_path / "a.mp4", tmp_path / "b.mp4")


def test_the_longest_names(tmp_path):
    """What is written first has another name, which must be no longer than file systems take."""
    source = write_numbered(tmp_path / "a.mp4", 12)
    for length in (246, 250, 255):
        path = tmp_path / ("x" * (length - 4) + ".mp4")
        assert transcode(source, path)["num_frames"] == 12
        assert path.exists()
