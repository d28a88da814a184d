"""Exported graphs give what the network gives, for any number of clips, and say what it is to be fed with."""

import json
import sys

import numpy as np
import onnxruntime
import pytest
import torch

from rspnet.encoders import create_encoder
from rspnet.errors import ConfigError
from rspnet.weights import graphs

SAID = {"num_frames": 8, "frame_rate": None, "mean": [0.5, 0.5, 0.5], "class_names": ["a", "wélking"]}
ALL = ["c3d", "resnet18", "r2plus1d", "s3dg", "r3d_18", "r2plus1d_18", "s3d"]


def network(name, num_classes=0):
    kwargs = {} if name in ALL[4:] else {"width": 8}
    torch.manual_seed(0)
    encoder = create_encoder(name, num_classes=num_classes, clip={"num_frames": 16, "size": 32}, **kwargs)
    for value in encoder.buffers():
        if value.is_floating_point():
            value.uniform_(0.5, 1.5)
    return encoder.eval()


def check(folder, name, num_classes):
    encoder = network(name, num_classes)
    onnx, archive = folder / "a.onnx", folder / "a.pt2"
    graphs.write_onnx(onnx, encoder, SAID)
    graphs.write_torch_export(archive, encoder, SAID)
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    extra = {"rspnet.json": ""}
    program = torch.export.load(archive, extra_files=extra).module()
    for count in (1, 3):
        clips = torch.randn(count, 3, 16, 32, 32)
        with torch.no_grad():
            wanted = encoder(clips).numpy()
            np.testing.assert_allclose(program(clips).numpy(), wanted, rtol=1e-5, atol=1e-5)
        (found,) = session.run([graphs.output_name(encoder)], {"clips": clips.numpy()})
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    return session, extra["rspnet.json"]


@pytest.mark.parametrize(("name", "num_classes"), [("c3d", 0), ("resnet18", 2)])
def test_the_same_outputs_and_the_specification(tmp_path, name, num_classes):
    session, said = check(tmp_path, name, num_classes)
    assert json.loads(said) == SAID
    told = {key: json.loads(value) for key, value in session.get_modelmeta().custom_metadata_map.items()}
    assert told == {**SAID, "rspnet": SAID}
    assert [(each.name, each.shape) for each in session.get_inputs()] == [("clips", ["batch", 3, 16, 32, 32])]
    assert [each.name for each in session.get_outputs()] == ["logits" if num_classes else "features"]
    for path in tmp_path.iterdir():
        assert graphs.is_ours(path)
        assert b"encoder.py" not in path.read_bytes()  # where the code lay when it was traced


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_every_network(tmp_path, name):
    check(tmp_path, name, 3)


def test_other_files_are_not_taken_for_ours(tmp_path):
    for name, content in (("a.onnx", b"mine"), ("b.onnx", b""), ("c.pt2", b"mine")):
        (tmp_path / name).write_bytes(content)
        assert not graphs.is_ours(tmp_path / name)
    torch.save({"a": torch.zeros(1)}, tmp_path / "d.pt2")
    assert not graphs.is_ours(tmp_path / "d.pt2")


def test_a_package_that_is_not_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ConfigError, match=r"^format: onnx needs the package onnxscript, which is not installed; pip"):
        graphs.check_onnx()


def test_an_earlier_export_without_the_package(tmp_path, monkeypatch):
    (tmp_path / "net.onnx").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ConfigError, match=r"^format: onnx needs the package onnx, which is not installed"):
        graphs.is_ours(tmp_path / "net.onnx")
