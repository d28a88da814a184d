"""Text files as editors save them."""

import pytest

from rspnet.data.texts import read_lines, read_text
from rspnet.errors import ConfigError


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_lines_from_any_editor(tmp_path, ends, encoding):
    (tmp_path / "a.txt").write_bytes(f" ä b {ends}{ends}c".encode(encoding))
    assert list(read_lines(tmp_path / "a.txt")) == [(1, "ä b"), (3, "c")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("ab\nä".encode("latin-1"), r"a\.txt:2: not UTF-8 text; save the file as UTF-8"),
        ("a\nb".encode("utf-16"), r"a\.txt: UTF-16 text; save the file as UTF-8"),
        ("a\nb".encode("utf-16-le"), r"a\.txt: UTF-16 text; save the file as UTF-8"),
        ("a\nb".encode("utf-16-be"), r"a\.txt: UTF-16 text; save the file as UTF-8"),
        (None, r"a\.txt: cannot be read \(No such file"),
    ],
)
def test_what_cannot_be_read(tmp_path, content, message):
    if content is not None:
        (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_text(tmp_path / "a.txt")
