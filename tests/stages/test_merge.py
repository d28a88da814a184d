"""verify and transcode by several processes that do not talk to each other: one index comes of it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rspnet.data import index
from rspnet.errors import ConfigError, LostError
from rspnet.running import pool
from rspnet.running.parts import Parts
from rspnet.running.share import Share
from stages import merge, transcode, verify
from tests.support import REPO

KILLED_AFTER_TWO = """
import os, runpy, signal, sys
from rspnet.running.appended import AppendedLines
add, rows = AppendedLines.add, []
def add_some(self, row):
    add(self, row)
    rows.append(row)
    if len(rows) == 3:  # its settings and two rows
        os.kill(os.getpid(), signal.SIGKILL)
AppendedLines.add = add_some
sys.argv[0] = {stage!r}
runpy.run_path({stage!r}, run_name="__main__")
"""


@pytest.fixture(autouse=True)
def looks_by_itself(monkeypatch):
    """Without processes for what may crash or hang, whose start takes its time; other tests have them."""

    def inline(function, items, **_):
        for item in items:
            yield (item.item, item.result) if isinstance(item, pool.Ready) else (item, function(item))

    monkeypatch.setattr(pool, "run_parallel", inline)


@pytest.fixture(scope="module")
def root(videos, tmp_path_factory):
    """Sixteen videos in UCF101's layout, one cut short, one missing."""
    root = tmp_path_factory.mktemp("shares") / "ucf"
    shutil.copytree(videos, root)
    for folder in sorted((root / "UCF-101").iterdir())[4:]:
        shutil.rmtree(folder)
    first, second, *_ = sorted(path for path in (root / "UCF-101").rglob("*") if path.is_file())
    first.write_bytes(first.read_bytes()[:500])
    second.unlink()
    return root


def looked_at(root, out, share=None, **options):
    return verify.main(verify.Config(str(root), jobs=1, out=str(out), share=share, **options))


def copied(root, dst, out, share=None):
    return transcode.main(
        transcode.Config(str(root), str(dst), jobs=1, out=str(out), share=share, short_side=32, preset="fast")
    )


def merged(out, **options):
    return merge.main(merge.Config(str(out), **options))


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_shares_make_what_one_process_makes(root, tmp_path, capsys, suffix):
    alone, shared = tmp_path / f"alone{suffix}", tmp_path / f"shared{suffix}"
    whole = looked_at(root, alone, strict=True)
    said = capsys.readouterr().err
    of_each = [looked_at(root, shared, f"{number}/3", strict=True) for number in (2, 3)]
    assert not shared.exists()
    assert [summary["exit_status"] for summary in of_each] == [0, 0]  # a launcher would end the others
    assert "share 3/3 is done; to come: share 1/3" in capsys.readouterr().err
    last = looked_at(root, shared, "1/3", strict=True)
    assert shared.read_bytes() == alone.read_bytes()
    assert not (tmp_path / f"shared{suffix}.parts").exists()
    assert capsys.readouterr().err == said.replace(str(alone), str(shared))
    assert last | {"out": str(alone)} == whole | {"share": "1/3"}


def test_four_processes_one_of_them_killed(root, tmp_path):
    """As a launcher starts them; what died is done again alone, and then all is there."""
    alone, out, stage = tmp_path / "alone.parquet", tmp_path / "all.parquet", str(REPO / "stages/verify.py")
    looked_at(root, alone)
    processes = []
    for rank in range(4):
        program = ["-c", KILLED_AFTER_TWO.format(stage=stage)] if rank == 2 else [stage]
        command = [sys.executable, *program, str(root), "--out", str(out), "--jobs", "1"]
        environment = {"RANK": str(rank), "WORLD_SIZE": "4", "PYTHONPATH": str(REPO), "PATH": "/usr/bin:/bin"}
        processes.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    said = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, -9, 0], said
    with pytest.raises(ConfigError, match=r"not done: share 3/4; run what is missing \(--share 3/4\)"):
        merged(out)
    parts = Parts(str(out))
    assert parts.missing() == [Share(3, 4)]
    before = {path.name: path.stat().st_mtime_ns for path in parts.folder.glob("*.jsonl")}
    rows = Path(f"{out}.parts/3-of-4.partial").read_text().splitlines()
    assert len(rows) == 3  # nothing of it is lost
    looked_at(root, out, "1/4")  # the same command again to one that is done
    assert {path.name: path.stat().st_mtime_ns for path in parts.folder.glob("*.jsonl")} == before
    looked_at(root, out, "3/4")
    assert out.read_bytes() == alone.read_bytes()
    assert not parts.folder.exists()


def test_copies_and_what_is_kept_of_them(root, tmp_path):
    whole = copied(root, tmp_path / "one/new", tmp_path / "alone.jsonl")
    shared = [copied(root, tmp_path / "two/new", tmp_path / "out.jsonl", f"{number}/4") for number in (4, 2, 1, 3)]
    assert (tmp_path / "out.jsonl").read_text().replace("/two/", "/one/") == (tmp_path / "alone.jsonl").read_text()
    of_one, of_four = (
        {line["video"]: line["copy"] for line in map(json.loads, (folder / "copies.jsonl").read_text().splitlines())}
        for folder in (tmp_path / "one/new", tmp_path / "two/new")
    )
    assert list(of_four.items()) == list(of_one.items())
    assert not list((tmp_path / "two/new").glob("copies.*-of-*"))
    assert shared[-1] | {"dst": whole["dst"]} == whole | {"share": "3/4"}
    again = copied(root, tmp_path / "two/new", tmp_path / "out.jsonl", "1/2")
    assert (again["num_made"], again["num_kept"] > 0) == (0, True)
    with pytest.raises(ConfigError, match="is being made in 2 shares"):
        copied(root, tmp_path / "two/new", tmp_path / "out.jsonl")


def test_a_share_that_ends_while_another_still_tidies_up(root, tmp_path, monkeypatch):
    """The folder of copies is free before a share counts as done, so that whoever is last can join all."""
    out, dst, sweep = tmp_path / "i.jsonl", tmp_path / "new", transcode.sweep

    def meanwhile(*folders):
        monkeypatch.setattr(transcode, "sweep", sweep)
        copied(root, dst, out, "2/2")

    monkeypatch.setattr(transcode, "sweep", meanwhile)
    assert copied(root, dst, out, "1/2")["num_videos"] == 16
    assert out.exists()


def test_shares_of_different_works_do_not_mix(root, tmp_path):
    out = tmp_path / "i.jsonl"
    looked_at(root, out, "1/2")
    with pytest.raises(ConfigError, match=r"holds shares of another job: of 2 \(now 4\)"):
        looked_at(root, out, "2/4")
    with pytest.raises(ConfigError, match=r"another job: depth probe \(now decode\)"):
        looked_at(root, out, "2/2", depth="decode")
    with pytest.raises(ConfigError, match="stage verify"):
        copied(root, tmp_path / "new", out, "2/2")
    with pytest.raises(ConfigError, match="is being made in 2 shares"):
        looked_at(root, out)
    assert not out.exists()


def test_videos_that_came_in_between(root, tmp_path, capsys):
    """Of shares that saw other videos no index is made; what is older is done again, and that is little work."""
    out, mine = tmp_path / "i.jsonl", tmp_path / "mine"
    shutil.copytree(root, mine)
    looked_at(mine, out, "1/2")
    folder = next(path.parent for path in mine.rglob("*_c01.*"))
    for number in range(4):
        shutil.copy(next(iter(sorted(folder.iterdir()))), folder / f"new{number}.mp4")
    with pytest.raises(
        ConfigError, match=r"share 1/2 had other videos than share 2/2.*run the older again \(--share 1/2\)"
    ):
        looked_at(mine, out, "2/2")
    assert not out.exists()
    looked_at(mine, out, "1/2")
    alone = tmp_path / "alone.jsonl"
    looked_at(mine, alone)
    assert out.read_bytes() == alone.read_bytes()


def test_videos_that_came_and_went(root, tmp_path):
    """The share that was just done knows which videos there are, whenever the others were written."""
    out, mine = tmp_path / "i.jsonl", tmp_path / "mine"
    shutil.copytree(root, mine)
    looked_at(mine, out, "1/2")
    new = next(mine.rglob("*_c01.*")).with_name("new.mp4")
    new.touch()
    with pytest.raises(ConfigError, match=r"run the older again \(--share 1/2\)"):
        looked_at(mine, out, "2/2")
    new.unlink()
    with pytest.raises(ConfigError, match=r"run the older again \(--share 2/2\)"):
        looked_at(mine, out, "1/2")
    looked_at(mine, out, "2/2")
    assert out.exists()


def test_a_share_that_is_done_again_while_others_join(root, tmp_path, monkeypatch):
    """What it finds belongs to no job any more, and must not be taken for a part of the next."""
    out, mine = tmp_path / "i.jsonl", tmp_path / "mine"
    shutil.copytree(root, mine)
    looked_at(mine, out, "1/2")
    new = next(mine.rglob("*_c01.*")).with_name("new.mp4")
    new.touch()
    inline = pool.run_parallel

    def joined_meanwhile(*given, **options):
        monkeypatch.setattr(pool, "run_parallel", inline)
        yield from inline(*given, **options)
        new.unlink()
        looked_at(mine, out, "2/2")

    monkeypatch.setattr(pool, "run_parallel", joined_meanwhile)
    with pytest.raises(LostError, match=r"i\.jsonl\.parts: was removed"):
        looked_at(mine, out, "1/2")
    assert out.exists()
    assert not Parts(str(out)).folder.exists()


def test_a_damaged_part_is_named(root, tmp_path):
    out = tmp_path / "i.jsonl"
    looked_at(root, out, "1/2")
    part = tmp_path / "i.jsonl.parts/1-of-2.jsonl"
    part.write_bytes(part.read_bytes().replace(b'"ok"', b'"OK"', 1))
    with pytest.raises(ConfigError, match=r"1-of-2.jsonl: is damaged; remove it, and do share 1/2 again"):
        looked_at(root, out, "2/2")
    looked_at(root, out, "1/2")
    assert index.fingerprint(index.read_rows(out))


def test_a_part_that_cannot_be_read_is_named(root, tmp_path):
    out = tmp_path / "i.jsonl"
    looked_at(root, out, "1/2")
    part = tmp_path / "i.jsonl.parts/1-of-2.jsonl"
    part.unlink()
    part.mkdir()
    with pytest.raises(ConfigError, match=r"1-of-2.jsonl: cannot be read"):
        looked_at(root, out, "2/2")


def test_one_share_twice_at_once(root, tmp_path):
    out = tmp_path / "i.jsonl"
    looked_at(root, out, "1/2")
    parts = Parts(str(out))
    with parts.held():
        looked_at(root, out, "2/2")  # somebody joins the parts already
        with pytest.raises(ConfigError, match="another process is joining it"):
            merged(out)
    assert not out.exists()
    looked_at(root, tmp_path / "alone.jsonl")
    assert merged(out)["exit_status"] == 0
    assert out.read_bytes() == (tmp_path / "alone.jsonl").read_bytes()
    assert merged(out) == {"stage": "merge", "out": str(out)}  # once more is no mistake
    for number in (1, 2):
        looked_at(root, out, f"{number}/2")
    assert out.read_bytes() == (tmp_path / "alone.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("options", "said"),
    [({"out": "-"}, "is written to a file"), ({"source": "-", "out": "i.jsonl"}, "a pipe cannot be shared")],
)
def test_what_cannot_be_shared(root, tmp_path, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=said):
        verify.main(verify.Config(**({"source": str(root), "share": "1/2"} | options)))
    assert not list(tmp_path.iterdir())


def test_there_is_nothing_to_join(tmp_path):
    with pytest.raises(ConfigError, match=r"i.jsonl: no share of it has begun"):
        merged(tmp_path / "i.jsonl")


def test_parts_may_be_swept_while_they_are_taken_away(tmp_path, monkeypatch):
    """By another process whose OUT lies beside; this one would say then that another joins them."""
    unlink, parts = os.unlink, Parts(str(tmp_path / "i.jsonl"))
    parts.folder.mkdir()
    (parts.folder / "plan.json").touch()

    def gone(path, **at):
        unlink(path, **at)
        raise FileNotFoundError

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", gone)
        parts.remove()
    assert not list(tmp_path.iterdir())
