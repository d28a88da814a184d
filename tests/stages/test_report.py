"""The page of a run as its command makes it, and as runs leave it."""

import json

import pytest

from rspnet.console import some
from rspnet.errors import ConfigError
from rspnet.temporary import temporary
from stages.report import Config, main
from tests.report.test_page import check
from tests.support.run_folders import write_run


def test_of_one_run_and_of_several(tmp_path, capsys):
    folders = [str(write_run(tmp_path / name, "finetune", fold=fold)) for fold, name in enumerate(("one", "two"), 1)]
    for runs in (folders[:1], folders):
        out = str(tmp_path / f"{len(runs)}.html")
        temporary(tmp_path / "killed.html").touch()
        result = main(Config(runs, out=out))
        printed, said = capsys.readouterr()
        assert json.loads(printed) == result == {"stage": "report", "runs": len(runs), "out": out, "failed": []}
        said_first = f"making a page of {some(len(runs), 'run')}"
        assert said == f"{said_first}; with many videos that takes a minute or two\nwritten to {out}\n"
        assert not list(tmp_path.glob(".killed*"))
        check((tmp_path / f"{len(runs)}.html").read_text(encoding="utf-8"))


def test_mistakes(tmp_path, capsys):
    one = str(write_run(tmp_path / "one", "finetune"))
    two = str(write_run(tmp_path / "two", "finetune"))
    out = str(tmp_path / "r.html")
    for config, words in (
        (Config([one, f"{one}/"], out=out), "runs: one is named twice; leave it out"),
        (Config([one, two], features="f.parquet", out=out), "--features: belongs to one run"),
        (Config([str(tmp_path)], out=out), "is not the folder of a run"),
        (Config([str(tmp_path / "none")], out=out), "no such folder"),
        (Config([f"{one}/index.parquet"], out=out), "index.parquet: is a file; name the folder of a run"),
        (Config([one], features=str(tmp_path / "f.parquet"), out=out), "no such features"),
        (Config([one], out=str(tmp_path / "r.pdf")), "ends in .html"),
    ):
        with pytest.raises(ConfigError, match=words):
            main(config)
    assert not (tmp_path / "r.html").exists()
    assert capsys.readouterr().err == ""  # nothing is begun


def test_runs_leave_one(pretrained, finetuned):
    for folder in (pretrained, finetuned):
        text = (folder / "report.html").read_text(encoding="utf-8")
        check(text)
        assert "This could not be made" not in text
        assert "report.html" not in (folder / "manifest.json").read_text()  # it may be made anew
