"""The video index: round trips, selection, fingerprint, and what is refused."""

import concurrent.futures
import io
import json
import multiprocessing
import os
import pickle
import random
import string
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rspnet.data import cache, index, indexfile
from rspnet.errors import ConfigError


def some_rows(number, seed=0, folds=3):
    """Rows as varied as they may be: facts or none, labels or none, extra keys or none, any Unicode."""
    rng = random.Random(seed)
    rows = []
    for place in range(number):
        name = "".join(rng.choices(string.printable + "äß字\u2028🎬", k=rng.randint(1, 20))).replace("/", "")
        label = rng.choice(["Hammering", "HammerThrow", "café", None])
        splits = [rng.choice(["train", "test", "unused"]) for _ in range(folds)]
        row = index.new_row(f"{place}/{name}.mp4", "/data", label, split=splits[0], folds=splits if folds > 1 else None)
        if rng.random() < 0.7:
            facts = {"num_frames": rng.randint(1, 10**6), "fps": rng.uniform(1, 120), "width": 320, "height": 240}
            facts |= {"duration": rng.uniform(0, 9e9), "codec": "h264", "bytes": rng.randint(0, 2**40)}
            row.update(facts, status=rng.choice(["ok", "broken"]), reason=rng.choice([None, "why"]))
        if rng.random() < 0.3:
            row |= {"source": name, "recipe": {"crf": rng.choice([18, 23]), "gop": 16}}
        rows.append(row)
    return rows


def rows_of(dataset):
    """The rows of a Dataset as they were: labels as names, further keys in place."""
    names = dataset.features["label"].names
    for row in dataset:
        yield indexfile.unpack(row | {"label": None if row["label"] is None else names[row["label"]]})


@pytest.fixture
def rows():
    return some_rows(200)


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize("seed", range(3))
def test_files_keep_every_row(tmp_path, suffix, seed):
    rows = some_rows(50, seed)
    index.write_rows(iter(rows), tmp_path / f"i{suffix}")
    assert list(index.read_rows(tmp_path / f"i{suffix}")) == rows
    assert [path.name for path in tmp_path.iterdir()] == [f"i{suffix}"]


def test_a_byte_order_mark_is_no_part_of_a_row(tmp_path, rows, monkeypatch):
    index.write_rows(rows, tmp_path / "i.jsonl")
    content = (tmp_path / "i.jsonl").read_bytes()
    (tmp_path / "i.jsonl").write_bytes(b"\xef\xbb\xbf" + content)
    assert list(index.read_rows(tmp_path / "i.jsonl")) == rows
    monkeypatch.setattr(sys, "stdin", io.StringIO("\ufeff" + content.decode()))
    assert list(index.read_rows("-")) == rows


def test_numbers_of_classes_are_in_their_order(tmp_path):
    rows = [index.new_row(f"{label}.mp4", "/v", label) for label in ("10", "9", "0", "1")]
    assert index.to_dataset(rows, tmp_path).features["label"].names == ["0", "1", "9", "10"]


def test_rows_without_a_class_are_named(tmp_path):
    labels = ["a", None, None, None, None]
    dataset = index.to_dataset([index.new_row(f"{n}.mp4", "/v", label) for n, label in enumerate(labels)], tmp_path)
    with pytest.raises(ConfigError, match=r"^4 of 5 videos have no label: 1\.mp4, 2\.mp4, 3\.mp4 \.\.\.; put them"):
        index.check_labels(dataset)
    index.check_labels(dataset.select([0]))


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, rows, caplog):
    (tmp_path / "cache").touch()  # and no folder
    dataset = index.to_dataset(rows, tmp_path / "cache")
    assert list(rows_of(dataset)) == rows
    assert "the index stays in memory: " in caplog.text
    assert "cannot be written (Not a directory); choose another place with HF_DATASETS_CACHE or HF_HOME" in caplog.text


def test_pipes_keep_every_row(rows, capsys, monkeypatch):
    index.write_rows(rows, "-")
    text = capsys.readouterr().out
    assert all(list(json.loads(line))[:2] == ["video", "root"] for line in text.rstrip("\n").split("\n"))
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    assert list(index.read_rows("-")) == rows


def test_rows_pass_through_a_pipe_one_by_one(capsys):
    def endless():
        yield from some_rows(2)
        assert len(capsys.readouterr().out.splitlines()) == 2
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index.write_rows(endless(), "-")


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_more_rows_than_a_batch(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(indexfile, "_BATCH", 7)
    rows = some_rows(50)
    index.write_rows(iter(rows), tmp_path / f"i{suffix}")
    dataset = index.load(tmp_path / f"i{suffix}", cache_dir=tmp_path)
    assert list(rows_of(dataset)) == rows


def test_dataset_keeps_every_row(rows, tmp_path):
    dataset = index.to_dataset(iter(rows), tmp_path)
    assert list(rows_of(dataset)) == rows
    assert list(rows_of(dataset.select([5, 3]))) == [rows[5], rows[3]]


def test_dataset_features(rows, tmp_path):
    dataset = index.to_dataset(rows, tmp_path)
    assert dataset.features.arrow_schema.names == index.SCHEMA.names
    # UCF101's official order, which plain sorting turns round.
    assert dataset.features["label"].names == ["café", "Hammering", "HammerThrow"]
    for row, found in zip(rows, dataset):
        name = None if found["label"] is None else dataset.features["label"].int2str(found["label"])
        assert name == row["label"]
        assert {key: found[key] for key in ("video", "split", "num_frames", "fps", "bytes", "folds")} == {
            key: row[key] for key in ("video", "split", "num_frames", "fps", "bytes", "folds")
        }


def test_official_order_of_classes(shared, tmp_path):
    official = [line.split()[1] for line in (shared / "data/annotations/ucf101/classInd.txt").read_text().splitlines()]
    labels = json.loads((shared / "data/annotations/ssv2/something-something-v2-labels.json").read_text())
    for names in (official, sorted(labels, key=lambda name: int(labels[name]))):
        rows = [index.new_row(f"{name}.mp4", "/data", name) for name in sorted(names, reverse=True)]
        assert index.to_dataset(rows, tmp_path).features["label"].names == names


def test_dataset_without_labels(tmp_path):
    dataset = index.to_dataset([index.new_row("a.mp4", "/data")], tmp_path)
    assert dataset[0]["label"] is None
    assert dataset.features["label"].names == []
    assert next(rows_of(dataset))["label"] is None
    assert index.describe(dataset)["per_class"] == {}


def test_dataset_is_memory_mapped(tmp_path):
    before = pa.total_allocated_bytes()
    dataset = index.to_dataset(some_rows(5000), tmp_path)
    assert dataset.cache_files
    assert all(file["filename"].startswith(str(tmp_path)) for file in dataset.cache_files)
    assert pa.total_allocated_bytes() - before < 1000
    # A worker gets the file's name, not the rows.
    assert len(pickle.dumps(dataset)) < 0.1 * dataset.data.nbytes
    assert pickle.loads(pickle.dumps(dataset))[4999] == dataset[4999]


def test_loading_again_reads_nothing(rows, tmp_path, monkeypatch):
    index.write_rows(rows, tmp_path / "i.jsonl")
    first = index.load(tmp_path / "i.jsonl", cache_dir=tmp_path / "cache")
    monkeypatch.setattr(index, "_table", None)
    again = index.load(tmp_path / "i.jsonl", cache_dir=tmp_path / "cache")
    assert again[:] == first[:]
    monkeypatch.undo()
    index.write_rows(rows[:-1], tmp_path / "i.jsonl")
    assert len(index.load(tmp_path / "i.jsonl", cache_dir=tmp_path / "cache")) == len(rows) - 1


@pytest.mark.parametrize("how", ["empty", "cut", "zeros", "a bit"])
def test_a_damaged_cached_file_is_made_anew(rows, tmp_path, how):
    """Mapped as it is, zeros would be rows of other videos without a word."""
    index.write_rows(rows, tmp_path / "i.jsonl")
    dataset = index.load(tmp_path / "i.jsonl", cache_dir=tmp_path / "cache")
    expected = dataset[:]
    del dataset
    (path,) = (tmp_path / "cache").iterdir()
    content = path.read_bytes()
    half = len(content) // 2
    path.unlink()
    path.write_bytes(
        {
            "empty": b"",
            "cut": content[:half],
            "zeros": content[:half] + bytes(64) + content[half + 64 :],
            "a bit": content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :],
        }[how]
    )
    assert index.load(tmp_path / "i.jsonl", cache_dir=tmp_path / "cache")[:] == expected
    assert path.read_bytes() == content


def test_the_indexes_of_runs_share_one_file(rows, tmp_path):
    for run in "ab":
        (tmp_path / run).mkdir()
        index.write_rows(rows, tmp_path / run / "index.parquet")
        index.load(tmp_path / run / "index.parquet", cache_dir=tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 1
    moving = [row | {"root": "."} for row in rows]
    for run in "ab":
        index.write_rows(moving, tmp_path / run / "index.parquet")
        dataset = index.load(tmp_path / run / "index.parquet", cache_dir=tmp_path / "cache")
        assert set(dataset["root"]) == {str(tmp_path / run)}


def test_the_cache_is_bounded(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "MOST", 2)
    for number in range(4):
        index.to_dataset(rows[number:], tmp_path)
        (newest,) = [path for path in tmp_path.iterdir() if path.stat().st_mtime > time.time() - 3600]
        os.utime(newest, (time.time() - (9 - number) * 86400,) * 2)
    assert len(list(tmp_path.iterdir())) == 2
    index.to_dataset(rows, tmp_path)
    index.to_dataset(rows[1:], tmp_path)
    index.to_dataset(rows[2:], tmp_path)
    assert len(list(tmp_path.iterdir())) == 3  # of today


def test_equal_rows_share_one_file(rows, tmp_path):
    index.to_dataset(rows, tmp_path)
    index.to_dataset(iter(rows), tmp_path)
    index.to_dataset(rows[1:], tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def _load(paths):
    return index.fingerprint(index.load(paths[0], cache_dir=paths[1]))


def test_processes_may_race(rows, tmp_path):
    index.write_rows(rows, tmp_path / "i.parquet")
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        prints = set(pool.map(_load, [(tmp_path / "i.parquet", tmp_path / "cache")] * 4))
    assert len(prints) == 1
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_root_relative_to_the_index(tmp_path):
    rows = [index.new_row("a.mp4", "."), index.new_row("b.mp4", "../x"), index.new_row("c.mp4", "/y")]
    index.write_rows(rows, tmp_path / "i.jsonl")
    roots = [row["root"] for row in index.read_rows(tmp_path / "i.jsonl")]
    assert roots == [str(tmp_path), str(tmp_path.parent / "x"), "/y"]


def test_root_given_by_the_user(tmp_path):
    index.write_rows(some_rows(3), tmp_path / "i.jsonl")
    dataset = index.load(tmp_path / "i.jsonl", root=tmp_path / "moved", cache_dir=tmp_path)
    assert set(dataset["root"]) == {str(tmp_path / "moved")}
    assert set(index.load(tmp_path / "i.jsonl", cache_dir=tmp_path)["root"]) == {"/data"}


def test_select(tmp_path):
    statuses = ["ok", None, "broken", "short", "missing", "ok"]
    rows = [
        index.new_row(f"{split}{number}.mp4", "/data", "a", split=split, status=status, folds=[split, other])
        for split, other in (("train", "test"), ("test", "train"), ("unused", "unused"))
        for number, status in enumerate(statuses)
    ]
    dataset = index.to_dataset(rows, tmp_path)
    for split, fold, name in [("train", 1, "train"), ("train", 2, "test"), ("test", 2, "train")]:
        chosen, left_out = index.select(dataset, split, fold)
        assert chosen["video"][:] == [f"{name}{number}.mp4" for number in (0, 1, 5)]
        assert left_out == {"broken": 1, "short": 1, "missing": 1}
    everything, left_out = index.select(dataset)
    assert (len(everything), left_out.total()) == (9, 9)
    assert len(index.select(everything, "test")[0]) == 3


def test_select_what_is_not_there(tmp_path):
    rows = [index.new_row(f"{n}.mp4", "/data", split="train", folds=["train", "test"]) for n in range(3)]
    rows[0] |= {"status": "broken", "split": "val"}
    dataset = index.to_dataset(rows, tmp_path)
    with pytest.raises(ConfigError, match=r"no video is in split 'test' \(fold 1\); there are 2 train, 1 val"):
        index.select(dataset, "test")
    with pytest.raises(ConfigError, match=r"^no video in split 'val' is usable: 1 broken$"):
        index.select(dataset, "val")
    rows[2]["status"] = "empty"
    usable, left_out = index.select(index.to_dataset(rows, tmp_path))
    assert len(usable) == 1
    assert index.selection(left_out, left_out) == " (left out: 2 broken, 2 empty)"
    for fold in (0, 3):
        with pytest.raises(ConfigError, match=f"fold {fold}: the index has the splits of 2 folds"):
            index.select(dataset, "train", fold)
    plain = index.to_dataset([index.new_row("a.mp4", "/data")], tmp_path)
    with pytest.raises(ConfigError, match="there are 1 without a split: sort a plain folder"):
        index.select(plain, "train")
    with pytest.raises(ConfigError, match=r"fold 2: the index has the splits of 1 fold$"):
        index.select(plain, None, 2)


def test_fingerprint_depends_on_content_only(rows, tmp_path):
    print_of = index.fingerprint(index.to_dataset(rows, tmp_path))
    assert len(print_of) == 16
    int(print_of, 16)
    moved = [row | {"root": "/elsewhere", "duration": 1.0} for row in reversed(rows)]
    index.write_rows(moved, tmp_path / "i.parquet")
    assert index.fingerprint(index.load(tmp_path / "i.parquet", cache_dir=tmp_path)) == print_of
    order = np.random.default_rng(0).permutation(len(rows))
    assert index.fingerprint(index.to_dataset(rows, tmp_path).select(order)) == print_of


@pytest.mark.parametrize("key", ["video", "label", "split", "folds", "num_frames", "bytes"])
def test_fingerprint_notices_a_change(rows, tmp_path, key):
    changed = {"folds": ["train"], "num_frames": 7, "bytes": 7}.get(key, "new")
    other = [rows[0] | {key: changed}, *rows[1:]]
    prints = {index.fingerprint(index.to_dataset(some, tmp_path)) for some in (rows, other, rows[1:])}
    assert len(prints) == 3


def test_fingerprint_stays_what_it_was(tmp_path):
    """Results carry it: a new version must not change it unnoticed."""
    rows = [index.new_row("a/1.mp4", "/x", "a", split="train", num_frames=30, bytes=9), index.new_row("ä.mp4", "/y")]
    assert index.fingerprint(index.to_dataset(rows, tmp_path)) == "d19d4c07c46307a6"


def test_describe(tmp_path):
    recipe = {"crf": 18, "gop": 16}
    rows = [index.new_row(f"{n}.mp4", "/d", "ab"[n % 2], duration=900.0) | {"recipe": recipe} for n in range(7)]
    rows.append(index.new_row("raw.avi", "/d", duration=900.0))
    found = index.describe(index.to_dataset(rows, tmp_path))
    assert found.pop("fingerprint") == index.fingerprint(index.to_dataset(rows, tmp_path))
    assert found == {"num_videos": 8, "hours": 2.0, "per_class": {"a": 4, "b": 3}, "recipes": [recipe]}
    assert index.describe(index.to_dataset([index.new_row("a.mp4", "/d")], tmp_path))["hours"] is None


GOOD = '{"video": "a.mp4", "root": "/d", "label": null, "split": null, "status": null}\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + '{"video": "b.mp4", \n', r"i.jsonl:2: not JSON: .*column"),
        (GOOD + "\n" + GOOD.replace("label", "lable"), "i.jsonl:3: key 'label' is missing; write null"),
        (GOOD.replace('"root"', '"Root"'), "i.jsonl:1: key 'root' is missing; give the folder that video is below"),
        (GOOD + "[1, 2]\n", r"i.jsonl:2: expected a JSON object, found \[1, 2\]"),
        (GOOD.replace('"a.mp4"', "null"), "i.jsonl:1: video is None; expected str"),
        (GOOD.replace('"/d"', "3"), "i.jsonl:1: root is 3; expected str"),
        (GOOD.replace("}", ', "num_frames": "12"}'), "i.jsonl:1: num_frames is '12'; expected int"),
        (GOOD.replace("}", ', "fps": "25/1"}'), "i.jsonl:1: fps is '25/1'; expected float"),
        ("\n", "i.jsonl: no rows; did the command"),
        (b"\xff\xfe", "i.jsonl: UTF-16 text; save"),
    ],
)
def test_a_line_that_is_no_row_is_refused(tmp_path, text, message):
    (tmp_path / "i.jsonl").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=message):
        list(index.read_rows(tmp_path / "i.jsonl"))
    with pytest.raises(ConfigError, match=message):
        index.load(tmp_path / "i.jsonl", cache_dir=tmp_path / "cache")


def test_files_that_are_no_index_are_refused(tmp_path):
    (tmp_path / "i.parquet").write_text("text")
    cases = {
        "i.parquet": "not a Parquet file",
        "i.json": "a .jsonl or .parquet file",
        "no.jsonl": "no such index",
        "no.txt": "no such list$",
    }
    for name, message in cases.items():
        with pytest.raises(ConfigError, match=message):
            list(index.read_rows(tmp_path / name))


@pytest.mark.parametrize(("suffix", "where", "name"), [(".jsonl", indexfile, "open"), (".parquet", pq, "ParquetFile")])
def test_a_file_that_nobody_may_read(tmp_path, rows, monkeypatch, suffix, where, name):
    def refuse(*_):  # root, who may run the tests, is refused nothing
        raise PermissionError(13, "Permission denied")

    index.write_rows(rows, tmp_path / f"i{suffix}")
    monkeypatch.setattr(where, name, refuse, raising=False)
    with pytest.raises(ConfigError, match=rf"i\{suffix}: cannot be read \(Permission denied\)$"):
        list(index.read_rows(tmp_path / f"i{suffix}"))


def test_rows_that_contradict_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"/data/a\.mp4: is in the index 2 times; keep one row"):
        index.to_dataset([index.new_row("a.mp4", "/data", label) for label in "ab"], tmp_path)
    with pytest.raises(ConfigError, match="the index has no rows"):
        index.to_dataset([], tmp_path)
    with pytest.raises(ConfigError, match="wrong type"):
        index.to_dataset([index.new_row("a.mp4", "/data", num_frames="many")], tmp_path)


@pytest.mark.parametrize(
    ("out", "message"), [("i.csv", "a .jsonl or .parquet file"), ("no/i.jsonl", "there is no folder")]
)
def test_a_bad_name_to_write_costs_no_work(tmp_path, out, message):
    rows = iter(some_rows(1))
    with pytest.raises(ConfigError, match=message):
        index.write_rows(rows, tmp_path / out)
    assert len(list(rows)) == 1


def test_a_folder_in_the_place_of_the_file(tmp_path):
    (tmp_path / "i.jsonl").mkdir()
    with pytest.raises(ConfigError, match=r"i\.jsonl: is a folder; name a file"):
        index.check_out(tmp_path / "i.jsonl")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="a folder of the kernel's, in which nothing can be made")
def test_a_folder_that_takes_no_file():
    with pytest.raises(ConfigError, match=r"^/proc/i\.jsonl: cannot be written "):
        index.check_out("/proc/i.jsonl")


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_an_error_leaves_the_old_file(tmp_path, suffix, rows):
    def failing():
        yield rows[0]
        raise KeyboardInterrupt

    out = tmp_path / f"i{suffix}"
    index.write_rows(rows, out)
    with pytest.raises(KeyboardInterrupt):
        index.write_rows(failing(), out)
    assert len(list(index.read_rows(out))) == len(rows)
    assert list(tmp_path.iterdir()) == [out]


def test_importing_it_is_light():
    code = (
        "import sys, rspnet.data.index, rspnet.data.layouts\n"
        "print([m for m in ('torch', 'av', 'datasets') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


MILLION = """
import resource, sys, time
import pyarrow as pa
from rspnet.data import index
from rspnet.data.rows import SCHEMA
import datasets, torch

number = 1_000_000
videos = [f"train/class{n % 400:03d}/video_{n:07d}_000010_000020.mp4" for n in range(number)]
facts = {"video": videos, "root": ["/data"] * number, "label": [video[6:14] for video in videos]}
facts |= {"split": ["val" if n % 20 == 0 else "train" for n in range(number)], "status": ["ok"] * number}
facts |= {"num_frames": [250] * number, "fps": [25.0] * number, "codec": ["h264"] * number}
columns = [pa.array(facts.get(field.name, [None] * number), field.type) for field in SCHEMA]
rows = pa.table(columns, schema=SCHEMA)
index.batches = lambda table: table.to_batches(10_000)
index.keep(index._table(rows), "key", sys.argv[1])
del videos, facts, columns, rows

def own():  # memory of this process alone, MB
    lines = dict(line.split(":") for line in open("/proc/self/status"))
    return int(lines["RssAnon"].split()[0]) / 1024

before, began = own(), time.process_time()
dataset = index.cached("key", sys.argv[1])
train, _ = index.select(dataset, "train")
index.check_labels(train)
assert index.labelled_splits(dataset) == {("train", True), ("val", True)}
assert train[[3, 949_999]]["video"][1].endswith("0999999_000010_000020.mp4")
assert len(train) == 950_000
print(time.process_time() - began, own() - before)
"""


@pytest.mark.slow
def test_a_million_rows_are_soon_there(tmp_path):
    """By a process's own time, since a machine may have others; memory beside the mapped file."""
    made = subprocess.run([sys.executable, "-c", MILLION, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    seconds, megabytes = map(float, made.stdout.split())
    assert seconds < 2
    assert megabytes < 300
