"""benchmarks/study.py: which commands a study is, what is done again, and what its file of results says."""

import json
import random
import re
import sys
from itertools import cycle, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
import yaml

from rspnet.cli.config import parse
from rspnet.data.index import new_row, to_dataset
from rspnet.evaluation.features import Features
from rspnet.evaluation.predict import Outputs
from rspnet.evaluation.protocols import few_shot
from rspnet.report.record import Record
from stages import evaluate, finetune, pretrain
from tests.support.pages import REPO

sys.path.insert(0, str(REPO / "benchmarks"))
import study_run
from study_results import SHOTS, UNTESTED, Results, by_a_few, in_both, measured
from study_run import FOLDS, Run, chosen
from study_tables import against, ahead, dig, drawn_of, gain, study
from study_videos import HELD_OUT, copied, folded, inner, listed

STUDIES = sorted((REPO / "benchmarks" / "studies").glob("*.yaml"))


def said(**changes):
    """A study of two rows."""
    found = {
        "data": {"name": "films", "short_side": 64, "split": "inner"},
        "seeds": [1, 2],
        "pretrain": {"config": "configs/demo.yaml", "clips.size": 48},
        "measures": {"frozen": {"stage": "evaluate", "protocol": "knn,pretext"}},
        "rows": {"fresh weights": None, "base": {"clips.size": 32, "optim.lr": 0.2}},
    }
    return found | changes


def test_a_row_is_commands_and_what_shapes_clips_holds_for_the_measures(tmp_path):
    run = Run(said(), "base", 2, tmp_path / "videos.jsonl", tmp_path)
    (_, pretrain), (name, evaluate) = run.commands()
    assert pretrain[0] == "stages/pretrain.py"
    assert evaluate[0] == "stages/evaluate.py"
    assert name == "frozen"
    for words in (pretrain, evaluate):
        assert words[words.index("--clips.size") + 1] == "32"
        assert words[words.index("--run.seed") + 1] == "2"
    assert evaluate[evaluate.index("--weights") + 1] == pretrain[pretrain.index("--run_dir") + 1]
    assert evaluate[evaluate.index("--protocol") + 1] == "knn,pretext"
    assert "--optim.lr" not in evaluate


def test_fresh_weights_are_not_pretrained_nor_asked_for_its_tasks(tmp_path):
    ((_, evaluate),) = Run(said(), "fresh weights", 1, tmp_path / "videos.jsonl", tmp_path).commands()
    assert evaluate[evaluate.index("--weights") + 1] == "none"
    assert evaluate[evaluate.index("--protocol") + 1] == "knn"


def test_a_file_that_pretraining_names_shapes_the_measures_of_fresh_weights_too(tmp_path):
    rows = said(pretrain={"config": "configs/small.yaml"}, rows={"fresh weights": None, "base": None, "other": {}})
    words = [Run(rows, name, 1, tmp_path / "videos.jsonl", tmp_path).commands()[-1][1] for name in rows["rows"]]
    for command in words:
        for name, value in (("clips.size", "48"), ("clips.num_frames", "8"), ("encoder.width", "16")):
            assert command[command.index(f"--{name}") + 1] == value


def test_a_row_that_was_changed_has_a_folder_of_its_own(tmp_path):
    index = tmp_path / "videos.jsonl"
    one, again = (Run(said(), "base", 1, index, tmp_path) for _ in range(2))
    other = Run(said(rows={"fresh weights": None, "base": {"optim.lr": 0.1}}), "base", 1, index, tmp_path)
    assert one.folder == again.folder != other.folder
    measures = {"frozen": {"stage": "evaluate", "protocol": "knn"}}
    less = Run(said(measures=measures), "base", 1, index, tmp_path)
    assert less.folder == one.folder
    assert less.recipe != one.recipe
    assert less.commands()[0] == one.commands()[0]
    assert less.commands()[1][1][-1] != one.commands()[1][1][-1]
    fresh = [Run(said(pretrain=options), "fresh weights", 1, index, tmp_path) for options in ({}, {"optim.lr": 0.1})]
    assert fresh[0].folder == fresh[1].folder
    assert one.recipe == Run(said(), "base", 2, tmp_path / "elsewhere.jsonl", tmp_path / "there").recipe


def test_a_file_that_was_changed_is_another_recipe(tmp_path, monkeypatch):
    monkeypatch.setattr(study_run, "HERE", tmp_path)
    runs = []
    for rate in (0.1, 0.2):
        (tmp_path / "a.yaml").write_text(f"clips: {{size: 32}}\noptim: {{lr: {rate}}}\n")
        runs.append(Run(said(pretrain={"config": "a.yaml"}), "base", 1, tmp_path / "videos.jsonl", tmp_path))
    assert runs[0].folder == runs[1].folder  # the row says its own rate
    for rate in (16, 24):
        (tmp_path / "a.yaml").write_text(f"optim: {{epochs: {rate}}}\n")
        runs.append(Run(said(pretrain={"config": "a.yaml"}), "base", 1, tmp_path / "videos.jsonl", tmp_path))
    assert len({run.folder for run in runs}) == len({run.recipe for run in runs}) == 3


def finished(run, *rights):
    """Leave what the commands of a run would have: of each whether it is right on its videos; of each the first one
    is pretrained on."""
    lists = [{"video": f"{part}0.mp4", "split": "train", "folds": None} for part in range(len(rights))]
    run.index.write_text("".join(json.dumps(row) + "\n" for row in lists))
    for part, ((_, words), right) in enumerate(zip(run.commands(), rights, strict=True)):
        folder = Path(words[-1])
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(yaml.safe_dump({"protocol": "knn", "stage": words[0]}))
        score = {"stage": "evaluate", "protocol": "knn", "top1": 100 * sum(right) / len(right), "device_hours": 0.25}
        score |= {"top5": 100.0, "chance_top1": 50.0, "chance_top5": 100.0, "num_videos": len(right), "num_gallery": 9}
        (folder / "result.json").write_text(json.dumps(score))
        lines = [
            {"video": f"{part}{place}.mp4", "label": "ab"[place % 2], "predicted": ["ab"[place % 2 ^ miss]]}
            for place, miss in enumerate(not is_right for is_right in right)
        ]
        (folder / "predictions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_results_are_kept_run_by_run_and_become_a_table(tmp_path):
    rows = said(measures={"frozen": {"stage": "evaluate", "protocol": "knn"}})
    fresh = Run(rows, "fresh weights", 1, tmp_path / "videos.jsonl", tmp_path)
    better = Run(rows | {"rows": {"base": None}}, "base", 1, tmp_path / "videos.jsonl", tmp_path / "base")
    with Results(tmp_path / "s.json", rows) as results:
        for run, right in ((better, [1, 1, 0, 1, 1, 1, 0, 1]), (fresh, [1, 0, 0, 0, 1, 0, 0, 0])):
            assert not results.has(run)
            finished(run, right)
            results.add(run)
            results.add(run)
            assert results.has(run)
        with pytest.raises(SystemExit, match="another study is writing"), Results(tmp_path / "t.json", rows):
            pass
    found = json.loads((tmp_path / "s.json").read_text())
    assert [(run["row"], run["device_hours"]) for run in found["runs"]] == [("fresh weights", 0.25), ("base", 0.25)]
    assert found["classes"] == ["a", "b"]
    assert found["labels"] == "abababab"
    assert found["runs"][1]["said"] == {"knn": "abbbabbb"}
    difference, (low, high) = ahead(found, found["runs"][1:], found["runs"][:1], "knn")
    assert 0 < low < difference == 50 < high <= 100
    assert study(found).splitlines()[2:] == [
        f"| fresh weights | 1 |  |  |  | 25.0 (-50.0 [{-high:+.1f}, {-low:+.1f}]) |  |  |",
        "| base | 1 |  |  |  | 75.0 |  |  |",
    ]
    found["runs"][1]["row"], found["shared"] = "pretrained", "--+-----"
    strict, (low, high) = ahead(found, found["runs"][1:], found["runs"][:1], "knn", without=found["shared"])
    assert strict == pytest.approx(100 * 4 / 7)
    assert f"| kNN | 25.0 | 75.0 | +50.0 [+12.5, +87.5] | +57.1 [{low:+.1f}, {high:+.1f}] |" in gain(found)
    found["shared"] = "--------"
    assert found["pretrained_on"] == "+-------"
    assert gain(found).splitlines()[0].endswith("| difference | of videos not pretrained on |")
    found["pretrained_on"] = "--------"
    assert gain(found).splitlines() == [
        "|  | fresh weights (1) | pretrained (1) | difference |",
        "| --- | --- | --- | --- |",
        "| kNN | 25.0 | 75.0 | +50.0 [+12.5, +87.5] |",
    ]


def test_an_interval_is_over_films_and_over_seeds():
    """Against draws one by one; of two seeds that differ it is wider than that over films alone."""
    rng = random.Random(0)
    videos = [f"film{number // 3}_run_f_cm_np1_fr_med_{number}.avi" for number in range(60)]
    said = ["".join(rng.choices("ab", weights, k=60)) for weights in ((8, 2), (5, 5), (4, 6))]
    runs = [{"row": "", "said": {"knn": text}} for text in said]
    found = {"videos": videos, "labels": "a" * 60, "classes": ["run"], "shared": "-" * 60}
    difference, (low, high) = ahead(found, runs[:2], runs[2:], "knn")
    assert difference == pytest.approx(
        100 * (said[0].count("a") / 120 + said[1].count("a") / 120 - said[2].count("a") / 60)
    )
    draws = []
    for _ in range(4000):
        places = [3 * film + at for film in rng.choices(range(20), k=20) for at in range(3)]
        seeds = rng.choices(said[:2], k=2)
        ours = sum(text[place] == "a" for text in seeds for place in places) / 120
        draws.append(100 * (ours - sum(said[2][place] == "a" for place in places) / 60))
    draws.sort()
    assert (low, high) == pytest.approx((draws[100], draws[3900]), abs=2)
    _, (low_alone, high_alone) = ahead(found, runs[:1], runs[2:], "knn")
    assert high - low > 1.2 * (high_alone - low_alone)


def test_a_row_stands_against_many_networks_of_fresh_weights():
    """Of the same videos, in the same order; the second interval is of those that were not pretrained on."""
    videos = {"videos": list("1234"), "labels": "abab", "classes": ["run", "jump"]}
    videos |= {"shared": "----", "pretrained_on": "+---"}

    def run(row, said):
        top1 = 100 * sum(map(str.__eq__, said, videos["labels"])) / 4
        return {"row": row, "seed": said, "measures": {"knn": {"top1": top1}}, "said": {"knn": said}}

    found = videos | {"runs": [run("base", "abab"), run("other", "bbbb")]}
    fresh = videos | {"runs": [run("fresh weights", said) for said in ("bbbb", "baba", "aabb")]}
    head, _, *lines = against(found, fresh, row="base").splitlines()
    assert head == "|  | fresh weights (3) | base (1) | difference | of videos not pretrained on |"
    assert [line.split(" [")[0] for line in lines] == ["| kNN | 33.3 (0 to 50) | 100.0 (100 to 100) | +66.7"]
    assert lines[0].split(" | ")[-1].startswith("+66.7 [")  # 1 of 3 by the first, none, and 2 of 3
    with pytest.raises(ValueError, match="fresh weights were measured on other videos"):
        against(found, fresh | {"videos": list("1243")}, row="base")


def test_draws_of_a_few_labels_are_taken_together():
    runs = [{"row": "", "said": {"few_shot": said}} for said in (["aaab", "aabb"], ["abbb", "bbbb"])]
    found = {"videos": list("1234"), "labels": "aaaa", "classes": ["a"], "shared": "--+-"}
    assert ahead(found, runs[:1], runs[1:], "few_shot")[0] == 100 * (5 - 1) / 8
    assert ahead(found, runs[:1], runs[1:], "few_shot", without=found["shared"])[0] == pytest.approx(100 * (4 - 1) / 6)


def test_what_a_few_labels_say_is_what_is_evaluated():
    rng = np.random.default_rng(0)
    labels, splits = np.arange(80) % 4, np.arange(80) % 3
    values = (rng.normal(size=(80, 6)) + labels[:, None]).astype(np.float32)
    rows = {
        "video": [f"{place}.mp4" for place in range(80)],
        "label": [f"class {number}" for number in labels],
        "split": [("test", "train", "train")[split] for split in splits],
    }
    found = by_a_few(Features(pa.table(rows), values, {}))
    videos = to_dataset([new_row(video, "", label=label, split=split) for video, label, split in zip(*rows.values())])
    train, test = (
        Outputs(videos, torch.from_numpy(np.flatnonzero(of)), torch.from_numpy(values[of]), {})
        for of in (splits > 0, splits == 0)
    )
    told = dict(zip(rows["video"], rows["label"]))
    accuracies = [100 * np.mean([told[video] == said for video, said in draw.items()]) for draw in found]
    assert len(found) == 10
    assert np.mean(accuracies) == pytest.approx(few_shot(test, train).score["top1"][f"{SHOTS}"])


def test_rows_that_a_study_no_longer_has_are_left_out(tmp_path):
    rows = said(measures={"frozen": {"stage": "evaluate", "protocol": "knn"}})
    for names in (["fresh weights", "base"], ["fresh weights", "other"]):
        rows["rows"] = dict.fromkeys(names)
        with Results(tmp_path / "s.json", rows) as results:
            run = Run(rows, names[1], 1, tmp_path / "videos.jsonl", tmp_path / names[1])
            finished(run, [1, 0])
            results.add(run)
    assert [run["row"] for run in json.loads((tmp_path / "s.json").read_text())["runs"]] == ["other"]


def test_runs_of_other_videos_are_not_compared():
    runs = [{"row": "base", "said": {"knn": "ab-"}}, {"row": "base", "said": {"knn": "abb"}}]
    found = {"videos": ["1", "2", "3"], "labels": "abb", "shared": "---", "classes": ["a", "b"]}
    with pytest.raises(ValueError, match="not of the same videos"):
        ahead(found, runs[:1], runs[1:], "knn")


def test_a_data_set_that_is_missing_or_another_one(tmp_path):
    for places, why in (({}, "films: is needed"), ({"films": tmp_path / "none"}, "is no folder")):
        with pytest.raises(SystemExit, match=why):
            copied("films", 64, places, tmp_path, call=print)
    (tmp_path / "films_64.jsonl").write_text(json.dumps({"video": "a.mp4", "source": "/one/a.mp4"}) + "\n")
    assert copied("films", 64, {"films": Path("/one")}, tmp_path, call=print)
    with pytest.raises(SystemExit, match="has copies of other videos"):
        copied("films", 64, {"films": Path("/two")}, tmp_path, call=print)


def test_videos_of_films_that_are_learnt_from_are_named(tmp_path):
    names = [
        f"film{number // 2}_{label}_f_cm_np1_le_bad_{number}.mp4" for number, label in enumerate(["run", "walk"] * 3)
    ]
    splits = ["train", "test", "train", "train", "test", "test"]
    rows = [new_row(name, str(tmp_path), label=name.split("_")[1], split=split) for name, split in zip(names, splits)]
    record = Record(tmp_path, "finetune", {}, {"fold": 1}, [], {}, to_dataset(rows), {}, [], None)
    assert in_both(record) == {names[1]}


def test_no_film_is_learnt_from_and_tested():
    names = [f"film{number // 3}_run_f_cm_np1_le_bad_{number % 3}.mp4" for number in range(60)]
    rows = [{"video": f"run/{name}", "label": "run", "split": None, "folds": ["train"] * 3} for name in names]
    rows[-1]["folds"] = ["test", "train", "train"]
    found = inner(rows)
    sides = {
        split: {row["video"].split("_run_")[0] for row in found if row["split"] == split} for split in ("train", "test")
    }
    assert len(found) == 59
    assert sides["test"]
    assert not sides["train"] & sides["test"]
    assert abs(len(sides["test"]) - HELD_OUT * 20) <= 1


def test_a_row_is_pretrained_on_other_data_beside_and_measured_on_its_own(tmp_path):
    rows = said(rows={"base": {}, "more": {"and_unlabelled": ["others"], "optim.epochs": 2}})
    assert chosen(rows) == {"base": ([], None), "more": (["others"], None)}
    for name in ("films", "others"):
        row = {"video": f"run/{name}_run_f_cm_np1_le_bad_0.mp4", "label": "run", "split": "train", "folds": None}
        (tmp_path / f"{name}_64.jsonl").write_text(json.dumps(row) + "\n")
    data = {"name": "films", "short_side": 64, "split": "official"}
    index = listed(data, ["others"], {}, tmp_path, call=print)
    run = Run(rows, "more", 1, index, tmp_path)
    assert run.recipe != Run(said(rows={"more": {"optim.epochs": 2}}), "more", 1, index, tmp_path).recipe
    (_, pretraining), (_, evaluation) = run.commands()
    assert "--and_unlabelled" not in pretraining
    own, learnt = (
        [json.loads(line) for line in Path(words[2]).read_text().splitlines()] for words in (evaluation, pretraining)
    )
    assert [row["label"] for row in own] == ["run"]
    assert [row["label"] for row in learnt] == ["run", None]


def test_a_row_is_pretrained_on_some_of_the_videos_and_measured_on_all(tmp_path):
    rows = said(rows={"few": {"only": 5}})
    assert chosen(rows) == {"few": ([], 5)}
    videos = [{"video": f"run/{n}_run.mp4", "split": "test" if n < 3 else "train", "folds": None} for n in range(20)]
    (tmp_path / "films_64.jsonl").write_text("".join(json.dumps({"label": "run"} | row) + "\n" for row in videos))
    data = {"name": "films", "short_side": 64, "split": "official"}
    index = listed(data, [], {}, tmp_path, only=5, call=print)
    assert index != listed(data, [], {}, tmp_path, call=print)
    (_, pretraining), (_, evaluation) = Run(rows, "few", 1, index, tmp_path).commands()
    assert "--only" not in pretraining
    learnt, own = (
        {row["video"]: row["split"] for row in map(json.loads, Path(words[2]).read_text().splitlines())}
        for words in (pretraining, evaluation)
    )
    assert len(learnt) == 5
    assert set(learnt.values()) == {"train"}
    assert own == {row["video"]: row["split"] for row in videos}


def test_each_film_is_tested_once_and_learnt_from_otherwise(tmp_path):
    """Parts are about equally large, a film of two classes is in one; a measure is a command for each part."""
    rows = [
        new_row(f"{label}/film{film}_{label}_f_cm_np1_fr_med_{cut}.avi", tmp_path, label, split="train")
        for label, films in {"jump": range(6), "run": range(5, 12)}.items()
        for film in films
        for cut in range(3)
    ]
    parts = folded(rows)
    tested = [[row["video"] for row in parts if row["folds"][part] == "test"] for part in range(FOLDS)]
    assert sorted(video for videos in tested for video in videos) == sorted(row["video"] for row in rows)
    assert {len(videos) for videos in tested} == {9, 12}
    films = [{video.split("/")[1].split("_")[0] for video in videos} for videos in tested]
    assert sum(map(len, films)) == len(set().union(*films)) == 12
    assert not any("None" in str(row["folds"]) for row in parts)
    measures = {
        "tuned": {"stage": "finetune", "videos": "folds"},
        "tasks": {"stage": "evaluate", "protocol": "pretext"},
    }
    names, commands = zip(*Run(said(measures=measures), "base", 1, tmp_path / "videos.jsonl", tmp_path).commands())
    assert names == ("pretrain", *["tuned"] * FOLDS, "tasks")
    folds = commands[1:-1]
    assert all(words[words.index("--data.index") + 1].endswith("videos.folds.jsonl") for words in folds)
    assert [words[words.index("--data.fold") + 1] for words in folds] == list("1234")
    assert "--data.fold" not in commands[-1]
    fresh = Run(said(measures=measures), "fresh weights", 1, tmp_path / "videos.jsonl", tmp_path)
    assert [name for name, _ in fresh.commands()] == ["tuned"] * FOLDS


def test_what_cannot_be_told_of_parts_together_is_refused_before_it_runs(tmp_path):
    measures = {"frozen": {"stage": "evaluate", "protocol": "knn,retrieval", "videos": "folds"}}
    with pytest.raises(ValueError, match="frozen: over folds only classify, knn, linear"):
        Run(said(measures=measures), "base", 1, tmp_path / "videos.jsonl", tmp_path)


def test_parts_that_are_tested_apart_are_told_together(tmp_path):
    measures = {"frozen": {"stage": "evaluate", "protocol": "knn", "videos": "folds"}}
    run = Run(said(measures=measures), "fresh weights", 1, tmp_path / "videos.jsonl", tmp_path)
    finished(run, [1, 1, 1], [1, 0], [1, 0], [1, 0])
    found = measured(run)
    assert found["measures"] == {"knn": {"top1": 66.67, "num_videos": 9}}
    assert len(found["said"]["knn"]) == 9


def test_lines_that_say_otherwise_than_their_result_are_refused(tmp_path):
    measures = {"frozen": {"stage": "evaluate", "protocol": "knn"}}
    run = Run(said(measures=measures), "fresh weights", 1, tmp_path / "videos.jsonl", tmp_path)
    finished(run, [1, 1, 0])
    ((_, words),) = run.commands()
    lines = Path(words[-1], "predictions.jsonl")
    lines.write_text(lines.read_text().replace('["a"]', '["b"]', 1))
    with pytest.raises(ValueError, match=r"33\.33 % of 3 videos are right by the lines of knn, 66\.67 % by"):
        measured(run)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_commands_of_the_studies_are_those_of_the_stages(path, tmp_path, monkeypatch):
    """Each option is one of its stage, and no two of a row contradict each other."""
    monkeypatch.chdir(REPO)
    found = yaml.safe_load(path.read_text())
    folders = re.compile(rf"{re.escape(str(tmp_path))}/[^/]*-1-[0-9a-f]{{8}}(/[^/]*)?")
    commands = {
        tuple("1" if option == "--data.fold" else folders.sub("run", word) for option, word in pairwise(["", *words]))
        for name in found["rows"]
        for _, words in Run(found, name, 1, tmp_path / "videos.jsonl", tmp_path).commands()
    }
    for script, *words in commands:  # one of those that differ in nothing else
        stage = {"pretrain": pretrain, "evaluate": evaluate, "finetune": finetune}[script[7:-3]]
        parse(stage.Config, words)


@pytest.mark.parametrize(("many", "few"), [("fresh", "jhmdb"), ("fresh_training", "recipe")])
def test_networks_of_fresh_weights_are_measured_as_those_that_they_stand_beside(many, few):
    """In the tables they are taken together: the same networks, clips, videos and protocols."""
    many, few = (yaml.safe_load((REPO / f"benchmarks/studies/{name}.yaml").read_text()) for name in (many, few))
    assert (many["data"], many["pretrain"]) == (few["data"], few["pretrain"])
    for name, options in many["measures"].items():
        others = few["measures"][name]
        protocols, known = (set(each["protocol"].split(",")) for each in (options, others))
        assert protocols <= known
        assert options | {"protocol": ""} == others | {"protocol": ""}


RESULTS = [path for path in ((REPO / "results" / f"{each.stem}.json") for each in STUDIES) if path.exists()]


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_what_was_said_of_each_video_is_what_was_counted(path):
    found = json.loads(path.read_text())
    for run in found.get("runs", []):  # of a study that has not begun
        for name in run["said"]:
            drawn = zip("".join(drawn_of(run, name)), cycle(found["labels"]))
            right = [one == label for one, label in drawn if one != UNTESTED]
            score = run["measures"][name]
            keys = {"retrieval": ("recall", "1"), "few_shot": ("top1", f"{SHOTS}")}.get(name, ("top1",))
            assert 100 * sum(right) / len(right) == pytest.approx(dig(score, keys), abs=0.006), (run["row"], name)
