"""What encoder.json may say, and what is refused in one line."""

import json

import pytest

from rspnet.errors import CheckpointError
from rspnet.weights.description import find_weights, named_weights, read_description

GOOD = {
    "arch": "c3d",
    "kwargs": {"width": 8},
    "clip": {"num_frames": 8, "size": 48, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2], "frame_rate": None},
    "weights": {"bytes": 3, "sha256": "x"},
    "class_names": ["a", "b"],
}


def written(folder, text, name="encoder"):
    (folder / f"{name}.safetensors").write_bytes(b"abc")
    (folder / f"{name}.json").write_text(text if isinstance(text, str) else json.dumps(text))
    return folder / f"{name}.safetensors"


def test_fresh_weights_have_no_name():
    names = (None, "none", "runs/none", "None")
    assert [named_weights(name) for name in names] == [None, None, "runs/none", "None"]


def test_what_it_says(tmp_path):
    assert find_weights(tmp_path / written(tmp_path, GOOD)) == tmp_path / "encoder.safetensors"
    assert find_weights(tmp_path) == tmp_path / "encoder.safetensors"
    assert read_description(find_weights(tmp_path)) == GOOD
    assert read_description(written(tmp_path, "\ufeff" + json.dumps(GOOD), "another")) == GOOD


def test_weights_that_the_system_does_not_tell_of(tmp_path):
    with pytest.raises(CheckpointError, match=r"/n+: cannot be read \(File name too long\)$"):
        find_weights(tmp_path / ("n" * 300))
    with pytest.raises(CheckpointError, match=r"none: no such file or folder"):
        find_weights(tmp_path / "none")


def test_where_there_need_be_none(tmp_path):
    (tmp_path / "model.pth").write_bytes(b"abc")
    (tmp_path / "model.safetensors").write_bytes(b"abc")
    assert read_description(tmp_path / "model.pth") is None
    assert read_description(tmp_path / "model.safetensors") is None
    (tmp_path / "encoder.safetensors").write_bytes(b"abc")
    with pytest.raises(CheckpointError, match=r"encoder\.json is missing beside it"):
        read_description(tmp_path / "encoder.safetensors")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ([], "it has no keys of rspnet"),
        ({"arch": None}, "it lacks arch"),
        ({"clip": None}, "it lacks clip"),
        ({"weights": 3}, "it lacks weights"),
        ({"kwargs": {"width": "8"}}, "kwargs.width is '8'"),
        ({"kwargs": {"depth": 8}}, "kwargs.depth is unknown here"),
        ({"provenance": 5}, "provenance is 5"),
        ({"class_names": "ab"}, "class_names is not a list of names"),
        ({"clip": {"num_frames": 0}}, "clip.num_frames is 0"),
        ({"clip": {"size": 48.0}}, "clip.size is 48.0"),
        ({"clip": {"views": True}}, "clip.views is True"),
        ({"clip": {"sampling": "random"}}, "clip.sampling is 'random'"),
        ({"clip": {"channels": "YUV"}}, "clip.channels is 'YUV'"),
        ({"clip": {"frame_rate": -1}}, "clip.frame_rate is -1"),
        ({"clip": {"mean": 0.5}}, "clip.mean is 0.5"),
        ({"clip": {"std": [0.2, 0.2, 0]}}, "clip.std is [0.2, 0.2, 0]"),
    ],
)
def test_what_is_no_description(tmp_path, wrong, words):
    path = written(tmp_path, GOOD | wrong if isinstance(wrong, dict) else wrong)
    with pytest.raises(CheckpointError) as caught:
        read_description(path)
    assert str(caught.value).startswith(f"{tmp_path}/encoder.json: does not describe weights ({words})")


def test_a_description_cut_short(tmp_path):
    with pytest.raises(CheckpointError, match=r"encoder\.json: does not describe weights"):
        read_description(written(tmp_path, json.dumps(GOOD)[:40]))
