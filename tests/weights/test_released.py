"""The network that comes with the repository: anyone can load it, and its card says what it is."""

import json

import torch
import yaml

import rspnet
from tests.support.pages import REPO

FOLDER = REPO / "results" / "jhmdb_resnet18"


def test_it_gives_features_of_a_video_as_it_was_trained(motions):
    encoder = rspnet.load_encoder(FOLDER)
    clips = rspnet.read_clips(sorted(motions.rglob("*.mp4"))[0], encoder)
    recipe = yaml.safe_load((REPO / "configs" / "small.yaml").read_text())
    assert {name: getattr(encoder.clip, name) for name in recipe["clips"]} == recipe["clips"]
    assert clips.shape == (10, 3, 8, 48, 48)
    with torch.no_grad():
        features = encoder(clips)
    assert features.shape == (10, 128)
    assert features.isfinite().all()
    assert features.std(0).max() > 0


def test_its_card_has_the_licence_and_what_the_study_measured():
    """The numbers are those of the study's first seed."""
    _, header, text = (FOLDER / "README.md").read_text().split("---\n", 2)
    card = yaml.safe_load(header)
    assert card["license"] == "cc-by-4.0"
    assert "The weights: cc-by-4.0." in text
    runs = json.loads((REPO / "results" / "jhmdb.json").read_text())["runs"]
    (run,) = (run for run in runs if run["row"] == "pretrained" and run["seed"] == 1)
    measured = {metric["name"].partition(" (")[0]: metric["value"] for metric in metrics(card)}
    assert (
        measured["recall at 1, retrieval of training videos of the same class"]
        == run["measures"]["retrieval"]["recall"]["1"]
    )
    assert measured["RSP accuracy, the tasks of the pretraining"] == run["measures"]["pretext"]["rsp_accuracy"]


def metrics(card):
    return [metric for result in card["model-index"][0]["results"] for metric in result["metrics"]]
