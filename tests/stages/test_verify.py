"""Verification of small real files, of workers that hang and die, and of scans that are stopped."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from rspnet import console
from rspnet.data import index, verification
from rspnet.errors import ConfigError, DiskError
from rspnet.video.reader import encode
from stages import verify
from tests.support import REPO
from tests.support.samples import BAD_SAMPLES, SINGLE_FRAME
from tests.support.web import Server

STAGE = [sys.executable, str(REPO / "stages/verify.py")]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two classes in two splits: 20, 20 and 4 frames, one file without bytes, one that is no video, one cut short."""
    root = tmp_path_factory.mktemp("data")
    for path, frames in {"train/b/2.mp4": 20, "train/a/1.mp4": 20, "test/b/3.mp4": 4, "train/b/cut.mp4": 20}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        pictures = np.random.default_rng(0).integers(0, 255, (frames, 32, 48, 3), dtype=np.uint8)
        encode(root / path, pictures, 10, x264_preset="ultrafast")
    cut = root / "train/b/cut.mp4"
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    (root / "train/a/empty.mp4").touch()
    (root / "train/a/text.avi").write_text("no video" * 100)
    (root / "train/a/notes.txt").write_text("no video")
    return root


def run(source, **options):
    """The summary and the rows of a scan by one worker."""
    return verify.main(verify.Config(str(source), jobs=1, **options))


def read(text):
    return {row["video"]: row for row in map(json.loads, text.splitlines())}


@pytest.mark.parametrize("depth", ["probe", "decode"])
def test_every_file_gets_its_status(root, depth, capsys):
    summary = run(root, depth=depth, min_frames=5)
    rows = read(capsys.readouterr().out)
    assert {video: row["status"] for video, row in rows.items()} == {
        "test/b/3.mp4": "short",
        "train/a/1.mp4": "ok",
        "train/a/empty.mp4": "empty",
        "train/a/text.avi": "broken",
        "train/b/2.mp4": "ok",
        "train/b/cut.mp4": rows["train/b/cut.mp4"]["status"],
    }
    assert rows["train/b/cut.mp4"]["status"] in ("broken", "truncated")
    good = rows["train/b/2.mp4"]
    assert good == good | {"root": str(root), "label": "b", "split": "train", "reason": None, "codec": "h264"}
    assert good == good | {"num_frames": 20, "fps": 10.0, "width": 48, "height": 32, "duration": 2.0}
    assert good["bytes"] == (root / "train/b/2.mp4").stat().st_size
    assert all(row["reason"] for row in rows.values() if row["status"] != "ok")
    assert (summary["num_videos"], summary["num_bad"], summary["exit_status"]) == (6, 4, 0)
    assert (summary["num_classes"], summary["splits"], summary["ignored"]) == (2, {"train": 2}, {".txt": 1})


def test_summary_for_people(root, capsys):
    run(root, min_frames=5)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("6 videos (2 ok, ")
    assert lines[1:4] == [
        "of these 2 train",
        "2 classes, from 1 video (a) to 1 (b)",
        "files that are not named like videos: 1 .txt",
    ]
    assert "train/a/empty.mp4: empty: the file has no bytes" in lines


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_index_file(root, tmp_path, suffix, capsys):
    out = tmp_path / f"i{suffix}"
    summary = run(root, out=str(out), min_frames=5)
    assert capsys.readouterr().out == ""
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    rows = list(index.read_rows(out))
    assert len(rows) == summary["num_videos"] == 6
    train, left_out = index.select(index.load(out, cache_dir=tmp_path), "train")
    assert sorted(train["video"]) == ["train/a/1.mp4", "train/b/2.mp4"]
    assert left_out.total() == 3


def test_an_index_is_looked_at_again(root, tmp_path, capsys):
    rows = [
        index.new_row("train/b/2.mp4", str(root), "mine", split="val", status="broken", reason="then")
        | {"recipe": "x"},
        index.new_row("gone.mp4", str(root), "mine", split="val", status="ok", num_frames=9),
        index.new_row("listed.mp4", str(root), "mine", split="val", status="missing", reason="in a list, but not here"),
        index.new_row(r"caf\xe9.mp4", str(root), status="bad_name", reason="rename it"),
    ]
    index.write_rows(rows, tmp_path / "i.parquet")
    run(tmp_path / "i.parquet")
    good, gone, listed, bad_name = read(capsys.readouterr().out).values()
    assert good == good | {"label": "mine", "split": "val", "recipe": "x"}
    assert good == good | {"status": "ok", "reason": None, "num_frames": 20}
    assert gone == rows[1] | {"status": "missing", "reason": "no such file", "num_frames": None}
    assert listed == rows[2]
    assert bad_name == rows[3]


def test_a_data_set_of_a_server(root, tmp_path, capsys, monkeypatch):
    """Rows are those of the folder that it serves, by processes that fetch."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    run(root, depth="decode")
    here = read(capsys.readouterr().out)
    with Server(root, lambda path, times: 503 if times == 2 else None) as server:
        summary = run(server.url, depth="decode", out=str(tmp_path / "i.jsonl"))
        rows = list(index.read_rows(tmp_path / "i.jsonl"))
        assert [row | {"root": str(root)} for row in rows] == list(here.values())
        assert {row["root"] for row in rows} == {server.url}
        (root / "train/a/1.mp4").rename(tmp_path / "1.mp4")
        try:
            again = verify.main(verify.Config(str(tmp_path / "i.jsonl"), jobs=1))
        finally:
            (tmp_path / "1.mp4").rename(root / "train/a/1.mp4")
        assert again["status"] == summary["status"] | {"ok": summary["status"]["ok"] - 1, "missing": 1}


def test_strict(root, tmp_path):
    assert run(root, out=str(tmp_path / "i.jsonl"), strict=True)["exit_status"] == 1
    good = [index.new_row("train/a/1.mp4", str(root))]
    index.write_rows(good, tmp_path / "good.jsonl")
    assert run(tmp_path / "good.jsonl", out=str(tmp_path / "i.jsonl"), strict=True)["exit_status"] == 0


def misbehave(row, **_):
    """What a worker may do with a file, by the file's name."""
    if row["video"].startswith("hang"):
        time.sleep(60)
    elif row["video"].startswith("crash"):
        os._exit(3)
    elif row["video"].startswith("bug"):
        raise RuntimeError("a fault of ours")
    return row | {"status": "ok", "duration": 3600.0}


def test_files_that_hang_or_crash_the_worker_cost_their_own_row(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(verification, "inspect_row", misbehave)
    names = ["1.mp4", "hang.mp4", "2.mp4", "crash.mp4", "3.mp4", "bug.mp4", "4.mp4"]
    rows = [index.new_row(name, str(tmp_path), "a", bytes=9) for name in names]
    index.write_rows(rows, tmp_path / "i.jsonl")
    summary = run(tmp_path / "i.jsonl", time_limit=1.0)
    found = read(capsys.readouterr().out)
    assert list(found) == names
    assert [row["status"] for row in found.values()] == ["ok", "timeout", "ok", "crashed", "ok", "error", "ok"]
    assert "1 s" in found["hang.mp4"]["reason"]
    assert "a fault of ours" in found["bug.mp4"]["reason"]
    assert found["hang.mp4"]["bytes"] is None  # nothing old is kept
    assert (summary["hours"], summary["num_bad"]) == (4.0, 3)


def test_an_index_of_videos_on_a_disk_that_is_not_there(tmp_path):
    """They are not called missing, which would throw away what is known of them."""
    index.write_rows([index.new_row("1.mp4", "/mnt/away", status="ok")], tmp_path / "i.jsonl")
    with pytest.raises(ConfigError, match=r"^/mnt/away: no such folder, but 1\.mp4 and others of the index"):
        run(tmp_path / "i.jsonl")


def test_a_full_disk_keeps_what_is_done(root, tmp_path, no_file_larger_than, capsys):
    out = tmp_path / "i.jsonl"
    with no_file_larger_than(1500), pytest.raises(DiskError, match=r"i\.jsonl\.partial: cannot be written: its disk"):
        run(root, out=str(out))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["i.jsonl.partial"]
    run(root, out=str(out))
    assert "going on after the" in capsys.readouterr().err
    assert len(list(index.read_rows(out))) == 6
    assert not (tmp_path / "i.jsonl.partial").exists()


def test_classes_tell_which_videos_have_none(tmp_path, root, capsys):
    for name in ("a/1.mp4", "a/2.mp4", "b/3.mp4", "stray.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(root / "test/b/3.mp4", tmp_path / name)
    summary = run(tmp_path)
    assert (summary["num_classes"], summary["num_unlabelled"], summary["unlabelled"]) == (2, 1, ["stray.mp4"])
    assert "2 classes, from 1 video (b) to 2 (a); 1 video of no class, e.g. stray.mp4" in capsys.readouterr().err


def stop_after(number):
    def progress(items, *_, **__):
        for count, item in enumerate(items):
            if count == number:
                raise KeyboardInterrupt
            yield item

    return progress


def test_a_stopped_scan_goes_on(root, tmp_path, monkeypatch, capsys):
    out = tmp_path / "i.parquet"
    part = tmp_path / "i.parquet.partial"
    with monkeypatch.context() as patch:
        patch.setattr(console, "progress", stop_after(3))
        with pytest.raises(KeyboardInterrupt):
            run(root, out=str(out))
    assert [path.name for path in tmp_path.iterdir()] == [part.name]
    head, *kept = part.read_text().splitlines()
    assert len(kept) == 3
    marked = [json.loads(line) | {"codec": "as kept"} for line in kept]
    part.write_text("\n".join([head, *map(json.dumps, marked), '{"video": "cut sho']))
    run(root, out=str(out))
    assert "going on after the 3 videos in" in capsys.readouterr().err
    rows = list(index.read_rows(out))
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    assert rows[:3] == marked
    assert [row["video"] for row in rows] == sorted(row["video"] for row in rows)
    assert len(rows) == 6
    assert "as kept" not in {row["codec"] for row in rows[3:]}


def test_a_stopped_scan_with_other_settings_loses_nothing(root, tmp_path, monkeypatch):
    out, part = tmp_path / "i.jsonl", tmp_path / "i.jsonl.partial"
    with monkeypatch.context() as patch:
        patch.setattr(console, "progress", stop_after(3))
        with pytest.raises(KeyboardInterrupt):
            run(root, out=str(out))
    kept = part.read_bytes()
    for options, told in [({"depth": "decode"}, "depth probe"), ({"layout": "kinetics"}, "layout auto")]:
        left = rf"i\.jsonl\.partial: was left by an interrupted scan with {told}; .*remove"
        with pytest.raises(ConfigError, match=left):
            run(root, out=str(out), **options)
    assert part.read_bytes() == kept
    part.write_text("mine\n")
    with pytest.raises(ConfigError, match=r"i\.jsonl\.partial: its first line does not hold the settings of a scan: "):
        run(root, out=str(out))
    assert part.read_text() == "mine\n"


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("/nowhere", {}, "/nowhere: no such folder"),
        ("/nowhere.jsonl", {}, "no such index"),
        (".", {"out": "/nowhere/i.jsonl"}, "there is no folder /nowhere"),
        (".", {"out": "i.txt"}, "an index is a .jsonl or .parquet file"),
        (".", {"min_frames": -3}, "^min_frames: -3; it must be between 0 and 1000000000$"),
    ],
)
def test_wrong_commands_are_refused(source, options, message):
    with pytest.raises(ConfigError, match=message):
        run(source, **options)


def test_command_line_and_pipes(root):
    shell = f"{' '.join(STAGE)} {root} --jobs 1 | {' '.join(STAGE)} - --jobs 1 --depth decode --strict true"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {shell}"], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert sum(row["status"] == "ok" for row in read(done.stdout).values()) == 3
    assert "Traceback" not in done.stderr


def test_a_reader_that_leaves_ends_it_quietly(root):
    done = subprocess.run(
        ["bash", "-c", f"{' '.join(STAGE)} {root} --jobs 1 | head -n 1"], capture_output=True, text=True
    )
    assert done.stdout.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert "Broken" not in done.stderr


def test_ctrl_c_ends_it_in_one_line(root):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    rows = [index.new_row(f"train/{name}.mp4", str(root)) for name in ("a/1", "b/2") * 2]
    with subprocess.Popen([*STAGE, "-", "--jobs", "1"], text=True, **pipes) as process:
        process.stdin.writelines(json.dumps(row) + "\n" for row in rows)
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["status"] == "ok"  # it is at work and waits for more rows
        process.send_signal(signal.SIGINT)
        errors = process.stderr.read()
    assert (process.returncode, errors) == (130, "verify.py: interrupted\n")


@pytest.mark.slow
def test_jhmdb(shared, tmp_path):
    summary = verify.main(verify.Config(str(shared / "data/jhmdb"), out=str(tmp_path / "i.parquet"), jobs=2))
    assert (summary["status"], summary["num_classes"]) == ({"ok": 928}, 21)
    assert summary["splits"] == {"train": 671, "test": 257}
    clips = (shared / "data/jhmdb/clips.tsv").read_text().splitlines()
    frames = {clip.split("\t")[0]: int(clip.split("\t")[7]) for clip in clips[1:]}
    assert {row["video"]: row["num_frames"] for row in index.read_rows(tmp_path / "i.parquet")} == frames


def test_samples(shared, tmp_path):
    verify.main(verify.Config(str(shared / "data/samples"), out=str(tmp_path / "i.jsonl"), depth="decode", jobs=2))
    rows = {row["video"]: row for row in index.read_rows(tmp_path / "i.jsonl")}
    head, *lines = (line.split("\t") for line in (shared / "data/samples/samples.tsv").read_text().splitlines())
    samples = {line[0]: dict(zip(head, line)) for line in lines}
    assert len(rows) == 57  # the others have no suffix of a video
    for name, row in rows.items():
        assert row["status"] == (BAD_SAMPLES | {SINGLE_FRAME: "short"}).get(name, "ok"), name
        decoded = samples[name]["frames_decoded"]
        assert row["num_frames"] == (None if decoded == "-" else int(decoded)), name
