"""A pretraining begins with all that a file has of another one, and says what it has not."""

import pytest
import torch

from rspnet.encoders import create_encoder
from rspnet.errors import CheckpointError
from rspnet.weights.pretraining import load_pretraining, sizes_of, tensors_of
from rspnet.weights.read import read_weights
from tests.support import tiny
from tests.support.published_files import fine_tuned_file, pretraining_file
from tests.weights.test_convert import convert_file


def fresh(dim=16, queue_length=8):
    return tiny.rspnet(create_encoder("resnet18", width=8), dim=dim, queue_length=queue_length)


def taken(network, file):
    """Of which entries the network has the file's values."""
    theirs = tensors_of(file)
    return {name for name, value in network.state_dict().items() if torch.equal(value, theirs.get(name, value + 1))}


@pytest.fixture
def published(tmp_path):
    pretraining_file(tmp_path / "model.pth.tar", "resnet18")
    return tmp_path / "model.pth.tar"


def test_all_of_a_published_file(published, tmp_path):
    file, network = read_weights(published), fresh()
    (line,) = load_pretraining(network, file)
    assert line.endswith("epoch 200): training begins with its encoder, heads, key encoder, queue")
    assert taken(network, file) == network.state_dict().keys()
    assert sizes_of(file) == {"dim": 16, "queue_length": 8}
    # and of what it was converted to
    convert_file(published, tmp_path / "ours")
    again, other = read_weights(tmp_path / "ours"), fresh()
    assert load_pretraining(other, again)[0].endswith("its encoder, heads, key encoder, queue")
    assert tiny.differences(other.state_dict(), network.state_dict()) == []
    (tmp_path / "ours/published.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"published\.pt: is not the one that published\.json belongs to"):
        load_pretraining(fresh(), again)


def test_a_queue_of_another_length_is_begun_afresh(published):
    file, network = read_weights(published), fresh(queue_length=9)
    (line,) = load_pretraining(network, file)
    assert line.endswith("its encoder, heads, key encoder; fresh: queue (16 x 8 in the file, 16 x 9 here)")
    assert network.state_dict().keys() - taken(network, file) == {"queue.columns"}  # both queues point to their start


def test_heads_of_another_dimension_bring_nothing_that_builds_on_them(published):
    network = fresh(dim=4)
    (line,) = load_pretraining(network, read_weights(published))
    assert "training begins with its encoder; fresh: heads (16 x 64 in the file, 4 x 64 here), key encoder (" in line
    query, key = network.query_encoder.state_dict(), network.key_encoder.state_dict()
    assert tiny.differences(query, key) == []


def test_a_file_with_an_encoder_alone(tmp_path):
    fine_tuned_file(tmp_path / "tuned.pth.tar", "resnet18")
    network, drawn = fresh(), fresh()
    drawn.load_state_dict(network.state_dict())
    (line,) = load_pretraining(network, read_weights(tmp_path / "tuned.pth.tar"))
    fresh_parts = "heads (not in the file), key encoder (not in the file), queue (not in the file)"
    assert line.endswith(f"training begins with its encoder; fresh: {fresh_parts}")
    assert tiny.differences(network.query_encoder.state_dict(), network.key_encoder.state_dict()) == []
    assert torch.equal(network.query_encoder.motion.weight, drawn.query_encoder.motion.weight)
    assert torch.equal(network.queue.columns, drawn.queue.columns)


def test_heads_that_are_no_numbers(published):
    file = read_weights(published)
    file.tensors["encoder_q.fc1.2.bias"][0] = torch.nan
    with pytest.raises(CheckpointError, match=r"infinite or without values \(query_encoder\.appearance\.bias\)"):
        load_pretraining(fresh(), file)
