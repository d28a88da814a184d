"""The numbers of the contrastive task, against slow ones and where they are known, and what is said of them."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from rspnet.method.health import effective_rank, line, queue_terms, verdict
from rspnet.method.pretext import moments

WELL = {"event": "epoch", "step": 1000, "avid_top1": 60.0, "rsp_accuracy": 80.0, "spread": 0.97, "effective_rank": 40.0}
WELL |= {"positive_similarity": 9.0, "negative_similarity": 0.5, "queue_fill": 100.0, "queue_epochs": 0.5}


def rank_of(embeddings):
    return effective_rank(moments(embeddings).numpy())


def test_effective_rank_is_that_of_the_singular_values():
    generator = torch.Generator().manual_seed(0)
    for scale in (1.0, 0.01):
        embeddings = normalize(torch.ones(12) + scale * torch.randn(50, 12, generator=generator))
        values = torch.linalg.svdvals(embeddings.double())
        shares = [value / values.sum().item() for value in values.tolist()]
        slow = math.exp(-sum(share * math.log(share) for share in shares))
        assert rank_of(embeddings) == pytest.approx(slow, rel=1e-4)


def test_effective_rank_where_it_is_known():
    assert rank_of(torch.eye(7)) == pytest.approx(7)
    assert rank_of(torch.eye(7)[:3].repeat(5, 1)) == pytest.approx(3)
    assert rank_of(-torch.eye(7)[:1].repeat(5, 1)) == 1
    assert rank_of(normalize(torch.randn(1, 128, generator=torch.Generator().manual_seed(1))).repeat(64, 1)) < 1.001
    assert math.isnan(effective_rank(np.full((2, 2), np.nan)))


def test_that_of_parts_and_processes_is_that_of_all():
    embeddings = normalize(torch.randn(24, 6, generator=torch.Generator().manual_seed(0)))
    parts = torch.stack([moments(part) for part in embeddings.chunk(4)])
    assert effective_rank(parts.mean(0).numpy()) == pytest.approx(rank_of(embeddings), rel=1e-12)


@pytest.mark.parametrize(
    ("keys", "expected"), [(0, (0, 0)), (50, (25, 0.5)), (200, (100, 2)), (10**9, (100, 2))], ids=str
)
def test_the_queue_is_counted(keys, expected):
    assert tuple(queue_terms(200, keys=keys, videos=100).values()) == expected


def test_a_line_fits_a_terminal():
    values = WELL | {"margins_met": 62.04, "motion_gap": 12.345, "effective_rank": 100.26, "queue_fill": 99.96}
    text = "health: queue 100 %, own 9.00 v others 0.500, margins met 62.0 %, gap 12.3, spread 0.97, rank 100"
    assert line(values) == text
    assert len(text) < 100
    assert line({"loss": 1.0, "train_top1": 3.0}) is None


def test_nothing_is_said_of_a_task_that_is_well_or_has_hardly_begun():
    assert verdict([WELL]) == []
    assert verdict([WELL | {"step": 60, "rsp_accuracy": 50.0, "avid_top1": 99.0}]) == []
    assert verdict([]) == []
    assert verdict([{"event": "epoch", "step": 500, "loss": 3.0, "val_top1": 10.0}]) == []  # a fine-tuning


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"spread": 0.03}, "the embeddings have collapsed (spread 0.03 of 1, effective rank 40.0)"),
        ({"effective_rank": 1.2, "step": 20}, "the embeddings have collapsed (spread 0.97 of 1, effective rank 1.2)"),
        ({"rsp_accuracy": 51.0}, "motion is at chance after 1000 steps (RSP 51.0 %, chance 50)"),
        ({"rsp_accuracy": 51.0, "avid_top1": 97.0}, "appearance is solved (A-VID 97.0 %) and motion is at chance (RSP"),
        (
            {"positive_similarity": 0.6, "avid_top1": 4.0},
            "appearance is at chance after 1000 steps (A-VID 4.0 %; a query",
        ),
        ({"queue_fill": 30.0}, "the queue was never full (keys are 30.0 % of it"),
        ({"queue_fill": 30.0, "queue_epochs": 3.0}, "the queue is longer than the data (it holds each video 3 times)"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else None,
)
def test_what_is_wrong_is_said_once_and_what_to_do(change, told):
    (sentence,) = verdict([WELL, WELL, WELL | change])
    assert sentence.startswith(told)
    assert sentence != told


def test_a_task_that_is_not_trained_is_not_judged():
    at_chance = WELL | {"rsp_accuracy": 50.0, "positive_similarity": 0.5, "avid_top1": 1.0}
    assert len(verdict([at_chance])) == 2
    (sentence,) = verdict([at_chance], {"motion_weight": 0.0})
    assert sentence.startswith("appearance")
    (sentence,) = verdict([at_chance], {"appearance_weight": 0.0})
    assert sentence.startswith("motion")


def test_appearance_is_at_chance_by_what_is_found_and_not_by_the_temperature():
    """An absurd one makes all logits alike, or noise large: seen in runs of 225 steps."""
    high = WELL | {"positive_similarity": 0.0125, "negative_similarity": 0.00688, "avid_top1": 19.8}
    assert verdict([high], {"queue_length": 32}) == []
    low = WELL | {"positive_similarity": 900.0, "negative_similarity": 890.0, "avid_top1": 3.5}
    (sentence,) = verdict([low], {"queue_length": 32, "temperature": 0.0005})
    assert sentence.startswith("appearance is at chance after 1000 steps (A-VID 3.5 %, chance 3.0; a query")
    assert verdict([low], {"queue_length": 16384}) == []


def test_a_margin_that_no_network_can_meet():
    assert verdict([WELL], {"margin": 2.0, "temperature": 0.07}) == verdict([WELL], {"margin": 2.0}) == []
    (sentence,) = verdict([WELL], {"margin": 2.0, "temperature": 50.0})
    assert sentence.startswith("the margin between speeds cannot be met: pretext.margin is 2.00, but with pretext.te")
    assert verdict([WELL], {"margin": 2.0, "temperature": 50.0, "motion_weight": 0}) == []


def test_the_end_of_a_run_counts():
    """The last tenth of its epochs; of a run that has finished none, of its log lines."""
    bad, begun = {"rsp_accuracy": 50.0}, {"event": "interval"}
    assert verdict([WELL | bad] * 90 + [WELL] * 10) == []
    assert len(verdict([WELL] * 90 + [WELL | bad] * 10)) == 1
    assert len(verdict([WELL | begun, WELL | begun | bad])) == 1
    assert verdict([WELL | begun | bad, WELL]) == []


def test_rows_that_somebody_edited():
    odd = {"spread": "wide", "step": None, "rsp_accuracy": float("nan"), "effective_rank": [3], "queue_fill": {}}
    assert verdict([odd, WELL | odd, {}, WELL | {"rsp_accuracy": None, "queue_epochs": "2"}]) == []


def test_a_report_reads_it_without_torch():
    code = "import sys, rspnet.method.health; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert json.loads(json.dumps(WELL)) == WELL
