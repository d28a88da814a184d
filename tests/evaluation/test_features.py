"""A file of features: what was written is read again, however it came."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rspnet.errors import ConfigError
from rspnet.evaluation import features
from rspnet.temporary import temporary


def table(first, number):
    """Rows of which every seventh has no feature."""
    named = {name: [None] * number for name in features.SCHEMA.names}
    named["video"] = [f"{place}.mp4" for place in range(first, first + number)]
    named["feature"] = [None if place % 7 == 3 else [place, 0.5] for place in range(first, first + number)]
    named["status"] = ["broken" if each is None else "ok" for each in named["feature"]]
    return pa.table(named, features.SCHEMA)


@pytest.mark.parametrize("out", ["f.parquet", "f"])
def test_rows_come_in_tables_of_any_length(tmp_path, out):
    """A run's evaluation writes them all at once, extract a thousand at a time."""
    made = {"window": None, "step": None, "shape": [2]}
    found = []
    for name, parts in (("one", [table(0, 2500)]), ("several", [table(0, 1024), table(1024, 3), table(1027, 1473)])):
        features.write(str(tmp_path / name / out), parts, made, shape=(2,))
        found.append(features.read(str(tmp_path / name / out)))
    for each in found:
        assert each.rows.num_rows == 2500
        assert each.values[2499].tolist() == [2499, 0.5]
        assert np.isnan(each.values[3]).all()
    assert found[0].rows.equals(found[1].rows)
    assert np.array_equal(found[0].values, found[1].values, equal_nan=True)


def test_what_a_killed_process_was_writing_is_in_nobodys_way(tmp_path):
    temporary(tmp_path / "features.npy").touch()
    features.check_out(str(tmp_path))


def test_what_another_program_made_stays(tmp_path):
    pq.write_table(pa.table({"mine": [1]}), tmp_path / "mine.parquet")
    (tmp_path / "text.parquet").write_text("mine")
    (tmp_path / "folder").mkdir()
    pq.write_table(pa.table({"mine": [1]}), tmp_path / "folder" / "index.parquet")
    (tmp_path / "array").mkdir()
    np.save(tmp_path / "array" / "features.npy", np.zeros(3))
    places = ("mine.parquet", ""), ("text.parquet", ""), ("folder", "/index.parquet"), ("array", "/features.npy")
    for name, file in places:
        with pytest.raises(ConfigError, match=rf"--out: .*{name}{file} exists and holds no features of rspnet"):
            features.check_out(str(tmp_path / name))
    features.write(str(tmp_path / "f.parquet"), [table(0, 3)], {"shape": [2]}, shape=(2,))
    features.check_out(str(tmp_path / "f.parquet"))
    features.write(str(tmp_path / "f"), [table(0, 3)], {"shape": [2]}, shape=(2,))
    features.check_out(str(tmp_path / "f"))


def test_the_array_is_on_the_disk_before_its_index_has_a_name(tmp_path, monkeypatch):
    """Killed while a large array was flushed, extract would take the index, with the old array, for its own work."""
    done, replace = [], os.replace
    monkeypatch.setattr(os, "fsync", lambda number: done.append(Path(f"/proc/self/fd/{number}").resolve().name))
    monkeypatch.setattr(os, "replace", lambda old, new: (done.append(Path(new).name), replace(old, new)))
    features.write(str(tmp_path), [table(0, 3)], {"shape": [2]}, shape=(2,))
    assert done[0].startswith(".features.npy.")
    assert done.index("index.parquet") < done.index("features.npy")


def test_an_array_that_is_empty_is_damaged(tmp_path):
    features.write(str(tmp_path), [table(0, 3)], {"shape": [2]}, shape=(2,))
    (tmp_path / "features.npy").write_bytes(b"")
    assert features.made_by(str(tmp_path)) is None
    with pytest.raises(ConfigError, match="holds no features of rspnet, or damaged ones"):
        features.read(str(tmp_path))


def test_videos_are_counted_by_name_across_tables():
    """Of a video that plays at another rate, several windows may begin with the same frame, the first included."""
    parts = [("a", "ok"), ("a", "ok")], [("a", "ok"), ("b", "broken")], [("c", "ok"), ("c", "broken"), ("d", "ok")]
    tally = features.Tally()
    for part in tally(pa.table(list(map(list, zip(*each))), ["video", "status"]) for each in parts):
        assert part.num_rows
    assert tally.summary() == {"num_videos": 3, "num_windows": 5, "failed": {"broken": 2}}
