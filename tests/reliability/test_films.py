"""A film of an hour: windows that overlap, each frame decoded once, in the memory that a short one takes."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import av
import pyarrow.parquet as pq
import pytest

from rspnet.clipspec import ClipSpec
from rspnet.data.films import FilmDataset
from rspnet.data.index import new_row, to_dataset
from rspnet.data.lanes import Lanes
from rspnet.data.loader import Loader
from rspnet.data.windows import Length, Windows
from rspnet.video.reader import inspect
from tests.support.numbered import write_numbered
from tests.support.pages import REPO

pytestmark = pytest.mark.slow

_COUNTED = """
import json, resource, sys
from rspnet.cli.config import parse
from rspnet.video import feed
from stages import extract

decoded, real = [0], feed._decode_run

def counted(*args, **kwargs):
    for frame in real(*args, **kwargs):
        decoded[0] += 1
        yield frame

feed._decode_run = counted
extract.main(parse(extract.Config, sys.argv[1:]))
print(json.dumps({"decoded": decoded[0], "kilobytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))
"""


def write_film(path: Path, scene: Path, minutes: int) -> Path:
    """The packets of a scene of ten seconds over and over."""
    with av.open(str(scene)) as source, av.open(str(path), "w") as film:
        stream = film.add_stream_from_template(source.streams.video[0])
        base = source.streams.video[0].time_base
        packets = [packet for packet in source.demux(video=0) if packet.pts is not None]
        kept = [(packet.pts, packet.dts, packet.is_keyframe, bytes(packet)) for packet in packets]
        for times in range(6 * minutes):
            for pts, dts, is_keyframe, content in kept:
                packet = av.Packet(content)
                packet.stream, packet.time_base, packet.is_keyframe = stream, base, is_keyframe
                packet.pts, packet.dts = (when + times * int(10 / base) for when in (pts, dts))
                film.mux(packet)
    return path


def test_an_hour_is_extracted_in_the_memory_of_minutes(tmp_path):
    scene = write_numbered(tmp_path / "scene.mp4", 250, size=(64, 64), gop=50, options={"bf": "2"})
    network = ["--weights", "none", "--encoder.width", "8", "--clips.num_frames", "8", "--clips.size", "32"]
    windows = ["--window", "8f", "--step", "4f", "--clips.views", "1", "--data.num_workers", "0"]
    measured = {}
    for minutes in (4, 60):
        film = write_film(tmp_path / f"{minutes}.mp4", scene, minutes)
        assert inspect(film, "decode")["num_frames"] == 1500 * minutes
        out = tmp_path / f"{minutes}.parquet"
        done = subprocess.run(
            [sys.executable, "-c", _COUNTED, str(film), "--out", str(out), *network, *windows],
            cwd=REPO,
            capture_output=True,
            text=True,
            timeout=1200,
        )
        assert done.returncode == 0, done.stderr
        measured[minutes] = json.loads(done.stdout.splitlines()[-1])
        starts = pq.read_table(out, columns=["start", "status"]).to_pydict()
        assert set(starts["status"]) == {"ok"}
        assert len(starts["start"]) == 375 * minutes - 1
        # Nobody has verified it: the first frame also told the size of the picture.
        assert 1500 * minutes <= measured[minutes]["decoded"] <= 1500 * minutes + 60
        if minutes == 4:  # several processes share it, and make the same of it
            shared = [*network, *windows[:-1], "3"]
            together = tmp_path / "together.parquet"
            command = [sys.executable, "stages/extract.py", str(film), "--out", str(together), *shared]
            assert subprocess.run(command, cwd=REPO, capture_output=True, timeout=1200).returncode == 0
            assert together.read_bytes() == out.read_bytes()
    # What grows is what is known of each frame (where it lies, when it is shown), and the rows of the table.
    assert measured[60]["kilobytes"] - measured[4]["kilobytes"] < 90_000


def _read(index, row, num_workers, clips):
    """A hash of each window of a video up to the first that cannot be read, and which that is."""
    lanes, found, failures = Lanes([row], parts=100), {}, {}
    lanes.turns(num_workers)
    windows = Windows(ClipSpec(8, 32, (0, 0, 0), (1, 1, 1)), Length(8, False), Length(2, False))
    for part in Loader(FilmDataset(index, windows, clips=clips), lanes, num_workers):
        number = len(part["spans"])
        for place in range(number):
            clip = part["clips"][0].unflatten(0, (number, -1))[place]
            found[part["first"] + place] = hashlib.sha256(clip.numpy().tobytes()).hexdigest()
        if part["status"] != "ok":
            failures[part["first"] + number] = part["status"]
    reached = next(number for number in range(len(found) + 1) if number not in found)
    return [found[number] for number in range(reached)], failures.get(reached)


def test_odd_and_damaged_files_are_shared_as_they_are_read_by_one(shared, tmp_path):
    root = shared / "data" / "samples"
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and path.suffix not in (".tsv", ".md", ".txt")]
    index = to_dataset([new_row(os.path.relpath(path, root), str(root)) for path in files], tmp_path)
    readable = 0
    for row, path in enumerate(files):
        alone = _read(index, row, 0, 1000)
        readable += len(alone[0])
        assert _read(index, row, 3, 4) == alone, path
    assert readable > 500
