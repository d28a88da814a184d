"""Damage is found and called what it is, and what only looks like damage is none."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest

from rspnet.errors import VideoError
from rspnet.video import damage, matroska
from rspnet.video.reader import inspect, read_frames, transcode
from tests.support.numbered import write_numbered

LENGTH = 40


def overwrite(path, share, length, seed=0):
    content = bytearray(path.read_bytes())
    place = int(share * len(content))
    content[place : place + length] = np.random.default_rng(seed).bytes(length)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("hevc.mp4", {"codec": "libx265", "options": {"x265-params": "hash=1:log-level=none"}}),
        ("mjpeg.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p", "options": {"q:v": "1"}}),
        ("h264.mp4", {}),
        ("mpeg4.avi", {"codec": "mpeg4"}),
        ("mpeg2.mpg", {"codec": "mpeg2video"}),
    ],
)
def test_what_a_decoder_would_pass_over(tmp_path, name, how):
    path = write_numbered(tmp_path / name, LENGTH, size=(160, 128), **how)
    assert inspect(path, "decode")["status"] == "ok"
    overwrite(path, 0.5, 300)
    found = inspect(path, "decode")
    assert found["status"] == "corrupt"
    assert "do not decode" in found["reason"]
    with pytest.raises(VideoError, match="it is corrupt, replace it or drop it"):
        transcode(path, tmp_path / "copy.mp4")
    assert not (tmp_path / "copy.mp4").exists()


def test_published_files(shared):
    """Two that are damaged, and one with parameters, messages and slices each in a sample of its own."""
    media = shared / "cases" / "media"
    assert inspect(media / "damaged_hevc_0246.mp4", "decode")["status"] == "corrupt"
    assert inspect(media / "1905231.webm", "decode")["status"] == "corrupt"
    found = inspect(media / "attachment631-small.mp4", "decode")
    assert (found["status"], found["num_frames"]) == ("ok", 163)
    assert found["fps"] == pytest.approx(163 / 10.9, rel=0.01)
    probed = inspect(media / "attachment631-small.mp4")
    assert (probed["status"], probed["num_frames"], probed["fps"]) == ("ok", None, None)


@pytest.mark.parametrize(("codec", "units"), [("libx264", {"x264-params": "aud=1"}), ("libx265", {})])
@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_each_unit_a_packet_of_its_own(tmp_path, codec, units, container):
    options = units or {"x265-params": "aud=1:log-level=none"}
    encoder = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.pix_fmt = 80, 64, "yuv420p"
    encoder.time_base, encoder.framerate, encoder.options = Fraction(1, 25), 25, options | {"bf": "0"}
    with av.open(str(tmp_path / "a"), "w", format=container) as output:
        stream = output.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 80, 64, "yuv420p"
        number = 0
        for index in [*range(10), None]:
            frame = index if index is None else av.VideoFrame(80, 64, "yuv420p")
            if frame:
                frame.pts = index
            for coded in encoder.encode(frame):
                for unit in bytes(coded).replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]:
                    packet = av.Packet(b"\0\0\0\1" + unit)
                    packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, Fraction(1, 100)
                    output.mux(packet)
                    number += 1
    found = inspect(tmp_path / "a", "decode")
    assert number > 20
    assert (found["status"], found["reason"], found["num_frames"]) == ("ok", None, 10)
    assert len(read_frames(tmp_path / "a", range(10))) == 10


def test_a_sample_without_bytes_is_no_missing_packet(tmp_path):
    """It stands for a picture that stays; here the last one of the table (ISO/IEC 14496-12, 8.7.3)."""
    path = write_numbered(tmp_path / "a.mp4", LENGTH, options={"bf": "0"})
    content = bytearray(path.read_bytes())
    sizes = content.index(b"stsz") + 16
    content[sizes + 4 * (LENGTH - 1) : sizes + 4 * LENGTH] = bytes(4)
    path.write_bytes(content)
    with av.open(str(path)) as file:
        assert [entry.size for entry in file.streams.video[0].index_entries].count(0) == 1
    found = inspect(path, "decode")
    assert (found["status"], found["reason"], found["num_frames"]) == ("ok", None, LENGTH - 1)
    assert len(read_frames(path, [0, LENGTH - 2])) == 2


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_a_size_that_a_pipe_left_open(tmp_path, size):
    path = write_numbered(tmp_path / "a.avi", LENGTH, codec="mpeg4", size=(320, 256))
    content = bytearray(path.read_bytes())
    content[4:8] = size.to_bytes(4, "little")
    path.write_bytes(content)
    for depth in ("probe", "decode"):
        assert inspect(path, depth)["status"] == "ok"
    assert inspect(path, "decode")["num_frames"] == LENGTH


def test_sizes_that_make_no_sense(tmp_path):
    """Of the segment of a .mkv and of the last box of a .mp4: what decodes counts."""
    path = write_numbered(tmp_path / "a.mkv", LENGTH)
    content = bytearray(path.read_bytes())
    place = content.index(b"\x18\x53\x80\x67") + 4
    for size in (b"\x01\xff\xff\xff\xff\xff\xff\xfe", b"\x01\x00\x10\x00\x00\x00\x00\x00"):
        content[place : place + 8] = size
        path.write_bytes(content)
        assert inspect(path, "decode")["status"] == "ok"
    content[4] = 0x01  # and of the header in front of it
    content[5:12] = b"\xff" * 6 + b"\xfe"
    path.write_bytes(content)
    assert inspect(path, "decode")["status"] != "timeout"


def test_encrypted(tmp_path):
    """Common Encryption in mp4, of all frames or of all but the first ones."""
    key = {"encryption_key": "76a6c65c5ea762046bd749a2e632ccbb", "encryption_kid": "a7e61c373e219033c21091fa607bf3b8"}
    how = {"container_options": {"encryption_scheme": "cenc-aes-ctr", **key}}
    path = write_numbered(tmp_path / "a.mp4", LENGTH, **how)
    for depth in ("probe", "decode"):
        found = inspect(path, depth)
        assert (found["status"], found["plan"]) == ("encrypted", None)
        assert "encrypted" in found["reason"]
    with pytest.raises(VideoError, match="its pictures are encrypted"):
        transcode(path, tmp_path / "b.mp4")


def test_encrypted_webm(tmp_path):
    """As of Widevine: the track says so (ContentEncodings, in the place of the codec's own header)."""
    path = write_numbered(tmp_path / "a.mkv", LENGTH, codec="mpeg4")
    content = path.read_bytes()
    place = content.index(b"\x63\xa2")
    after = place + 3 + (content[place + 2] & 0x7F)
    encryption = b"\x47\xe1\x81\x05" + b"\x47\xe2\x84key1"
    encoding = b"\x50\x33\x81\x01" + b"\x50\x35" + bytes([0x80 | len(encryption)]) + encryption
    encodings = b"\x62\x40" + bytes([0x80 | len(encoding)]) + encoding
    element = b"\x6d\x80" + bytes([0x80 | len(encodings)]) + encodings
    room = after - place - len(element) - 2
    path.write_bytes(content[:place] + element + b"\xec" + bytes([0x80 | room, *bytes(room)]) + content[after:])
    for depth in ("probe", "decode"):
        assert inspect(path, depth)["status"] == "encrypted"


def test_a_disk_that_fails(tmp_path, monkeypatch):
    path = write_numbered(tmp_path / "a.mkv", LENGTH)

    class Failing(io.FileIO):
        def read(self, size=-1):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(damage, "open", lambda *_, **__: Failing(path), raising=False)
    found = inspect(path, "decode")
    assert found["status"] == "broken"
    assert found["reason"] == "the disk cannot read all of it (Input/output error); 40 frames decode"
    single = write_numbered(tmp_path / "single.mkv", 1)
    assert inspect(single, "decode")["reason"].endswith("; 1 frame decodes")
    path.write_bytes(b"no video")  # as where the table at its end cannot be read
    assert inspect(path)["reason"] == "cannot be read (Input/output error)"


def test_a_decoder_that_cannot_be_opened(tmp_path):
    """Each packet is refused, and nothing asks the decoder for more."""
    path = write_numbered(tmp_path / "a.mkv", LENGTH, codec="ffv1", options={"level": "3"})
    content = bytearray(path.read_bytes())
    place = content.index(b"\x63\xa2") + 3
    content[place : place + 20] = bytes(20)
    path.write_bytes(content)
    for depth in ("probe", "decode"):
        assert inspect(path, depth)["status"] == "broken"
    with pytest.raises(VideoError):
        transcode(path, tmp_path / "b.mp4")


def test_a_stream_that_turns_up_on_the_way(tmp_path):
    """As in a broadcast that was cut from two programmes, or where damage looks like one."""
    path = write_numbered(tmp_path / "a.ts", LENGTH, codec="mpeg2video")
    programme = {"mpegts_service_id": "7", "mpegts_pmt_start_pid": "0x500", "mpegts_start_pid": "0x300"}
    other = write_numbered(tmp_path / "b.ts", LENGTH, container_options=programme)
    path.write_bytes(path.read_bytes() + other.read_bytes())
    found = inspect(path, "decode")
    assert (found["status"], found["num_frames"]) == ("ok", LENGTH)
    assert transcode(path, tmp_path / "c.mp4")["num_frames"] == LENGTH
    assert len(read_frames(path, [0, LENGTH - 1])) == 2


def test_an_empty_cluster_is_not_where_a_file_ends(tmp_path):
    cluster, void = bytes.fromhex("1f43b67580"), bytes.fromhex("ec8100")
    path = tmp_path / "a.webm"
    path.write_bytes(bytes.fromhex("1a45dfa380 18538067 88") + cluster + void)
    assert matroska.broken_at(path) is None


@pytest.mark.parametrize("live", ["0", "1"])
def test_a_broken_structure(tmp_path, live):
    """VP8 decodes anything, and the demuxer looks for the next block that it knows: the gaps tell."""
    how = {"codec": "libvpx", "size": (160, 128), "container_options": {"live": live}}
    path = write_numbered(tmp_path / "a.webm", LENGTH, **how)
    assert matroska.broken_at(path) is None
    assert inspect(path, "decode")["status"] == "ok"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])  # which is another thing
    assert matroska.broken_at(path) is None
    path.write_bytes(whole)
    overwrite(path, 0.5, 4000)
    found = inspect(path, "decode")
    assert found["status"] == "corrupt"
    assert len(whole) * 0.4 < matroska.broken_at(path) < len(whole) * 0.9
