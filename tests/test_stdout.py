"""What goes to stdout: as it is to files and pipes, escaped on a terminal, and named where a disk is full."""

import sys

import pytest

from rspnet import stdout
from rspnet.errors import DiskError


def test_a_result_that_nobody_can_keep(monkeypatch):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(DiskError, match=r"^standard output: .*its disk is full"):
            stdout.print_line("result")


@pytest.mark.parametrize("is_terminal", [False, True])
def test_results_on_a_terminal(capsys, monkeypatch, is_terminal):
    """In a file and in a pipe they are as they are."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: is_terminal)
    stdout.print_line('"é\x9b"')
    assert capsys.readouterr().out == ('"é\\u009b"\n' if is_terminal else '"é\x9b"\n')


@pytest.mark.parametrize(("encoding", "line"), [("utf-8", '{"打": "é"}\n'), ("latin-1", '{"\\u6253": "\\u00e9"}\n')])
def test_names_stay_as_people_write_them(tmp_path, monkeypatch, encoding, line):
    with open(tmp_path / "out", "w", encoding=encoding) as out:
        monkeypatch.setattr(sys, "stdout", out)
        stdout.print_json({"打": "é"})
    assert (tmp_path / "out").read_text(encoding=encoding) == line
