"""The videos of a run are written down once, and looked for before anything else."""

import shutil

import pytest

from rspnet.data.index import new_row, read_rows, write_rows
from rspnet.data.run_index import keep_index, look_for_videos
from rspnet.errors import ConfigError


def test_index_is_kept_once(tmp_path, root):
    source = tmp_path / "data"
    source.mkdir()
    shutil.copy(root / "0.mp4", source / "a.mp4")
    kept = tmp_path / "index.parquet"
    keep_index(kept, str(source), None, layout="auto")
    shutil.copy(root / "1.mp4", source / "b.mp4")
    keep_index(kept, str(source), None, layout="auto")
    keep_index(kept, None, None, layout="auto")
    assert [row["video"] for row in read_rows(kept)] == ["a.mp4"]


def test_an_index_with_another_root(tmp_path, root, monkeypatch):
    one, two, three = (tmp_path / f"{name}.parquet" for name in ("one", "two", "three"))
    keep_index(one, str(root), None, layout="folder")
    keep_index(two, None, str(one), layout="auto")
    assert {row["root"] for row in read_rows(two)} == {str(root)}
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"^data\.root: elsewhere: no such folder; .* or say --data\.root null"):
        look_for_videos(three, "elsewhere", str(one))
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(ConfigError, match=r"^data\.root: elsewhere: of 10 videos looked for none exists, such as /"):
        look_for_videos(three, "elsewhere", str(one))
    shutil.copy(root / "1.mp4", "elsewhere")
    look_for_videos(three, "elsewhere", str(one))
    keep_index(three, "elsewhere", str(one), layout="auto")
    assert {row["root"] for row in read_rows(three)} == {str(tmp_path / "elsewhere")}


def test_no_videos_named(tmp_path):
    with pytest.raises(ConfigError, match=r"^data\.root: say where the videos are"):
        look_for_videos(tmp_path / "index.parquet", None, None)
    with pytest.raises(ConfigError, match=r"none: no such folder; name the one that the videos are in$"):
        look_for_videos(tmp_path / "index.parquet", str(tmp_path / "none"), None)
    with pytest.raises(ConfigError, match=r"^data\.root: n+: cannot be read \(File name too long\); name the one"):
        look_for_videos(tmp_path / "index.parquet", "n" * 300, None)
    (tmp_path / "none").touch()
    with pytest.raises(ConfigError, match=r"none: not a folder; name the one that the videos are in$"):
        look_for_videos(tmp_path / "index.parquet", str(tmp_path / "none"), None)


def test_a_root_that_is_not_there(tmp_path, root):
    """All of the index's videos, or some, lie on a disk that is not mounted."""
    there = [new_row(f"{number}.mp4", str(root)) for number in range(3)]
    away = [new_row(f"{number}.mp4", "/mnt/away") for number in range(2)]
    unusable = [new_row("9.mp4", "/mnt/other", status="broken")]
    source, kept = str(tmp_path / "index.jsonl"), tmp_path / "kept.parquet"
    for rows, count in ((away, "2 of 2"), (there + away, "2 of 5")):
        write_rows(rows, source)
        kept.unlink(missing_ok=True)
        with pytest.raises(ConfigError) as caught:
            look_for_videos(kept, None, source)
        assert str(caught.value) == (
            f"data.index: {source}: {count} videos should be in /mnt/away, and there is no such folder; "
            "say where they are with --data.root"
        )
    kept.unlink()
    write_rows(there + unusable, source)
    look_for_videos(kept, None, source)


def test_a_root_that_went_away_before_the_run_goes_on(tmp_path, root):
    source, kept = tmp_path / "data", tmp_path / "index.parquet"
    source.mkdir()
    shutil.copy(root / "0.mp4", source / "a.mp4")
    keep_index(kept, str(source), None, layout="auto")
    source.rename(tmp_path / "elsewhere")
    was, now = (str(tmp_path / f"{name}.jsonl") for name in ("was", "now"))
    write_rows([new_row("a.mp4", str(source))], was)
    write_rows([new_row("a.mp4", str(tmp_path / "elsewhere"))], now)
    with pytest.raises(ConfigError, match=r"was\.jsonl: 1 of 1 videos should be in \S+/data, and there is no such"):
        look_for_videos(kept, None, was)
    look_for_videos(kept, None, now)
    look_for_videos(kept, str(tmp_path / "elsewhere"), None)
    with pytest.raises(ConfigError, match=r"gone\.jsonl: no such index"):
        look_for_videos(kept, None, str(tmp_path / "gone.jsonl"))
