"""What `inspect` says of good and bad files."""

import csv
import os

import av
import numpy as np
import pytest

from rspnet.data.sampling import resample
from rspnet.errors import ConfigError
from rspnet.video.reader import Video, inspect
from tests.support.numbered import write_numbered
from tests.support.samples import BAD_SAMPLES

LENGTH = 40
FACTS = {"num_frames": LENGTH, "fps": 25.0, "width": 80, "height": 64, "duration": 1.6, "codec": "h264"}


def test_samples(shared):
    folder = shared / "data" / "samples"
    with open(folder / "samples.tsv") as table:
        for row in csv.DictReader(table, delimiter="\t"):
            found = inspect(folder / row["file"], depth="decode")
            assert found["status"] == BAD_SAMPLES.get(row["file"], "ok"), (row["file"], found)
            assert (found["reason"] is None) == (found["status"] == "ok")
            assert str(found["num_frames"] or "-") == row["frames_decoded"], row["file"]
            assert found["bytes"] == int(row["bytes"])
            assert (found["plan"] is None) == (found["status"] != "ok")
            if found["num_frames"]:
                width, height = (int(side) for side in row["size_px"].split("x"))
                turned = row["rotation"] in ("90", "-90")
                assert (found["width"], found["height"]) == ((height, width) if turned else (width, height))
                assert found["codec"] == row["codec"]
            probed = inspect(folder / row["file"], depth="probe")
            if found["status"] == "ok":  # what a header alone is taken to say must be true
                unknown = dict.fromkeys(("num_frames", "plan", "fps", "duration"))
                assert probed | unknown == found | unknown
                assert probed["num_frames"] in (None, found["num_frames"])
                for key in ("fps", "duration"):
                    assert probed[key] is None or probed[key] == pytest.approx(found[key], rel=0.035), row["file"]
                assert found["duration"] == pytest.approx(found["num_frames"] / found["fps"], rel=0.2)


@pytest.mark.parametrize("depth", ["probe", "decode"])
def test_a_good_file(tmp_path, depth):
    path = write_numbered(tmp_path / "a.mp4", LENGTH)
    found = inspect(str(path), depth)
    plan, content = found.pop("plan"), found.pop("content")
    assert len(content) == 32
    assert found == FACTS | {"status": "ok", "reason": None, "bytes": path.stat().st_size}
    assert (plan is None) == (depth == "probe")


def test_facts_are_those_of_what_is_shown(tmp_path):
    path = write_numbered(tmp_path / "a.mp4", LENGTH, rotation=90, times=[index - 7 for index in range(LENGTH)])
    for depth in ("probe", "decode"):
        found = inspect(path, depth)
        assert (found["num_frames"], found["height"], found["width"]) == (LENGTH - 7, 80, 64)


def test_fields_are_no_frames(shared):
    """Two packets to a frame: what the header says of the rate is that of the packets."""
    path = shared / "cases" / "media" / "HCAFF1_mkvmerge.mkv"
    assert inspect(path)["fps"] is None
    found = inspect(path, "decode")
    assert (found["num_frames"], found["fps"], found["duration"]) == (10, 25, 0.4)


def test_a_browsers_recording(tmp_path):
    """No rate in the header but the clock's tick, times that jump about: counted by the frames' own times."""
    times = np.cumsum(np.random.default_rng(0).choice([16, 17, 33, 34, 50, 100, 1], size=300)).tolist()
    path = write_numbered(tmp_path / "a.webm", 300, codec="libvpx", rate=1000, times=times)
    assert inspect(path)["fps"] is None
    found = inspect(path, "decode")
    assert found["duration"] == pytest.approx((times[-1] - times[0]) / 1000, abs=0.11)
    assert found["fps"] == pytest.approx(300 / found["duration"])
    with Video(path, plan=found["plan"]) as video:
        kept = resample(video.num_frames, video.fps, 25, moments=video.moments)
    assert len(kept) == int(found["duration"] * 25)
    shown = [times[frame] - times[0] for frame in kept]
    assert all(0 <= 40 * tick - time <= 101 for tick, time in enumerate(shown))


def test_avi_headers_count_empty_packets(tmp_path):
    """A gap in an avi is filled with empty packets, which the header counts and nothing shows."""
    times = [index if index < 20 else index + 10 for index in range(LENGTH)]
    path = write_numbered(tmp_path / "a.avi", LENGTH, codec="mpeg4", times=times)
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == LENGTH + 10
    assert inspect(path, "decode")["status"] == "ok"
    assert inspect(path, "decode")["num_frames"] == LENGTH
    assert inspect(path, "probe")["num_frames"] is None


CONTAINERS = {
    "front.mp4": {"container_options": {"movflags": "faststart"}},
    "fragmented.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "a.mkv": {},
    "a.webm": {"codec": "libvpx"},
    "a.avi": {"codec": "mpeg4", "size": (320, 256)},
}


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_cut_files_are_truncated(tmp_path, name, share):
    path = write_numbered(tmp_path / name, LENGTH, **CONTAINERS[name])
    assert inspect(path, "probe")["status"] == inspect(path, "decode")["status"] == "ok"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    found = inspect(path, "decode")
    assert found["status"] == "truncated"
    assert 0 < found["num_frames"] < LENGTH
    assert f"{found['num_frames']} " in found["reason"]
    assert inspect(path, "probe")["status"] == "truncated"


def test_a_cut_before_the_index_is_broken(tmp_path):
    path = write_numbered(tmp_path / "a.mp4", LENGTH)  # the table at the end is lost
    path.write_bytes(path.read_bytes()[:-2000])
    for depth in ("probe", "decode"):
        found = inspect(path, depth)
        assert found["status"] == "broken"
        assert found["reason"].startswith("cannot be opened as a video (")
        assert found["num_frames"] is None


def test_bytes_after_the_end_do_not_matter(tmp_path):
    path = write_numbered(tmp_path / "a.mp4", LENGTH)
    path.write_bytes(path.read_bytes() + bytes(1000))
    assert inspect(path, "decode")["status"] == "ok"


def test_damage_is_found_by_decoding(tmp_path):
    path = write_numbered(tmp_path / "a.mp4", LENGTH, size=(160, 128))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = np.random.default_rng(0).bytes(2000)
    path.write_bytes(content)
    found = inspect(path, "decode")
    assert found["status"] == "corrupt"
    assert "packets do not decode" in found["reason"]
    assert inspect(path, "probe")["status"] == "ok"


def test_short(tmp_path):
    path = write_numbered(tmp_path / "a.mp4", 15)
    for depth in ("probe", "decode"):
        assert inspect(path, depth, min_frames=15)["status"] == "ok"
        found = inspect(path, depth, min_frames=16)
        assert (found["status"], found["reason"]) == ("short", "15 frames, fewer than 16")
    path = write_numbered(tmp_path / "one.mp4", 1)
    assert inspect(path, "decode", min_frames=16)["reason"] == "1 frame, fewer than 16"


def test_no_video(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 16000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    for depth in ("probe", "decode"):
        assert inspect(path, depth)["reason"] == "no video stream"
        assert inspect(path, depth)["status"] == "no_video"


def test_a_cover_picture_is_no_video(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuvj420p"
        stream.disposition = av.stream.Disposition.attached_pic
        output.mux(stream.encode(av.VideoFrame(32, 32, "yuvj420p")))
        output.mux(stream.encode(None))
    assert inspect(path)["reason"] == "only a cover picture"
    assert inspect(path)["status"] == "no_video"


def test_things_that_are_no_files(tmp_path):
    assert inspect(tmp_path / "none.mp4")["reason"] == "cannot be read (No such file or directory)"
    assert inspect(tmp_path)["status"] == "broken"
    os.mkfifo(tmp_path / "pipe.mp4")
    assert inspect(tmp_path / "pipe.mp4")["reason"] == "not a regular file"
    (tmp_path / "empty.mp4").touch()
    assert inspect(tmp_path / "empty.mp4")["status"] == "empty"


def test_the_time_limit(tmp_path):
    path = write_numbered(tmp_path / "a.mp4", LENGTH)
    assert inspect(path, "decode", time_limit=1e-9)["status"] == "timeout"


def test_an_unknown_depth(tmp_path):
    with pytest.raises(ConfigError, match="depth: 'deep'"):
        inspect(tmp_path / "a.mp4", "deep")
