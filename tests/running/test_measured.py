"""What a run's folder tells of its network: the recipe, and numbers of these weights alone."""

import json

from rspnet.running.measured import measured, recipe

CONFIG = """
weights: /home/me/runs/c3d
data: {root: /home/me/data/ucf101, index: null, fold: 2}
clips: {num_frames: 8, size: 32}
optim: {epochs: 2, lr: 0.1}
run: {seed: 5, log_every: 10}
run_dir: /home/me/runs/tuned
frozen: true
"""
FINETUNED = {"stage": "finetune", "top1": 50.0, "top5": 75.0, "num_videos": 100, "chance_top1": 10.0, "fold": 2}
FINETUNED["num_failed"] = 2


def evaluation(folder, **changes):
    recall = {"recall": {"1": 40.0, "5": 60.0}, "chance": {"1": 10.0, "5": 41.0}, "num_queries": 50, "num_gallery": 90}
    result = {"stage": "evaluate", "protocol": "retrieval", **recall, "weights_sha256": "abc", "views": 10, **changes}
    folder.mkdir()
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "config.yaml").write_text("data: {root: null, index: lists/hmdb51.parquet}")


def test_the_recipe_without_where_it_lay(tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG)
    assert recipe(tmp_path) == {
        "data": "ucf101",
        "clips": {"num_frames": 8, "size": 32},
        "optim": {"epochs": 2, "lr": 0.1},
        "frozen": True,
        "seed": 5,
    }


def test_what_is_no_run_and_what_is_damaged(tmp_path, capsys):
    assert recipe(tmp_path) is None
    (tmp_path / "config.yaml").write_text("- 1")
    assert recipe(tmp_path) is None
    assert "config.yaml: does not tell the run's options" in capsys.readouterr().err


def test_its_own_test_and_evaluations_of_these_weights(tmp_path, capsys):
    (tmp_path / "config.yaml").write_text(CONFIG)
    evaluation(tmp_path / "retrieval_1")
    evaluation(tmp_path / "retrieval_2", weights_sha256="of another training")
    evaluation(tmp_path / "retrieval_again")
    (tmp_path / "knn_3").mkdir()
    (tmp_path / "knn_3/result.json").write_text("{")
    found = measured(tmp_path, FINETUNED, "abc")
    assert [(each["metric"], each["value"], each["chance"], each["data"]) for each in found] == [
        ("top-1", 50.0, 10.0, "ucf101"),
        ("top-5", 75.0, None, "ucf101"),
        ("recall at 1", 40.0, 10.0, "hmdb51.parquet"),
        ("recall at 5", 60.0, 41.0, "hmdb51.parquet"),
    ]
    assert (found[0]["interval"], found[0]["fold"], found[0]["num_videos"]) == ([40.38, 59.62], 2, 100)
    assert (found[2]["protocol"], found[2]["views"], found[2]["num_videos"]) == ("retrieval", 10, 50)
    assert (found[0]["num_failed"], found[2]["num_failed"]) == (2, None)
    assert "knn_3/result.json: is no result of a run" in capsys.readouterr().err


def test_what_is_damaged_is_left_out_and_said(tmp_path, capsys):
    evaluation(tmp_path / "retrieval_1", recall={"1": 40.0, "5": "many"})
    assert measured(tmp_path, {**FINETUNED, "top5": "many"}, "abc") == []
    err = capsys.readouterr().err
    assert ": the test result in its encoder.json is damaged" in err
    assert "retrieval_1/result.json: is no result of a run" in err


def test_several_protocols_in_one_pass(tmp_path):
    top1 = {"top1": 30.0, "top5": 60.0, "num_videos": 50, "chance_top1": 10.0, "num_gallery": 90}
    recall = {"recall": {"1": 40.0, "5": 60.0}, "chance": {"1": 10.0, "5": 41.0}, "num_queries": 50, "num_gallery": 90}
    several = {"protocol": "retrieval, knn", "retrieval": recall, "knn": top1}
    result = {"stage": "evaluate", "weights_sha256": "abc", "num_failed": 0, **several}
    (tmp_path / "retrieval_knn_0").mkdir()
    (tmp_path / "retrieval_knn_0/result.json").write_text(json.dumps(result))
    found = [(each["protocol"], each["metric"], each["value"]) for each in measured(tmp_path, {}, "abc")]
    assert found[1:3] == [("retrieval", "recall at 5", 60.0), ("knn", "top-1", 30.0)]


def test_a_pretraining_alone_has_no_number(tmp_path):
    assert measured(tmp_path, {"stage": "pretrain", "loss": 5.0}, "abc") == []
