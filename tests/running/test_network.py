"""The network that a run begins with: drawn from the seed, or given by weights, which is said."""

from functools import partial

import pytest

from rspnet.encoders import create_encoder
from rspnet.errors import CheckpointError
from rspnet.evaluation.predict import ViewFeatures
from rspnet.method.classifier import Classifier
from rspnet.running.network import begin_network
from rspnet.weights.load import save_network
from rspnet.weights.read import read_weights
from tests.support import tiny

CLIP = {"num_frames": 8, "stride": 1, "size": 48, "sampling": "clip", "frame_rate": None, "views": 2}


def config(seed):
    made = tiny.evaluate("nowhere", "nowhere")
    made.run.seed = seed
    return made


def test_fresh_weights_are_the_seeds(capsys):
    classifier = partial(Classifier, num_classes=3)
    one, same, other = (begin_network(config(seed), classifier)[0].state_dict() for seed in (1, 1, 2))
    assert tiny.differences(one, same) == []
    assert ".encoder.conv1.weight" in tiny.differences(one, other)
    assert capsys.readouterr().err == ""


def test_it_is_fed_as_the_options_say():
    settings = config(0)
    settings.clips.num_frames, settings.clips.size = 4, 32
    _, clip = begin_network(settings, ViewFeatures)
    usual = create_encoder("resnet18", width=16).clip
    assert (clip.num_frames, clip.size, clip.views) == (4, 32, 2)
    assert (clip.mean, clip.std, clip.channels) == (usual.mean, usual.std, usual.channels)


def test_weights_are_loaded_and_said(tmp_path, capsys):
    theirs = Classifier(create_encoder("resnet18", width=16), 3)
    save_network(tmp_path, theirs, clips=CLIP, provenance={"epoch": 2})
    weights = read_weights(tmp_path)
    trained, _ = begin_network(config(0), partial(Classifier, num_classes=3), weights=weights, trained=True)
    assert tiny.differences(trained.state_dict(), theirs.state_dict()) == []
    assert "loaded 122 of the network's 122 entries" in capsys.readouterr().err
    begun, _ = begin_network(config(0), partial(Classifier, num_classes=7), weights=weights)
    assert tiny.differences(begun.encoder.state_dict(), theirs.encoder.state_dict()) == []
    assert "entries; fresh: fc.weight, fc.bias\nnot used: its classifier, not asked for (2)" in capsys.readouterr().err
    features, _ = begin_network(config(0), ViewFeatures, weights=weights)
    assert tiny.differences(features.encoder.state_dict(), theirs.encoder.state_dict()) == []
    assert "loaded 120 of the network's 120 entries" in capsys.readouterr().err


def test_what_is_to_be_known_of_the_clips_is_said(tmp_path, capsys):
    save_network(tmp_path, Classifier(create_encoder("resnet18", width=16), 3), clips=CLIP, provenance={})
    weights, settings = read_weights(tmp_path), config(0)
    settings.clips.size = 32
    begin_network(settings, partial(Classifier, num_classes=3), weights=weights, trained=True)
    assert "warning: this classifier was trained on other clips than it is tested on: clips.size 32, not 48" in (
        capsys.readouterr().err
    )
    begin_network(settings, ViewFeatures, weights=weights)
    assert "other clips than the weights were trained on, as the options say: " in capsys.readouterr().err


def test_a_trained_classifier_is_of_as_many_classes(tmp_path):
    save_network(tmp_path, Classifier(create_encoder("resnet18", width=16), 1), clips=CLIP, provenance={})
    with pytest.raises(CheckpointError, match="its classifier is for 1 class, but 3 were asked for; give the data set"):
        begin_network(config(0), partial(Classifier, num_classes=3), weights=read_weights(tmp_path), trained=True)
