"""A folder that loses its name under a run."""

import os
import shutil

import pytest

from rspnet.errors import LostError
from rspnet.running.place import Place


@pytest.mark.parametrize("made_again", [False, True])
@pytest.mark.parametrize("lose", [shutil.rmtree, lambda path: path.rename(path.with_name("other"))])
def test_a_folder_that_is_not_there_any_more_is_missed(tmp_path, lose, made_again):
    path = tmp_path / "run"
    path.mkdir()
    with Place(path) as place:
        (path / "file").write_text("a")
        place.check()
        lose(path)
        if made_again:  # by another run, with the same number perhaps
            path.mkdir()
        with pytest.raises(LostError, match=f"^{path}: was removed or renamed while this wrote to it; "):
            place.check()


def test_a_folder_behind_a_link_may_be_moved_with_it(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "run").symlink_to("real")
    with Place(tmp_path / "run") as place:
        (tmp_path / "real").rename(tmp_path / "elsewhere")
        os.replace(tmp_path / "run", tmp_path / "old")
        (tmp_path / "run").symlink_to("elsewhere")
        place.check()
