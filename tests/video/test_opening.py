"""What is opened: regular files of known kinds that ask for no more than they may, and nothing that they name."""

import os
import socket
import struct
import time

import av
import pytest

from rspnet.errors import VideoError
from rspnet.video import opening
from rspnet.video.opening import FORMATS, only_video_errors, open_video
from rspnet.video.reader import Video, inspect, transcode
from rspnet.video.writer import read_comment
from tests.support.numbered import write_numbered

LENGTH = 12


def each_path_refuses(path, match):
    """Whatever opens a video does so in one place."""
    start = time.monotonic()
    for depth in ("probe", "decode"):
        found = inspect(path, depth)
        assert found["status"] == "broken"
        assert match in found["reason"]
    for call in (Video, read_comment, lambda path: transcode(path, path.with_name("copy.mp4"))):
        with pytest.raises(VideoError, match=match) as raised:
            call(path)
        assert str(raised.value).startswith(f"{path}: ")
    assert not path.with_name("copy.mp4").exists()
    assert time.monotonic() - start < 2


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "folder"])
@pytest.mark.parametrize("linked", [False, True])
def test_only_regular_files_are_opened(tmp_path, monkeypatch, kind, linked):
    monkeypatch.chdir(tmp_path)  # the name of a socket may not be long
    place = tmp_path / ("real" if linked else "a.mp4")
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(place.name)
    elif kind == "device":
        place.symlink_to("/dev/zero")
    else:
        place.mkdir()
    if linked:
        (tmp_path / "a.mp4").symlink_to(place)
    each_path_refuses(tmp_path / "a.mp4", "not a regular file")


def test_a_link_to_itself(tmp_path):
    (tmp_path / "a.mp4").symlink_to("a.mp4")
    with pytest.raises(VideoError, match="symbolic links"):
        Video(tmp_path / "a.mp4")
    assert inspect(tmp_path / "a.mp4")["status"] == "broken"


@pytest.mark.parametrize("path", ["a\0.mp4", "\ud800\udfff.mp4", ""])
def test_a_path_that_is_none(path):
    with pytest.raises(VideoError, match="cannot be opened as a video"):
        Video(path)
    assert inspect(path)["status"] == "broken"


PLAYLISTS = {
    "ffconcat": "ffconcat version 1.0\nfile real.mp4\n",
    "hls": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nreal.mp4\n#EXT-X-ENDLIST\n",
    "dash": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
    '<Representation id="0"><BaseURL>real.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>',
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_text_that_names_another_file(tmp_path, kind):
    write_numbered(tmp_path / "real.mp4", LENGTH)
    path = tmp_path / "a.mp4"
    path.write_text(PLAYLISTS[kind])
    each_path_refuses(path, "cannot be opened as a video")


def test_a_track_that_lies_in_another_file(tmp_path):
    """The data reference of a .mov may be an alias, with a path (QuickTime File Format, data reference atoms)."""
    real = bytes(write_numbered(tmp_path / "real.mp4", LENGTH).read_bytes())
    alias = bytes(10) + b"\x01v" + bytes(26 + 12) + b"\x08real.mp4" + bytes(55 + 16) + b"\0\1\0\1" + bytes(16)
    alias += struct.pack(">HH", 2, 10) + b":real.mp4\0" + b"\xff\xff\0\0"
    entry = struct.pack(">I4sI", 12 + len(alias), b"alis", 0) + alias
    place = real.index(b"url \x00\x00\x00\x01") - 4
    content = bytearray(real[:place] + entry + real[place + 12 :])
    for name in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        at = real.index(name) - 4
        content[at : at + 4] = struct.pack(">I", int.from_bytes(content[at : at + 4]) + len(entry) - 12)
    (tmp_path / "a.mov").write_bytes(content)
    with av.open(str(tmp_path / "a.mov"), options={"enable_drefs": "1"}) as container:
        assert sum(1 for _ in container.decode(video=0)) == LENGTH  # what must not be
    found = inspect(tmp_path / "a.mov", "decode")
    assert (found["status"], found["num_frames"]) == ("broken", None)
    with pytest.raises(VideoError):
        Video(tmp_path / "a.mov").read([0])


def test_no_kind_that_is_read_opens_other_files():
    """Each is known to libavformat, and those that list other files are not among them."""
    assert {name for name in FORMATS if name not in av.formats_available} == set()
    listing = "concat hls dash sdp image2 image2pipe webm_dash_manifest imf rtsp rtp sap lavfi mxf nut vobsub"
    assert not set(FORMATS) & set(listing.split())


def test_kinds_that_are_read(tmp_path):
    """The suffixes that a folder is searched for, and streams without a container."""
    how = {
        "a.mp4": {},
        "a.mov": {},
        "a.3gp": {"codec": "h263", "size": (176, 144)},
        "a.mkv": {},
        "a.webm": {"codec": "libvpx"},
        "a.avi": {"codec": "mpeg4"},
        "a.mpg": {"codec": "mpeg2video"},
        "a.m1v": {"codec": "mpeg1video"},
        "a.vob": {"codec": "mpeg2video"},
        "a.ts": {"codec": "mpeg2video"},
        "a.wmv": {"codec": "wmv2"},
        "a.flv": {"codec": "flv"},
        "a.gif": {"codec": "gif", "pix_fmt": "rgb8"},
        "a.ogv": {"codec": "libtheora"},
        "a.apng": {"codec": "apng", "pix_fmt": "rgb24"},
        "a.h264": {},
        "a.hevc": {"codec": "libx265", "options": {"x265-params": "log-level=none"}},
        "a.m4v": {"codec": "mpeg4"},
        "a.mjpeg": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    }
    for name, each in how.items():
        if each.get("codec") == "libtheora" and "libtheora" not in av.codecs_available:
            continue
        found = inspect(write_numbered(tmp_path / name, LENGTH, **each), "decode")
        assert (found["status"], found["num_frames"]) == ("ok", LENGTH), (name, found)


def write_picture(path, width, height, codec="png"):
    pix_fmt = {"png": "gray"}.get(codec, "yuv420p")
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.thread_count = 1
        for _ in range(2):
            output.mux(stream.encode(av.VideoFrame(width, height, pix_fmt)))
        output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("name", ["png.mov", "png.avi", "ffv1.mkv", "libx264.mp4"])
def test_pictures_that_are_too_large(tmp_path, name):
    """Judged by the header, and by each picture."""
    path = write_picture(tmp_path / name, 400, 300, codec=name.split(".")[0])
    with pytest.raises(VideoError, match=r"400 x 300 pixels, more than max_pixels allows \(119999\)"):
        Video(path, max_pixels=400 * 300 - 1)
    assert "more than max_pixels" in inspect(path, max_pixels=119_999)["reason"]
    found = inspect(path, "decode", max_pixels=120_000)
    assert found["status"] == "ok"
    with Video(path, max_pixels=120_000) as video:
        assert video.read([1]).shape == (1, 300, 400, 3)
    with pytest.raises(VideoError):
        Video(path, max_pixels=119_999, plan=found["plan"]).read([0])


def test_pictures_that_grow_on_the_way(tmp_path):
    """A header that says less than what comes: the decoder refuses it before it makes room."""
    small, large = write_picture(tmp_path / "a.mov", 40, 30), write_picture(tmp_path / "b.mov", 600, 300)
    with av.open(str(small)) as first, av.open(str(large)) as second, av.open(str(tmp_path / "c.mov"), "w") as output:
        stream = output.add_stream_from_template(first.streams.video[0])
        for number, packet in enumerate([*first.demux(video=0), *second.demux(video=0)]):
            if packet.size:
                packet.stream, packet.pts, packet.dts = stream, number * 512, number * 512
                output.mux(packet)
    found = inspect(tmp_path / "c.mov", "decode", max_pixels=10_000)
    assert (found["status"], found["num_frames"]) == ("corrupt", 2)
    assert inspect(tmp_path / "c.mov", "decode")["num_frames"] == 4


def test_an_open_that_takes_too_long(tmp_path, monkeypatch):
    """The library is asked to stop, and the reason is the time."""
    path = write_numbered(tmp_path / "a.mkv", LENGTH)
    monkeypatch.setattr(opening, "_SHORTEST", 1e-9)
    with pytest.raises(opening.TimeLimitError, match="raise the limit or drop the file"):
        open_video(str(path), limits=opening.USUAL._replace(seconds=1e-9))
    assert inspect(path, time_limit=1e-9)["status"] == "timeout"


@pytest.mark.parametrize("error", [IndexError("x"), MemoryError(), OSError(5, "Input/output error"), KeyError(3)])
def test_nothing_but_video_errors(error):
    with pytest.raises(VideoError, match=r"^a\.mp4: cannot be read"), only_video_errors("a.mp4"):
        raise error
    with pytest.raises(struct.error), only_video_errors("a.mp4", struct.error):
        raise struct.error
