"""What arrives is whole, or nothing is there."""

import pytest

from rspnet.disk import arriving, identity


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_and_a_folder_arrive_whole(tmp_path):
    with arriving(tmp_path / "new/file") as partial:
        partial.write_text("half")
        assert not (tmp_path / "new/file").exists()
        partial.write_text("whole")
    assert (tmp_path / "new/file").read_text() == "whole"
    with arriving(tmp_path / "new/folder") as partial:
        (partial / "inside").mkdir(parents=True)
        (partial / "inside/file").write_text("a")
    assert (tmp_path / "new/folder/inside/file").read_text() == "a"
    assert names(tmp_path / "new") == ["file", "folder"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_is_left_of_what_did_not(tmp_path, error):
    def interrupted():
        with arriving(tmp_path / "folder") as partial:
            partial.mkdir()
            (partial / "file").write_text("a")
            raise error

    with pytest.raises(error):
        interrupted()
    assert names(tmp_path) == []


def test_what_has_got_the_name_meanwhile_stays(tmp_path):
    def overtaken():
        with arriving(tmp_path / "file") as partial:
            partial.write_text("mine")
            (tmp_path / "file").write_text("another's")

    with pytest.raises(FileExistsError, match="file: exists"):
        overtaken()
    assert (tmp_path / "file").read_text() == "another's"
    assert names(tmp_path) == ["file"]


def test_the_rest_of_a_killed_attempt_is_cleared_away(tmp_path):
    (tmp_path / ".file.partial/old").mkdir(parents=True)
    with arriving(tmp_path / "file") as partial:
        partial.write_text("new")
    assert names(tmp_path) == ["file"]


def test_identity_tells_files_apart(tmp_path):
    for name, text in (("a", "text"), ("b", "texT"), ("c", "text")):
        (tmp_path / name).write_text(text)
    a, b, c = (identity(tmp_path / name) for name in "abc")
    assert a == c != b
    assert (a["bytes"], len(a["sha256"])) == (4, 64)
