"""The transcode stage: a data set of the same layout comes out, whatever is wrong with single files."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from rspnet.data import index, layouts
from rspnet.errors import ConfigError, DiskError
from rspnet.running.ledger import Ledger
from rspnet.temporary import temporary
from rspnet.video.reader import inspect, transcode
from stages.transcode import Config, main
from tests.support import REPO
from tests.support.web import Server


@pytest.fixture
def few(videos, tmp_path):
    """A data set in UCF101's layout with 8 videos of two classes."""
    for name in ("FastRise", "SlowCircle"):
        shutil.copytree(videos / "UCF-101" / name, tmp_path / "few" / "UCF-101" / name)
    lists = tmp_path / "few" / "ucfTrainTestlist"
    lists.mkdir()
    for file in (videos / "ucfTrainTestlist").iterdir():
        lines = [line for line in file.read_text().splitlines() if "FastRise" in line or "SlowCircle" in line]
        (lists / file.name).write_text("\n".join(lines) + "\n")
    return tmp_path / "few"


def run(source, dst, **options):
    """The stage's summary and the rows it wrote."""
    out = Path(dst).parent / "out.jsonl"
    summary = main(Config(str(source), str(dst), jobs=2, out=str(out), **options))
    return summary, list(index.read_rows(out))


def counts(summary):
    return [summary[f"num_{what}"] for what in ("videos", "made", "kept", "skipped", "bad", "lost")]


def test_a_data_set_becomes_one_of_the_same_layout(few, tmp_path):
    summary, rows = run(few, tmp_path / "new", short_side=48, gop=8)
    assert counts(summary) == [8, 8, 0, 0, 0, 0]
    assert summary["exit_status"] == 0
    before, after = list(layouts.scan(few)), list(layouts.scan(tmp_path / "new"))
    assert layouts.detect(tmp_path / "new") == "ucf101"
    for old, new, row in zip(before, after, rows, strict=True):
        assert [old[key] for key in ("video", "label", "folds")] == [new[key] for key in ("video", "label", "folds")]
        facts = inspect(tmp_path / "new" / row["video"], "decode")
        assert {key: row[key] for key in facts} == facts
        assert (row["num_frames"], min(row["height"], row["width"])) == (48, 48)
        assert (row["root"], row["source"]) == (str(tmp_path / "new"), str(few / old["video"]))
        assert row["recipe"] == {"codec": "h264", "short_side": 48, "gop": 8, "crf": 20.0, "x264_preset": "medium"}
    lists = [file.name for file in (few / "ucfTrainTestlist").iterdir()]
    assert sorted(lists) == sorted(file.name for file in (tmp_path / "new" / "ucfTrainTestlist").iterdir())


def test_copies_of_a_server_s_videos(few, tmp_path, monkeypatch):
    """What lies elsewhere becomes a data set of the same layout here; the second time nothing is made."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    with Server(few) as server:
        summary, rows = run(server.url, tmp_path / "new", short_side=32)
        assert counts(summary) == [8, 8, 0, 0, 0, 0]
        assert rows[0]["source"].startswith(f"{server.url}/UCF-101/")
        assert counts(run(server.url, tmp_path / "new", short_side=32)[0]) == [8, 0, 8, 0, 0, 0]
    before, after = list(layouts.scan(few)), list(layouts.scan(tmp_path / "new"))
    assert [row["folds"] for row in before] == [row["folds"] for row in after]


def test_files_that_grow_are_said_with_why(few, tmp_path, capsys):
    for crf, grows in ((1.0, True), (50.0, False)):
        summary, _ = run(few, tmp_path / f"new{crf}", crf=crf)
        said = capsys.readouterr().err
        assert (summary["bytes"]["new"] > summary["bytes"]["source"]) == grows
        assert (summary["num_larger"] == 8) == grows
        assert ("8 files grew: the sources are small already" in said) == grows
        assert ("higher --crf (published: 23) or --gop" in said) == grows


def test_a_copy_that_was_damaged_is_made_again(few, tmp_path):
    _, rows = run(few, tmp_path / "new", short_side=48)
    copy = tmp_path / "new" / rows[0]["video"]
    whole = copy.read_bytes()
    copy.write_bytes(whole[: len(whole) * 3 // 4])
    summary, again = run(few, tmp_path / "new", short_side=48)
    assert counts(summary) == [8, 1, 7, 0, 0, 0]
    assert copy.read_bytes() == whole
    assert again == rows


def test_a_second_run_does_only_what_is_not_done(few, tmp_path):
    _, rows = run(few, tmp_path / "new", short_side=48)
    files = sorted((tmp_path / "new").rglob("*.mp4"))
    times = [file.stat().st_mtime_ns for file in files]
    files[0].unlink()
    source = few / rows[1]["video"]
    transcode(source, source, crf=40)  # another source under the same name
    summary, again = run(few, tmp_path / "new", short_side=48)
    assert counts(summary) == [8, 2, 6, 0, 0, 0]
    assert [file.stat().st_mtime_ns != time for file, time in zip(files, times)] == [True, True] + [False] * 6
    assert again[2:] == rows[2:]
    for options in ({"short_side": 32}, {"preset": "fast", "short_side": 32}):  # other recipes
        summary, _ = run(few, tmp_path / "new", **options)
        assert counts(summary) == [8, 8, 0, 0, 0, 0]


def test_bad_rows_and_files_are_passed_on(few, tmp_path):
    rows = list(layouts.scan(few))
    for row in rows:
        row["status"] = "ok"
    rows[0].update(status="corrupt", reason="said before")
    rows[1]["status"] = None
    for number in (1, 2):
        path = few / rows[number]["video"]
        path.write_bytes(path.read_bytes()[:-1000])
    (few / rows[3]["video"]).unlink()
    rows.append(rows[4] | {"video": rows[4]["video"].replace(".mp4", ".avi")})  # the same name in the end
    rows.append(rows[4] | {"video": "../x.mp4"})
    index.write_rows(rows, tmp_path / "in.jsonl")
    summary, found = run(tmp_path / "in.jsonl", tmp_path / "new")
    assert [row["status"] for row in found] == [
        "corrupt",
        "truncated",
        "truncated",
        "missing",
        *["ok"] * 4,
        "failed",
        "bad_name",
    ]
    assert found[0] == rows[0]
    assert found[1]["root"] == str(few)
    assert "becomes" in found[8]["reason"]
    assert "out of its root" in found[9]["reason"]
    assert counts(summary) == [10, 4, 0, 2, 1, 3]
    assert summary["exit_status"] == 1
    assert len(list((tmp_path / "new").rglob("*.mp4"))) == 4
    assert not list(tmp_path.rglob(".*"))


def test_bad_files_that_nobody_had_looked_at_are_no_failure(few, tmp_path):
    next(few.rglob("*.mp4")).write_bytes(b"")
    summary, rows = run(few, tmp_path / "new")
    assert counts(summary) == [8, 7, 0, 0, 1, 0]
    assert Counter(row["status"] for row in rows) == {"ok": 7, "empty": 1}
    assert summary["exit_status"] == 0


def test_other_peoples_files_are_left_alone(few, tmp_path):
    row = next(layouts.scan(few))
    path = tmp_path / "new" / row["video"]
    path.parent.mkdir(parents=True)
    shutil.copy(few / row["video"], path)
    content = path.read_bytes()
    summary, rows = run(few, tmp_path / "new")
    assert path.read_bytes() == content
    assert rows[0]["status"] == "failed"
    assert "was not made by this stage" in rows[0]["reason"]
    assert summary["exit_status"] == 1


def test_a_file_that_takes_too_long_is_given_up(few, tmp_path):
    summary, rows = run(few, tmp_path / "new", time_limit=0.001)
    assert {row["status"] for row in rows} <= {"timeout", "ok"}
    assert Counter(row["status"] for row in rows)["timeout"] > 0
    assert not list(tmp_path.rglob(".*"))
    assert summary["num_bad"] == Counter(row["status"] for row in rows)["timeout"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"short_side": 255}, "--short_side 255"),
        ({"short_side": 0}, "--short_side 0"),
        ({"gop": 0}, "--gop 0"),
        ({"crf": 60.0}, "--crf 60"),
        ({"out": "x.csv"}, "csv"),
    ],
)
def test_wrong_options(few, tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        main(Config(str(few), str(tmp_path / "new"), **options))


@pytest.mark.parametrize("dst", [".", "UCF-101/new", ".."])
def test_sources_and_copies_do_not_mix(few, dst):
    with pytest.raises(ConfigError, match="give a folder beside it"):
        main(Config(str(few), str(few / dst)))
    assert not (few / "UCF-101" / "new").exists()


def test_a_folder_that_cannot_be_made(few, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file: cannot be made .*give another folder"):
        main(Config(str(few), str(tmp_path / "file")))


def test_odd_names(tmp_path, videos):
    source = next(videos.rglob("*.mp4"))
    (tmp_path / "old" / "a b").mkdir(parents=True)
    shutil.copy(source, tmp_path / "old" / "a b" / "ünï 'x'.v2.MOV")
    _, rows = run(tmp_path / "old", tmp_path / "new")
    assert rows[0]["video"] == "a b/ünï 'x'.v2.mp4"
    assert (tmp_path / "new" / "a b" / "ünï 'x'.v2.mp4").exists()


def command(stage, *arguments):
    return [sys.executable, str(REPO / "stages" / f"{stage}.py"), *map(str, arguments)]


def test_in_a_pipeline(few, tmp_path):
    (few / "UCF-101" / "FastRise" / "zero.mp4").touch()
    verify, new = command("verify", few, "--depth", "decode"), tmp_path / "new"
    scan = subprocess.Popen(verify, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with scan:
        done = subprocess.run(command("transcode", "-", new), stdin=scan.stdout, capture_output=True, text=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert Counter(row["status"] for row in rows) == {"ok": 8, "empty": 1}
    assert [row["video"] for row in rows] == sorted(row["video"] for row in rows)
    assert f"{new}: 8 videos made, 0 existed already" in done.stderr
    assert "of 9 videos, 1 not ok from the start" in done.stderr


def test_interrupted_and_started_again(few, tmp_path):
    arguments = command("transcode", few, tmp_path / "new", "--jobs", 1, "--out", tmp_path / "out.parquet")
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    with process:
        end = time.monotonic() + 30
        while not list((tmp_path / "new").rglob("*.mp4")) and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 130, errors
    kept = f"what is done so far is kept in {tmp_path / 'new'}; the same command goes on from there"
    assert errors.splitlines()[-1] == f"transcode.py: interrupted; {kept}"
    assert not (tmp_path / "out.parquet").exists()
    assert not list((tmp_path / "new").rglob(".*"))  # the worker that was killed left nothing
    rest = temporary(next((tmp_path / "new").rglob("*.mp4")).with_name("x.mp4"))
    rest.touch()  # as it is left where nobody could clear up
    made = len(list((tmp_path / "new").rglob("*.mp4")))
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert f"{8 - made} videos made, {made} existed already" in done.stderr
    assert len(list(index.read_rows(tmp_path / "out.parquet"))) == 8
    assert not list((tmp_path / "new").rglob(".*"))


def test_a_second_process_is_refused(few, tmp_path):
    (tmp_path / "new").mkdir()
    with Ledger(str(tmp_path / "new"), "-"), pytest.raises(ConfigError, match="another process is writing to this"):
        run(few, tmp_path / "new")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["copies.jsonl"]
    assert counts(run(few, tmp_path / "new")[0]) == [8, 8, 0, 0, 0, 0]


def test_a_full_disk_ends_it_and_leaves_what_is_whole(few, tmp_path, no_file_larger_than):
    dst = tmp_path / "small"
    with no_file_larger_than(1000), pytest.raises(DiskError, match=r"\.mp4: cannot be written: its disk"):
        run(few, dst, short_side=32)
    assert not list(dst.rglob("*.mp4"))
    assert not list(dst.rglob(".*"))
    assert counts(run(few, dst, short_side=32)[0]) == [8, 8, 0, 0, 0, 0]


def test_an_estimate_tries_some_and_keeps_nothing(few, tmp_path, capsys):
    (few / "UCF-101/FastRise/broken.mp4").write_bytes(b"not a video")
    settings = {"short_side": 48, "gop": 8, "out": str(tmp_path / "out.jsonl")}
    result = main(Config(str(few), str(tmp_path / "new"), jobs=2, estimate=True, **settings))
    out, told = capsys.readouterr()
    assert json.loads(out) == result
    assert [path.name for path in tmp_path.iterdir()] == ["few"]
    expected = {"stage": "transcode", "estimate": True, "num_videos": 9, "num_tried": 9, "num_bad": 1, "jobs": 2}
    assert result == result | expected
    assert result["seconds"] == pytest.approx(9 * result["video_time"], rel=1e-4)
    assert "9 videos tried, 1 of them bad: " in told
    rows = run(few, tmp_path / "new", short_side=48, gop=8)[1]
    sizes = [Path(row["root"], row["video"]).stat().st_size for row in rows if row["status"] == "ok"]
    assert result["disk_bytes"] == pytest.approx(sum(sizes), rel=0.01)


def test_an_estimate_of_nothing_that_can_be_transcoded_is_refused(tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/broken.mp4").write_bytes(b"not a video")
    with pytest.raises(ConfigError, match=r"none of the 1 video tried can be transcoded, as broken\.mp4: "):
        main(Config(str(tmp_path / "videos"), str(tmp_path / "new"), jobs=1, estimate=True))
