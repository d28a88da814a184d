"""Bytes that no encoder writes are seen, and those that look like them are not taken for such."""

import av
import numpy as np
import pytest

from rspnet.video.reader import inspect
from rspnet.video.spoilt import spoilt_of
from tests.support.numbered import write_numbered

LENGTH = 30
QUICK = {"cpu-used": "8", "deadline": "realtime"}
FILES = {
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": "log-level=none", "preset": "ultrafast"}},
    "h264.mp4": {},
    "raw.h264": {},
    "vp9.webm": {"codec": "libvpx-vp9", "options": QUICK},
    "vp9.mp4": {"codec": "libvpx-vp9", "options": QUICK},
}


def spoilt_packets(path):
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        is_spoilt = spoilt_of(context.codec.canonical_name, context.extradata or b"")
        return sum(is_spoilt(bytes(packet)) for packet in container.demux(video=0))


@pytest.mark.parametrize("name", FILES)
def test_blocks_of_zeros(tmp_path, name):
    """In the middle of a large packet; what was written is sound."""
    path = write_numbered(tmp_path / name, LENGTH, size=(320, 256), gop=10, **FILES[name])
    assert spoilt_packets(path) == 0
    assert inspect(path, "decode")["status"] == "ok"
    with av.open(str(path)) as container:
        packet = max(container.demux(video=0), key=lambda packet: packet.size)
        data = bytes(packet)
    content, middle = bytearray(path.read_bytes()), data[len(data) // 2 :][:150]
    place = content.index(middle)
    content[place : place + 140] = bytes(140)
    path.write_bytes(content)
    found = inspect(path, "decode")
    assert found["status"] == "corrupt"
    assert found["plan"] is None


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9", "libx264", "mjpeg"])
def test_pictures_that_are_all_grey(tmp_path, codec):
    """Nothing but runs of one symbol."""
    path, pix_fmt = tmp_path / "a.mkv", "yuvj420p" if codec == "mjpeg" else "yuv420p"
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25, options=QUICK if "vpx" in codec else {})
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, pix_fmt
        for number in range(3):
            frame = av.VideoFrame(1920, 1080, pix_fmt)
            for plane in frame.planes:
                plane.update(bytes([128]) * plane.buffer_size)
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    assert spoilt_packets(path) == 0
    assert inspect(path, "decode")["status"] == "ok"


def test_what_is_forbidden():
    in_lengths = spoilt_of("h264", b"\1" + bytes(3) + b"\xff")
    for middle, is_spoilt in ((b"\0\0\3\1", 0), (b"\0\0\0\5", 1), (b"\0\0\2", 1), (b"\0\0\3\4", 1), (b"\0\0", 0)):
        unit = b"\x41" + middle + b"\x7f"
        assert in_lengths(len(unit).to_bytes(4) + unit) == is_spoilt
        assert spoilt_of("h264", b"")(b"\0\0\0\1" + unit + b"\0\0\0\0\1\x41\x7f") == is_spoilt
    assert not in_lengths(b"\0\0\0\5\x41\x7f\0\0\0")  # zeros behind a unit
    assert not in_lengths(b"\0\0\1\0\x41")  # which does not add up: the decoder says so
    picture = spoilt_of("mjpeg", b"")
    assert picture(b"\xff\xd8\xff\xda\x12\xff\x05\x33\xff\xd9")
    assert not picture(b"\xff\xd8\xff\xda\x12\xff\x00\xff\xd3\xff\xd9")
    assert picture(b"\xff\xd8\xff\xda\x12" + bytes(64) + b"\x12\xff\xd9")
    flat = b"\xff\xc4\0\x15\x10\1" + bytes(15) + b"\0\xff\xda"
    assert not picture(b"\xff\xd8" + flat + bytes(64) + b"\x12\xff\xd9")
    assert not spoilt_of("ffv1", b"")(bytes(500) + b"\1")


def test_checksums_of_clusters(tmp_path):
    """A single bit, of a codec that takes any bytes for a picture."""
    path = write_numbered(tmp_path / "a.mkv", LENGTH, codec="libvpx-vp9", size=(160, 128), options=QUICK)
    whole = path.read_bytes()
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    for seed in range(10):
        rng, content = np.random.default_rng(seed), bytearray(whole)
        place, size = places[rng.integers(len(places))]
        content[place + size // 2] ^= 1 << rng.integers(8)
        path.write_bytes(content)
        found = inspect(path, "decode")
        assert found["status"] == "corrupt", found
    path.write_bytes(whole)
    assert inspect(path, "decode")["status"] == "ok"
