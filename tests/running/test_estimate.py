"""An estimate's folder: it goes when that ends, and what lies in its place stays. What one says: tests/stages."""

import pytest

from rspnet.errors import ConfigError
from rspnet.lock import locked
from rspnet.running.estimate import _for_a_while


def test_an_estimate_that_is_in_the_way_or_somebodys(tmp_path):
    folder = tmp_path / "run.estimate"
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    taken = pytest.raises(ConfigError, match=r"run\.estimate: exists, and is not that of an estimate")
    with taken, _for_a_while(folder):
        pytest.fail("it began")
    assert (folder / "thesis.txt").read_text() == "mine"
    (folder / "thesis.txt").unlink()
    (folder / "config.yaml").write_text("estimate: true\n")
    (folder / ".lock").touch()
    with locked(folder / ".lock"), taken, _for_a_while(folder):
        pytest.fail("it began")
    with _for_a_while(folder):  # of one that was killed
        assert not folder.exists()
    deep = tmp_path / "new" / "folders" / "run.estimate"
    with _for_a_while(deep):
        deep.mkdir(parents=True)
        (deep / "config.yaml").write_text("estimate: true\n")
        (deep / ".lock").touch()
    assert not (tmp_path / "new").exists()
