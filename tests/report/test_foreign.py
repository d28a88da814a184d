"""Features that are none of a run are refused."""

import hashlib

import pytest

from rspnet.errors import ConfigError
from rspnet.report.record import Record
from tests.support.findings import write_features
from tests.support.run_folders import rows, write_run

OWN = hashlib.sha256(b"weights").hexdigest()


@pytest.mark.parametrize("stage", ["evaluate", "finetune"])
def test_of_other_weights_or_other_videos(tmp_path, stage):
    """Under another folder's name they are the same videos."""
    folder = write_run(tmp_path / "run", stage, videos=rows(names=("a/0.mp4", "a/1.mp4")), weights_sha256=OWN)
    (folder / "encoder.safetensors").write_bytes(b"weights")
    path = str(tmp_path / "f.parquet")
    write_features(path, [[1.0], [2.0]], names=["1.mp4", "2.mp4"], weights_sha256=OWN)
    assert Record.read(folder, path).features is not None
    write_features(path, [[1.0], [2.0]], names=["x/7.mp4", "x/8.mp4"], weights_sha256=OWN)
    with pytest.raises(ConfigError, match=r"has features of x/7\.mp4 and others, but of no video of .*run; "):
        Record.read(folder, path)
    write_features(path, [[1.0], [2.0]], names=["1.mp4", "2.mp4"], weights_sha256="0")
    with pytest.raises(ConfigError, match=r"holds features of other weights \(None\) than "):
        Record.read(folder, path)


def test_where_the_folder_does_not_tell_there_is_nothing_to_compare(tmp_path):
    folder = write_run(tmp_path / "run", "pretrain")
    (folder / "index.parquet").unlink()
    path = str(tmp_path / "f.parquet")
    write_features(path, [[1.0], [2.0]])
    assert Record.read(folder, path).features is not None


def test_of_trained_weights_for_a_test_of_fresh_ones(tmp_path):
    folder = write_run(tmp_path / "run", "evaluate", protocol="knn", weights="none", weights_sha256=None, seed=3)
    path, named = str(tmp_path / "f.parquet"), ["down/0.mp4", "down/1.mp4"]
    for other in ({"weights_sha256": OWN}, {"seed": 4}):
        write_features(path, [[1.0], [2.0]], names=named, **other)
        with pytest.raises(ConfigError, match=r"features of other weights .*--weights none --run\.seed 3$"):
            Record.read(folder, path)
    write_features(path, [[1.0], [2.0]], names=[row["video"] for row in rows()][:2], seed=3)
    assert Record.read(folder, path).features is not None
