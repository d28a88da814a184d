"""A run leaves a report, and a report that fails is no reason to fail."""

from rspnet.report import page
from rspnet.report.leaving import leave
from tests.support.run_folders import write_run


def test_it_is_there(tmp_path, capsys):
    folder = write_run(tmp_path / "f", "finetune")
    leave(folder)
    assert (folder / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert capsys.readouterr() == ("", "")


def test_why_it_is_not_there_is_said_in_a_line(tmp_path, capsys, monkeypatch):
    folder = write_run(tmp_path / "f", "finetune")
    (folder / "report.html").mkdir()
    (folder / "report.html" / "mine").touch()
    leave(folder)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("no report.html, which changes nothing else (")
    assert err.count("\n") == 1

    def broken(record):
        raise MemoryError("much")

    monkeypatch.setattr(page, "SECTIONS", (broken,))
    (folder / "report.html" / "mine").unlink()
    (folder / "report.html").rmdir()
    leave(folder)
    assert capsys.readouterr().err == "report.html: without section broken: MemoryError: much\n"
