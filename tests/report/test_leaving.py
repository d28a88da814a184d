"""A run leaves a report, and a report that fails is no reason to fail."""

import numpy as np
from markupsafe import escape

from rspnet.report import page
from rspnet.report.leaving import leave
from tests.support.findings import write_features
from tests.support.run_folders import write_run


def test_it_is_there(tmp_path, capsys):
    folder = write_run(tmp_path / "f", "finetune")
    leave(folder)
    assert (folder / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert capsys.readouterr() == ("", "")


def test_it_is_made_in_brief_and_says_how_to_make_all_of_it(tmp_path):
    """Nothing is lacking where there are no features, and nothing is said."""
    folder = write_run(tmp_path / "a run", "evaluate")
    leave(folder)
    assert "in brief" not in (folder / "report.html").read_text(encoding="utf-8")
    write_features(folder / "features.parquet", np.random.default_rng(0).normal(size=(12, 4)))
    leave(folder)
    text = (folder / "report.html").read_text(encoding="utf-8")
    command = f"python stages/report.py '{folder}' --out '{folder / 'report.html'}'"
    assert f">{escape(command)}</code>" in text
    assert "t-SNE)" not in text
    assert page.write([folder], folder / "report.html") == []
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "in brief" not in text
    assert "Neighbourhoods (t-SNE)" in text


def test_why_it_is_not_there_is_said_in_a_line(tmp_path, capsys, monkeypatch):
    folder = write_run(tmp_path / "f", "finetune")
    (folder / "report.html").mkdir()
    (folder / "report.html" / "mine").touch()
    leave(folder)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("no report.html (")
    assert err.endswith("; the run is not affected, and stages/report.py may make it\n")
    assert err.count("\n") == 1

    def broken(record):
        raise MemoryError("much")

    monkeypatch.setattr(page, "SECTIONS", (broken,))
    (folder / "report.html" / "mine").unlink()
    (folder / "report.html").rmdir()
    leave(folder)
    assert capsys.readouterr().err == "report.html: without section broken: MemoryError: much\n"
