"""Results of several runs in one table: what is averaged, and what never is."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from rspnet.errors import ConfigError
from rspnet.running.table import read, rows

SAID = {"stage": "finetune", "data_fingerprint": "d", "weights": "runs/c3d", "weights_sha256": "w", "precision": "no"}


def write(folder, *, fold=1, seed=0, num_folds=3, options=None, **said):
    folder.mkdir()
    options = {"frozen": False, "encoder": {"name": "c3d"}, "optim": {"lr": 0.1}} | (options or {})
    own = {"data": {"root": str(folder), "fold": fold}, "run": {"seed": seed}, "run_dir": str(folder)}
    (folder / "config.yaml").write_text(yaml.safe_dump(options | own))
    defaults = {"top1": 10.0, "top5": 50.0, "num_videos": 5, "chance_top1": 10.0}
    result = SAID | ({} if "protocol" in said or "top1" in said else defaults) | {"fold": fold, "seed": seed} | said
    if "top1" in result:
        result = defaults | result
    (folder / "result.json").write_text(json.dumps(result))
    pq.write_table(pa.table({"folds": [["train"] * num_folds] * 2}), folder / "index.parquet")
    return folder


def table(*folders, any_weights=False):
    return rows([one for folder in folders for one in read(folder)], any_weights=any_weights)


def test_mean_over_folds_of_means_over_seeds(tmp_path):
    values = {(1, 0): 40.0, (1, 1): 60.0, (2, 0): 70.0}
    folders = [write(tmp_path / f"{f}{s}", fold=f, seed=s, top1=top1) for (f, s), top1 in values.items()]
    (row,) = table(*folders)
    spread = row.spreads()["top1"]
    assert (spread.mean, spread.low, spread.high) == (60, 40, 70)
    assert spread.deviation == pytest.approx(200**0.5)  # of 50 and 70
    assert (row.folds, row.missing_folds) == ([1, 2], [3])
    (one_fold,) = table(*folders[:2])
    assert one_fold.spreads()["top1"].deviation == pytest.approx(200**0.5)  # of 40 and 60
    (single,) = table(folders[2])
    assert single.spreads()["top1"].deviation is None


@pytest.mark.parametrize(
    "other",
    [
        {"options": {"encoder": {"name": "s3dg"}}},
        {"options": {"optim": {"lr": 0.2}}},
        {"data_fingerprint": "e"},
        {"weights_sha256": None},
        {"precision": "fp16"},
        {"stage": "evaluate", "protocol": "knn", "top1": 20.0},
    ],
    ids=str,
)
def test_what_is_never_averaged(tmp_path, other):
    one, two = write(tmp_path / "one", fold=1), write(tmp_path / "two", fold=2, **other)
    apart = table(one, two)
    assert [len(row.results) for row in apart] == [1, 1]
    assert "optim.lr" not in other.get("options", {}) or apart[1].apart == "optim.lr 0.2"
    assert len(table(one, two, any_weights=True)) == (1 if "weights_sha256" in other else 2)


def test_protocols_of_one_pass_have_rows_of_their_own(tmp_path):
    several = {"retrieval": {"recall": {"1": 3.0, "5": 9.0}}, "knn": {"top1": 4.0, "top5": 8.0}}
    for each in several.values():
        each |= {
            "num_queries": 5,
            "num_gallery": 9,
            "num_videos": 5,
            "chance_top1": 10.0,
            "chance": {"1": 1.0, "5": 5.0},
        }
    folder = write(tmp_path / "both", stage="evaluate", protocol="retrieval,knn", arch="c3d", **several)
    retrieval, knn = table(folder)
    assert {name: spread.mean for name, spread in retrieval.spreads().items()} == {"recall@1": 3, "recall@5": 9}
    assert {name: spread.mean for name, spread in knn.spreads().items()} == {"top1": 4, "top5": 8}


def test_what_would_count_twice_or_is_not_done(tmp_path):
    one, again = write(tmp_path / "one"), write(tmp_path / "again")
    with pytest.raises(
        ConfigError, match=r"one and \S+again: are the same kind of run with fold 1 and seed 0; leave one out"
    ):
        table(one, again)
    (again / "result.json").unlink()
    with pytest.raises(ConfigError, match="again: this run is not finished: start it again, or leave it out"):
        table(one, again)
    with pytest.raises(ConfigError, match="is not a run folder"):
        read(tmp_path)


def test_what_would_count_twice_beside_other_weights(tmp_path):
    """Also where a run with other weights, which may count, stands between the two."""
    names = {"one": "a", "other": "b", "again": "a"}
    folders = [write(tmp_path / name, weights_sha256=sha256) for name, sha256 in names.items()]
    with pytest.raises(ConfigError, match=r"one and \S+again: "):
        table(*folders, any_weights=True)
    (row,) = table(*folders[:2], any_weights=True)
    assert len(row.results) == 2


def test_the_test_of_a_fine_tuned_network_counts_by_the_weights_that_this_began_with(tmp_path):
    for fold in (1, 2):
        tuned = write(tmp_path / f"tuned{fold}", fold=fold)
        said = {"arch": "c3d", "kwargs": {}, "clip": {}, "weights": {"sha256": f"t{fold}"}}
        (tuned / "encoder.json").write_text(json.dumps(said | {"provenance": {"weights_sha256": "w"}}))
        named = {"weights": str(tuned), "weights_sha256": f"t{fold}", "arch": "c3d", "top1": 10.0 * fold}
        write(tmp_path / f"test{fold}", fold=fold, stage="evaluate", protocol="classify", **named)
    (row,) = table(tmp_path / "test1", tmp_path / "test2")
    assert row.spreads()["top1"].mean == 15
