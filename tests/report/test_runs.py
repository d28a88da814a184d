"""Several runs side by side."""

import re

from rspnet.report.record import Record
from rspnet.report.runs import apart, options, runs, together
from tests.support.run_folders import write_lines, write_run


def test_one_table_with_means_over_folds(tmp_path):
    folders = [write_run(tmp_path / f"fold{fold}", "finetune", fold=fold, top1=50.0 + fold) for fold in (1, 2)]
    records = [Record.read(folder) for folder in folders]
    html = runs(records).html
    assert re.findall(r'<th scope="row">(fold\d)</th><td>finetune</td><td>resnet18</td>', html) == ["fold1", "fold2"]
    assert '<td class="figure">51.0 [' in html
    assert "51.50 ± 0.71" in html
    assert runs(records).note == ""


def test_many_numbers_are_left_to_the_section_below(tmp_path):
    names = ("knn", "linear", "speed", "arrow_of_time", "pretext")
    score = {"top1": 60.0, "top5": 90.0, "num_videos": 5, "chance_top1": 33.0}
    scores = dict.fromkeys(names[:2], score)
    few = write_run(tmp_path / "few", "evaluate", protocol="knn,linear", **scores)
    assert "top-1, kNN probe" in runs([Record.read(few)] * 2).html
    probed = {"top1": 60.0, "num_videos": 5, "left_out": 0, "controls": dict.fromkeys(("shuffled", "still"), score)}
    scores |= dict.fromkeys(names[2:4], probed)
    scores["pretext"] = {"rsp_accuracy": 60.0, "avid_top1": 9.0, "chance": {"rsp_accuracy": 50.0, "avid_top1": 1.0}}
    scores["pretext"] |= {"num_negatives": 4, "num_videos": 5, "left_out": 0}
    many = write_run(tmp_path / "many", "evaluate", protocol=",".join(names), **scores)
    html = runs([Record.read(many)] * 2).html
    assert "top-1, kNN probe" not in html
    assert "many" in html


def test_what_is_not_finished_is_said(tmp_path):
    records = [Record.read(write_run(tmp_path / "one", "finetune"))]
    records.append(Record.read(write_run(tmp_path / "two", "finetune", result=None)))
    section = runs(records)
    assert section.note == "Not finished, and so without a result: two."
    assert "Means" not in section.html


def test_two_of_one_kind_are_not_averaged(tmp_path):
    html = runs([Record.read(write_run(tmp_path / name, "finetune")) for name in ("one", "two")]).html
    assert "No means: " in html
    assert "leave one out" in html


def test_options_that_differ_alone(tmp_path):
    lr = {"optim": {"epochs": 4, "total_batch": 6, "lr": 0.2}}
    records = [Record.read(write_run(tmp_path / "one", "pretrain"))]
    records.append(Record.read(write_run(tmp_path / "two", "pretrain", options=lr)))
    html = options(records).html
    assert '<th scope="row">optim.lr</th><td>0.1</td><td>0.2</td>' in html
    assert "epochs" not in html
    assert "run_dir" not in html
    assert options(records[:1] * 2).note == "No option: all of them are the same."


def test_how_far_apart(tmp_path):
    records = []
    for name, right in (("one", 3), ("two", 17)):
        folder = write_run(tmp_path / name, "evaluate", protocol="knn")
        lines = [{"video": f"{n}", "label": "a", "predicted": ["a" if n < right else "b"]} for n in range(20)]
        write_lines(folder / "predictions.jsonl", lines)
        records.append(Record.read(folder))
    html = apart(records).html
    assert '<th scope="row">two</th><td>one</td><td>knn</td><td class="figure">+70.0</td>' in html
    assert "better" in html
    assert "paired, 20 videos" in html
    for record in records:
        for line in record.predictions["knn"]:
            line["video"] = f"v_Archery_g{int(line['video']) % 4:02d}_c{line['video']}.avi"
    assert "paired, 20 videos of 4 films" in apart(records).html
    assert apart([records[0], Record.read(write_run(tmp_path / "p", "pretrain"))]).note.startswith("No two of them")


def test_curves_over_one_another(tmp_path):
    records = [Record.read(write_run(tmp_path / name, "pretrain")) for name in ("one", "two")]
    assert "one" in together(records).html
    records = [Record.read(write_run(tmp_path / "e", "evaluate")), records[0]]
    assert together(records).note == "No two of them have logged the same."
