"""The model card: what it says, and that huggingface_hub reads its head."""

import pytest
from huggingface_hub import EvalResult, ModelCard

from rspnet.weights.card import model_card

CLIP = {"num_frames": 16, "size": 112, "stride": 1, "frame_rate": None, "sampling": "clip", "views": 10}
CLIP |= {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.1], "channels": "RGB"}
SAID = {"arch": "c3d", "kwargs": {"width": 64}, "num_features": 512, "num_classes": 0, "class_names": None}
SAID |= {"clip": CLIP, "provenance": {}, "recipe": None, "results": []}
RUN = {"stage": "pretrain", "epoch": 200, "epochs": 200, "device_hours": 12.5, "device": "cuda", "processes": 4}
RUN |= {"precision": "bf16", "data": {"fingerprint": "ab12", "num_videos": 1000, "hours": 2.5}}


def measured(**changes):
    one = {"protocol": "classify", "metric": "top-1", "value": 61.5, "interval": [58.0, 64.9], "chance": 1.0}
    return {
        **one,
        "num_videos": 800,
        "data": "ucf101 small",
        "views": 10,
        "fold": 1,
        "data_fingerprint": "ab12",
        **changes,
    }


def card_of(weights_license=None, repo=None, **changes):
    text = model_card("c3d-net", {**SAID, **changes}, weights_license=weights_license, repo=repo)
    return ModelCard(text), text


def test_what_was_measured_stands_in_the_model_index_with_its_interval():
    results = [measured(), measured(protocol="retrieval", metric="recall at 1", value=40.0, interval=[36.7, 43.4])]
    card, text = card_of(num_classes=101, results=results, provenance={"stage": "finetune"})
    assert card.data.model_name == "c3d-net"
    first, second = card.data.eval_results
    assert isinstance(first, EvalResult)
    assert (first.task_type, first.dataset_type, first.dataset_name) == (
        "video-classification",
        "ucf101-small",
        "ucf101 small",
    )
    assert (first.metric_type, first.metric_value) == ("accuracy", 61.5)
    assert first.metric_name == (
        "top-1, classification by the fine-tuned network (percent; 95 % interval 58.0 to 64.9)"
    )
    assert (second.metric_type, second.metric_value, second.metric_args["fold"]) == ("recall", 40.0, 1)
    assert (
        "| classification by the fine-tuned network | ucf101 small | top-1 | 61.5 % | 58.0 to 64.9 | 1.0 | 800 |"
        in text
    )
    assert "the best epoch was chosen on the test videos" in text
    assert "could not be read" not in text
    assert "Up to 3 videos could not be read and are not counted." in card_of(results=[measured(num_failed=3)])[1]
    assert card.data.pipeline_tag == "video-classification"


def test_numbers_of_one_task_are_told_apart_in_the_model_index():
    results = [measured(), measured(protocol="knn", value=30.0), measured(value=63.0, fold=2, num_videos=790)]
    (clusters,) = card_of(results=[measured(protocol="cluster", metric="v-measure")])[0].data.eval_results
    assert (clusters.task_type, clusters.metric_type) == ("other", "v_measure")
    card, _ = card_of(num_classes=101, results=results)
    shown = [(each.metric_name.split(" (")[0], each.metric_value, each.metric_args) for each in card.data.eval_results]
    tuned, near = "classification by the fine-tuned network", "classification by the 20 nearest training videos"
    of = {"fold": 1, "data_fingerprint": "ab12", "num_videos": 800, "views": 10}
    assert shown == [
        (f"top-1, {tuned}", 61.5, of),
        (f"top-1, {near}", 30.0, of),
        (f"top-1, {tuned}", 63.0, of | {"fold": 2, "num_videos": 790}),
    ]
    assert {each.task_name for each in card.data.eval_results} == {None}  # it would be that of the first for all


def test_it_says_which_intervals_are_over_draws():
    few, more = (measured(protocol="few_shot", metric=f"top-1 from {n} videos a class") for n in (5, 10))
    text = card_of(results=[measured(), few, more, measured(protocol="cluster", metric="v-measure")])[1]
    assert (
        " Those of classification by logistic regression on the features of a few videos and of k-means clusters of "
        "the features are over draws of these videos, and say nothing about others."
    ) in text
    assert "over draws" not in card_of(results=[measured()])[1]


def test_a_checkpoint_without_its_runs_options_does_not_say_whether_the_training_had_ended():
    assert "It is the checkpoint of step 20, after 4 epochs.\n" in card_of(provenance={"step": 20, "epoch": 4})[1]


@pytest.mark.parametrize("epoch", [3, 4])
def test_a_checkpoint_says_whether_the_training_had_ended(epoch):
    known = {"stage": "finetune", "step": 5 * epoch, "epoch": epoch, "data": RUN["data"]}
    text = card_of(provenance=known, recipe={"optim": {"epochs": 4}})[1]
    ended = "" if epoch == 4 else "; training had not ended then"
    assert f"It is the checkpoint of step {5 * epoch}, after {epoch} of 4 epochs{ended}." in text
    assert "Data: 1000 videos, 2.5 hours, the test videos included; fingerprint ab12." in text


def test_where_nothing_is_known_it_says_so():
    card, text = card_of(clip_unknown=True)
    assert card.data.eval_results is None
    assert "license" not in card.data.to_dict()
    for words in (
        "The files hold no results.",
        "its file does not say how it was trained",
        "The weights came without this information",
        "The licence of the weights is left open",
        "The file does not say.",
    ):
        assert words in text, words


def test_a_converted_file_was_not_trained_here():
    source = {"file": "model_best.pth.tar", "bytes": 5, "sha256": "ab12"}
    _, text = card_of(num_classes=101, provenance={"stage": "finetune", "epoch": 30, "converted_from": source})
    assert "fine-tuned to distinguish 101 classes." in text
    assert "The weights come from model_best.pth.tar (SHA-256 ab12).\nIt is from epoch 30." in text


def test_names_of_classes_are_shown_as_they_are():
    _, text = card_of(num_classes=2, class_names=["<unk>", "a\n# b"])
    assert r"The 2 classes: &lt;unk&gt;, a\n# b." in text


def test_a_run_tells_its_data_its_recipe_and_its_cost():
    card, text = card_of("cc-by-4.0", "org/net", provenance=RUN, recipe={"data": "k400", "seed": 3})
    assert card.data.license == "cc-by-4.0"
    for words in (
        "Data: k400, 1000 videos, 2.5 hours; fingerprint ab12.",
        "It is from epoch 200 of 200.",
        "Cost: 12.5 device hours (cuda, 4 processes, mixed precision bf16).",
        '"seed": 3',
        "The code, rspnet: Apache-2.0. The weights: cc-by-4.0.",
        "snapshot_download('org/net')",
        "| frames of a clip | 16, consecutive |",
        "pretrained without labels by relative speed perception",
    ):
        assert words in text, words


@pytest.mark.parametrize("names", [None, ["up: | down", "-x", "# y"]])
def test_names_of_any_kind_break_nothing(names):
    card, text = card_of(num_classes=3, class_names=names, results=[measured(data="a: b | c")])
    assert card.data.eval_results[0].dataset_name == "a: b | c"
    assert ("up: | down, -x, # y." in text) is bool(names)
    assert ("not named by the file; they are numbered" in text) is not bool(names)
