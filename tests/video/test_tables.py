"""Tables that declare more than a file can hold are found before anything makes room for it."""

import struct

import pytest

from rspnet.video.limits import MAX_SAMPLES
from rspnet.video.reader import inspect
from rspnet.video.tables import overdrawn
from tests.support.numbered import write_numbered

LENGTH = 12


def box(kind, *parts):
    content = b"".join(parts)
    return struct.pack(">I4s", 8 + len(content), kind) + content


def fragment(count, flags=0, start=0):
    """A piece of an mp4 whose packets are all of one byte."""
    head = box(b"tfhd", struct.pack(">IIIII", 0x020038, 1, 512, 1, 0x1010000))
    time = box(b"tfdt", struct.pack(">IQ", 0x1000000, start))
    run = box(b"trun", struct.pack(">IIi", flags | 1, count, 200))
    return box(b"moof", box(b"mfhd", struct.pack(">II", 0, 1)), box(b"traf", head, time, run)) + box(b"mdat", bytes(99))


def test_fragments_without_sizes(tmp_path):
    how = {"container_options": {"movflags": "frag_keyframe+empty_moov"}}
    path = write_numbered(tmp_path / "a.mp4", LENGTH, **how)
    whole = path.read_bytes()
    assert overdrawn(path) is None
    path.write_bytes(whole + fragment(60_000))
    assert overdrawn(path) is None  # no more than a few megabytes
    path.write_bytes(whole + b"".join(fragment(60_000, start=number * 10**8) for number in range(2)))
    assert "declare 120000 packets" in overdrawn(path)
    assert overdrawn(path, fragments=False) is None
    found = inspect(path, "decode")
    assert (found["status"], found["num_frames"]) == ("broken", None)
    assert "declare 120000 packets" in found["reason"]


def test_packets_of_one_size(tmp_path):
    path = write_numbered(tmp_path / "a.mp4", LENGTH, options={"bf": "0"})
    content = bytearray(path.read_bytes())
    struct.pack_into(">II", content, content.index(b"stsz") + 8, 1, 50_000_000)
    path.write_bytes(content)
    assert "declare 50000000 packets" in overdrawn(path)
    content[content.index(b"hdlr") + 12 : content.index(b"hdlr") + 16] = b"soun"
    struct.pack_into(">III", content, content.index(b"stts") + 8, 1, 50_000_000, 1)
    path.write_bytes(content)
    assert overdrawn(path) is None  # sound, of which libavformat takes a chunk at a time


@pytest.mark.parametrize("kind", [b"stts", b"ctts"])
@pytest.mark.parametrize("lines", [100_000, 2**28, 2**32 - 1])
def test_times_that_are_not_in_the_file(tmp_path, kind, lines):
    """libavformat would say that there is no memory."""
    path = write_numbered(tmp_path / "a.mp4", LENGTH, options={"bf": "3"})
    content = bytearray(path.read_bytes())
    struct.pack_into(">I", content, content.index(kind) + 8, lines)
    path.write_bytes(content)
    found = inspect(path, "decode")
    assert (found["status"], found["num_frames"]) == ("broken", None)
    assert f"a table of its times declares {lines} entries in {len(content)} bytes" in found["reason"]


def test_edits_that_show_a_video_again_and_again(tmp_path):
    path = write_numbered(tmp_path / "a.mp4", LENGTH, options={"bf": "3"})
    content = bytearray(path.read_bytes())
    struct.pack_into(">I", content, content.index(b"elst") + 8, 100_000)
    path.write_bytes(content)
    assert "edits show 1200000 packets" in overdrawn(path)


def test_a_packed_header(tmp_path):
    path = tmp_path / "a.mov"
    path.write_bytes(box(b"moov", box(b"cmov", box(b"dcom", b"zlib"), box(b"cmvd", struct.pack(">I", 2**30), b"x"))))
    assert "would expand to 1073741824 bytes" in overdrawn(path)


def test_an_index_of_one_index_again_and_again(tmp_path):
    """OpenDML: 16 bytes name a place, 8 bytes there a packet."""
    entries = 4000
    index = struct.pack("<4sIHBBI4sQI", b"ix00", 24 + 8 * entries, 2, 0, 1, entries, b"00dc", 0, 0) + bytes(8 * entries)
    lines = 3000
    place = 12 + 8 + 4 + 8 + 24 + 16 * lines
    table = struct.pack("<HBBI4sQI", 4, 0, 0, lines, b"00dc", 0, 0)
    table += struct.pack("<QII", place, len(index), entries) * lines
    header = b"hdrl" + b"indx" + struct.pack("<I", len(table)) + table
    content = b"LIST" + struct.pack("<I", len(header)) + header + index
    path = tmp_path / "a.avi"
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(content)) + b"AVI " + content)
    assert overdrawn(path)
    declared = int(overdrawn(path).split()[3])
    assert entries < declared <= MAX_SAMPLES + entries


@pytest.mark.parametrize("content", [b"", b"RIFF", bytes(100), b"\0\0\0\1moov" + bytes(100), b"\0\0\0\0moovmoov" * 9])
def test_what_is_neither(tmp_path, content):
    (tmp_path / "a.mp4").write_bytes(content)
    assert overdrawn(tmp_path / "a.mp4") is None


def test_real_files(shared):
    for path in (shared / "data" / "samples").rglob("*.*"):
        assert overdrawn(path) is None
