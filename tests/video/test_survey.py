"""Plans from packets alone: made where headers and times tell the same, and nowhere else."""

from fractions import Fraction

import av
import numpy as np
import pytest

from rspnet.video.reader import Video, inspect, read_frames
from tests.support.numbered import number, write_numbered

LENGTH = 40
B_FRAMES = {"bf": "3", "b_strategy": "0"}


def remux(source, path, times, left_out=()):
    """The packets of a file with other times, given by their number; some left out."""
    with av.open(str(source)) as container, av.open(str(path), "w") as output:
        stream = container.streams.video[0]
        target = output.add_stream_from_template(stream)
        packets = [packet for packet in container.demux(stream) if packet.size]
        unit = Fraction(1, 25)
        shown = sorted(range(len(packets)), key=lambda place: packets[place].pts)
        places = {place: rank for rank, place in enumerate(shown)}
        for place, packet in enumerate(packets):
            if place not in left_out:
                packet.stream, packet.time_base = target, unit
                packet.pts, packet.dts = times(place, places[place]), place - 3
                output.mux(packet)
    return path


WRONG = {
    "no composition times": lambda place, shown: place,
    "two at a time": lambda place, shown: shown // 2 * 2,
    "out of order": lambda place, shown: shown ^ 1,
}


@pytest.mark.parametrize("name", ["b.mp4", "b.mkv"])
@pytest.mark.parametrize("wrong", [*WRONG, None])
def test_times_that_do_not_tell(tmp_path, name, wrong):
    source = write_numbered(tmp_path / "a.mp4", LENGTH, options=B_FRAMES)
    path = remux(source, tmp_path / name, WRONG.get(wrong, lambda place, shown: shown))
    for promised in (None, LENGTH):
        with Video(path, promised) as video:
            for index in (1, 2, 3, 17, 38):
                assert number(video.read([index])[0]) == index
            assert wrong or video._plan.can_jump
            assert not (wrong and promised and video._plan)  # it is read from the start each time
    with Video(path) as video:
        assert video.num_frames == LENGTH
        assert [number(frame) for frame in video.read(range(LENGTH))] == list(range(LENGTH))
    assert inspect(path)["num_frames"] == (None if wrong else LENGTH)
    plan = inspect(path, "decode")["plan"]
    for index in (1, 2, 3, 17, 38):
        with Video(path, plan=plan) as video:
            assert number(video.read([index])[0]) == index


def test_packets_that_give_no_frame(tmp_path):
    """A picture whose reference is gone: the decoder may leave it out, so nobody counts it before."""
    source = write_numbered(tmp_path / "a.mp4", LENGTH, options={"bf": "0"})
    path = remux(source, tmp_path / "b.mp4", lambda place, shown: shown, left_out=(5, 6, 7))
    assert inspect(path)["num_frames"] is None
    with av.open(str(path)) as container:
        expected = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    assert np.array_equal(read_frames(path, range(len(expected))), expected)


def test_probing_counts_what_leaves_no_doubt(tmp_path):
    """By the packets; where they do not tell, a header that promises too few is enough for `short`."""
    for name, how in {"a.mkv": {}, "b.mp4": {"options": B_FRAMES}, "c.webm": {"codec": "libvpx"}}.items():
        assert inspect(write_numbered(tmp_path / name, 20, **how))["num_frames"] == 20
    path = write_numbered(tmp_path / "d.avi", 20, codec="mpeg4")
    assert inspect(path)["num_frames"] is None
    found = inspect(path, min_frames=21)
    assert (found["status"], found["reason"]) == ("short", "about 20 frames, fewer than 21")
