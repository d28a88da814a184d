"""The table of several runs as it is shown."""

import json

import pytest

from rspnet.errors import ConfigError
from stages.table import Config, main
from tests.running.test_table import write


def test_what_is_shown(tmp_path, capsys):
    folders = [str(write(tmp_path / str(fold), fold=fold, top1=10.0 * fold)) for fold in (1, 2)]
    main(Config(runs=folders))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "measured  arch  weights   folds      seeds  top1          top5",
        "finetune  c3d   runs/c3d  1, 2 of 3  0      15.00 ± 7.07  50.00 ± 0.00",
        "finetune, c3d: fold 3 of 3 is missing",
        "2 results in 1 row",
    ]
    main(Config(runs=folders[:1]))
    assert "finetune, c3d: folds 2, 3 of 3 are missing" in capsys.readouterr().err.splitlines()
    main(Config(runs=folders, format="markdown"))
    assert capsys.readouterr().out.splitlines()[1:] == [
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| finetune | c3d | runs/c3d | 1, 2 of 3 | 0 | 15.00 ± 7.07 | 50.00 ± 0.00 |",
    ]
    main(Config(runs=folders, format="csv"))
    assert capsys.readouterr().out.splitlines()[0] == "measured,arch,weights,folds,seeds,top1,top5"
    main(Config(runs=folders, format="json"))
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["missing_folds"], row["measures"]["top1"]["mean"]) == ([3], 15)
    assert [run["fold"] for run in row["runs"]] == [1, 2]


def test_a_run_that_is_named_twice(tmp_path):
    one = write(tmp_path / "one")
    with pytest.raises(ConfigError, match="one is named twice, and would count twice; leave it out"):
        main(Config(runs=[str(one), f"{one}/../one"]))
