"""What a result looks like: its digits, and its sentence."""

import pytest

from rspnet.running.results import rounded, summary

PRETRAIN = {"stage": "pretrain", "loss": 5.4321, "avid_top1": 73.19999999999999, "rsp_accuracy": 81.0}
PRETRAIN |= {"num_videos": 9537, "epochs": 200, "device_hours": 12.345}
FINETUNE = {"stage": "finetune", "top1": 60.0, "top5": 92.0, "num_videos": 50, "num_failed": 0, "chance_top1": 10.0}
KNN = {"stage": "evaluate", "protocol": "knn", "top1": 2.5, "top5": 9.04, "num_videos": 1, "chance_top1": 0.25}
FEW_SHOT = {"stage": "evaluate", "protocol": "few_shot", "top1": {"1": 40.0, "5": 70.0}, "chance_top1": 10.0}
FEW_SHOT |= {"num_draws": 10, "fewest_of_a_class": 5}
RETRIEVAL = {"stage": "evaluate", "protocol": "retrieval", "num_queries": 48, "num_gallery": 102, "num_failed": 0}
RECALL = {"recall": {"1": 39.0, "5": 80.0}, "chance": {"1": 10.06, "5": 41.2}}
SPEED = {"stage": "evaluate", "protocol": "speed", "top1": 98.0, "interval": {"top1": [95.0, 100.0]}, "num_videos": 100}
SPEED |= {"chance_top1": 50.0, "left_out": 2, "controls": {"shuffled": {"top1": 62.0}, "still": {"top1": 47.5}}}
SPEED |= {"random": {"difference": {"top1": 20.0}, "difference_interval": {"top1": [12.0, 28.0]}}}
PRETEXT = {"stage": "evaluate", "protocol": "pretext", "rsp_accuracy": 71.0, "avid_top1": 60.0, "num_negatives": 255}
PRETEXT |= {"chance": {"rsp_accuracy": 50.0, "avid_top1": 0.39}, "num_videos": 300, "left_out": 0}


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (
            PRETRAIN,
            "pretrain: loss 5.43, A-VID top-1 73.2 %, RSP accuracy 81.0 % (chance 50)\n"
            "9537 videos, 200 epochs, 12.3 device hours",
        ),
        (
            FINETUNE | {"best_epoch": 5},
            "finetune: top-1 60.0 % of 50 test videos (chance 10), top-5 92.0 %; best epoch 5",
        ),
        (
            FINETUNE | {"top1": 75.0, "class_accuracy": {"large": 100.0, "small": 0.0, "tiny": 0.0, "none": None}},
            "finetune: top-1 75.0 % of 50 test videos (chance 10), top-5 92.0 %\n"
            "  the mean of the classes is 33.3 %: large ones are recognised better than small ones",
        ),
        (
            FINETUNE | {"class_accuracy": {"large": 61.0, "small": 55.0}},
            "finetune: top-1 60.0 % of 50 test videos (chance 10), top-5 92.0 %",
        ),
        (FINETUNE | {"top5": 100.0, "chance_top1": 20.0}, "finetune: top-1 60.0 % of 50 test videos (chance 20)"),
        (
            FEW_SHOT,
            "few_shot: top-1 from 1 video a class 40.0 %, from 5 70.0 % (chance 10); 10 draws of each",
        ),
        (
            FEW_SHOT | {"fewest_of_a_class": 3},
            "few_shot: top-1 from 1 video a class 40.0 %, from 5 70.0 % (chance 10); 10 draws of each\n"
            "  the smallest class has only 3 videos",
        ),
        (
            FEW_SHOT | {"fewest_of_a_class": 0},
            "few_shot: top-1 from 1 video a class 40.0 %, from 5 70.0 % (chance 10); 10 draws of each\n"
            "  a tested class has no training video",
        ),
        (
            KNN | {"num_failed": 2},
            "knn: top-1 2.5 % of 1 test video (chance 0.25), top-5 9.0 %; 2 videos could not be read",
        ),
        (
            RETRIEVAL | RECALL,
            "retrieval: recall at 1 39.0 % (chance 10.1), at 5 80.0 % (41.2); 48 queries in 102 videos",
        ),
        (
            RETRIEVAL | {"num_queries": 1},
            "retrieval: the nearest neighbours of 1 query in 102 videos; without labels there is no recall",
        ),
        (
            SPEED,
            "speed: which clip plays faster: 98.0 % [95.0, 100.0] of 100 test videos (chance 50)\n"
            "  without motion: frames shuffled 62.0 %, one frame repeated 47.5 %; 2 videos too short\n"
            "  ahead of fresh weights by: accuracy +20.0 [+12.0, +28.0]",
        ),
        (
            PRETEXT,
            "pretext: RSP 71.0 % (chance 50), A-VID top-1 60.0 % (chance 0.39, 255 negatives)\n  of 300 test videos",
        ),
    ],
)
def test_a_result_in_words(result, text):
    assert summary(result) == text
    assert all(len(line) <= 100 for line in text.splitlines())


def test_digits_that_mean_nothing_are_left_out():
    result = {"stage": "x", "top1": 200 / 3, "recall": {"1": 100 / 3}, "loss": 5.43210987, "device_hours": 1.23456}
    result |= {"spread": 1e-7 / 3, "views": 10, "frozen": False, "weights": None, "best_val_top1": 73.19999999999999}
    result["speed"] = {"top1": 200 / 3, "controls": {"still": {"top1": 100 / 3, "interval": {"top1": (1 / 3, 2 / 3)}}}}
    assert rounded(result) == {
        "speed": {"top1": 66.67, "controls": {"still": {"top1": 33.33, "interval": {"top1": [0.33, 0.67]}}}},
        "stage": "x",
        "top1": 66.67,
        "recall": {"1": 33.33},
        "loss": 5.43211,
        "device_hours": 1.235,
        "spread": 3.33333e-08,
        "views": 10,
        "frozen": False,
        "weights": None,
        "best_val_top1": 73.2,
    }
