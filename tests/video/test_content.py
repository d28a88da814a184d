"""A video is known again in another container, and no other is taken for it."""

import av
import pytest

from rspnet.video.inspection import inspect
from tests.support.numbered import write_numbered


def remux(source, path):
    """The same packets in another container."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = stream
                new.mux(packet)
    return path


@pytest.mark.parametrize(
    ("codec", "endings"),
    [
        ("libx264", ("mp4", "mkv", "ts", "mov", "flv")),
        ("libx265", ("mp4", "mkv", "ts")),
        ("mpeg4", ("mp4", "avi", "mkv")),
        ("libvpx-vp9", ("webm", "mkv", "mp4")),
        ("mpeg2video", ("mkv", "ts", "mpg")),
        ("mjpeg", ("avi", "mkv", "mov")),
    ],
)
def test_it_is_the_same_in_every_container(tmp_path, codec, endings):
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    first = write_numbered(tmp_path / f"a.{endings[0]}", 12, codec, gop=5, pix_fmt=pix_fmt)
    files = [first, *(remux(first, tmp_path / f"b.{ending}") for ending in endings[1:])]
    found = {file.name: inspect(file, depth)["content"] for file in files for depth in ("probe", "decode")}
    assert len(set(found.values())) == 1, found
    assert len(found[first.name]) == 32


def test_another_video_is_another(tmp_path):
    contents = set()
    for number, how in enumerate(({}, {"gop": 4}, {"size": (96, 64)})):
        path = write_numbered(tmp_path / f"{number}.mp4", 12, **how)
        contents.add(inspect(path, "decode")["content"])
        content = bytearray(path.read_bytes())
        content[content.index(b"mdat") + 1500] ^= 1
        path.write_bytes(content)
        contents.add(inspect(path, "decode")["content"])
    contents.add(inspect(write_numbered(tmp_path / "shorter.mp4", 11), "decode")["content"])
    assert len(contents) == 7


def test_what_is_not_read_has_none(tmp_path, monkeypatch):
    path = write_numbered(tmp_path / "a.mp4", 12)
    monkeypatch.setattr("rspnet.video.inspection.READ_AT_PROBE", 10)
    assert inspect(path)["content"] is None
    assert inspect(path, "decode")["content"]
    (tmp_path / "empty.mp4").touch()
    assert inspect(tmp_path / "empty.mp4")["content"] is None
