"""Evaluations that lie in a run's folder."""

import re

from rspnet.report.evaluations import evaluations
from rspnet.report.record import Record
from tests.support.run_folders import write_run


def test_each_is_told_by_its_first_numbers(tmp_path):
    folder = write_run(tmp_path / "p", "pretrain")
    assert evaluations(Record.read(folder)) is None
    knn = {"top1": 20.0, "top5": 90.0, "num_videos": 5, "chance_top1": 10.0}
    write_run(folder / "knn_linear_1", "evaluate", protocol="knn,linear", knn=knn, linear=knn | {"top1": 30.0})
    write_run(folder / "classify_2", "evaluate")
    write_run(folder / "unfinished", "evaluate", result=None)
    write_run(folder / "tuned", "finetune")
    (folder / "damaged").mkdir()
    (folder / "damaged/result.json").write_text("{")
    html = evaluations(Record.read(folder)).html
    found = r'<th scope="row">(\w+)</th><td>top-1</td><td>([^<]+)</td><td class="figure">([\d.]+)</td>'
    rows = re.findall(found, html)
    assert rows == [
        ("classify_2", "classifier", "60.0"),
        ("knn_linear_1", "kNN probe", "20.0"),
        ("knn_linear_1", "linear probe", "30.0"),
    ]
    assert evaluations(Record.read(folder / "classify_2")) is None
