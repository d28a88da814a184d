"""Parameter sets and messages of H.264 and HEVC: what makes a start unsure."""

import av
import pytest

from rspnet.video.h26x import H264, Hevc, _recovers
from tests.support.numbered import write_numbered

CODECS = {
    "h264": (H264, {"options": {"bf": "0"}}),
    "hevc": (Hevc, {"codec": "libx265", "options": {"x265-params": "keyint=12:bframes=0:log-level=none"}}),
}


def parts(path):
    """The header for all packets and the packets."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return stream.codec_context.extradata, [bytes(packet) for packet in container.demux(stream) if packet.size]


@pytest.mark.parametrize("codec", CODECS)
def test_settings_that_change(tmp_path, codec):
    kind, how = CODECS[codec]
    config, packets = parts(write_numbered(tmp_path / "a.mp4", 30, **how))
    other, _ = parts(write_numbered(tmp_path / "b.mp4", 3, size=(96, 96), **how))

    def in_band(config):
        """The parameter sets of a header as units behind their lengths."""
        return b"".join(len(unit).to_bytes(4) + unit for unit in kind(b"")._configured(config))

    def changes(*found, config=config):
        headers = kind(config)
        return [headers.note(packet) for packet in found], headers.changes

    assert changes(*packets[:13]) == ([True, *[False] * 11, True], False)
    assert changes(packets[0], in_band(config) + packets[12]) == ([True, True], False)  # said again
    assert changes(packets[0], in_band(other) + packets[12])[1]
    # Without a header for all, as in streams from broadcasts, the first packet says it.
    bare = [b"".join(b"\x00\x00\x00\x01" + bytes(unit) for unit in kind(config).units(data)) for data in packets]
    sets = b"".join(b"\x00\x00\x00\x01" + unit for unit in kind(b"")._configured(config))
    assert changes(sets + bare[0], bare[1], sets + bare[12], config=b"") == ([True, False, True], False)
    assert changes(sets + bare[0], bare[12], config=b"") == ([True, False], False)


def test_recovery_points():
    """ITU-T H.264, D.1.8: only one that is exact at once is a start."""
    before = b"\x05\x02ab"  # another message
    assert _recovers(b"\x06\x01\xc0\x80")
    assert _recovers(before + b"\x06\x01\xd0\x80")
    assert not _recovers(b"\x06\x01\x80\x80")  # not exact
    assert not _recovers(b"\x06\x01\xe0\x80")  # a link is broken
    assert not _recovers(b"\x06\x02\x28\x80")  # after four frames
    assert not _recovers(before + b"\x80")
    assert _recovers(b"\xff\x01\xff\x02" + bytes(257) + b"\x06\x01\xc0\x80")


def test_old_writers(tmp_path):
    """x264 before version 151 wrote 4:4:4 in its own way, which only the first packet tells."""
    for pix_fmt, sure in (("yuv444p", False), ("yuv420p", True)):
        path = write_numbered(tmp_path / "a.mp4", 30, pix_fmt=pix_fmt, options={"bf": "0"})
        config, packets = parts(path)
        assert b"x264 - core 1" in packets[0]
        place = packets[0].index(b"x264 - core ") + 12
        old = packets[0][:place] + b"142" + packets[0][place + 3 :]
        assert [H264(config).note(packets[0]), H264(config).note(old)] == [True, sure]


def test_a_missing_reference_makes_the_order_unclear(tmp_path):
    config, packets = parts(write_numbered(tmp_path / "a.mp4", 30, options={"bf": "0"}))
    for left_out in ([], [5, 6]):
        headers = H264(config)
        kept = [packet for place, packet in enumerate(packets) if place not in left_out]
        for packet in kept:
            headers.note(packet)
        assert headers.shown(4) == (None if left_out else list(range(30)))
