"""What is set for speed, and encoders that are compiled: one graph each, and the same numbers and names."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from rspnet.cli import options
from rspnet.data.augment import Augment
from rspnet.encoders import create_encoder, encoder_spec
from rspnet.errors import ConfigError
from rspnet.evaluation.predict import ViewFeatures
from rspnet.running import tuning
from rspnet.running.environment import environment

CPU = torch.device("cpu")


def test_float32_is_float32_and_that_is_written_down(monkeypatch):
    for owner, name in ((torch.backends.cudnn, "benchmark"), (torch.backends.cudnn, "allow_tf32")):
        monkeypatch.setattr(owner, name, getattr(owner, name))  # as it was, afterwards
    torch.backends.cuda.matmul.allow_tf32 = True
    assert environment()["torch"]["tf32"] is True
    tuning.tune()
    assert environment()["torch"] == {"cudnn_benchmark": True, "tf32": False, "memory_format": "channels_last_3d"}
    assert torch.get_float32_matmul_precision() == "highest"


def clips(number, seed=0):
    return torch.randn(number, 3, 8, 32, 32, generator=torch.Generator().manual_seed(seed))


def check_one_graph(name, graphs):
    encoder = create_encoder(name, width=4 if name in ("c3d", "resnet18", "r2plus1d", "s3dg") else None)
    plain, names = copy.deepcopy(encoder), list(encoder.state_dict())
    tuning.compile_step(torch.nn.ModuleDict({"encoder": encoder}), CPU, wanted=True)
    before = graphs.frame_count  # of the test whether torch can compile
    for step in range(3):
        for network in (encoder, plain):
            network.zero_grad()
            network(clips(2, step)).square().sum().backward()
    assert graphs.frame_count == before + 1
    for (known, one), other in zip(encoder.named_parameters(), plain.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad), known
    for network in (encoder, plain):
        network.eval()
    with torch.no_grad():
        for step in range(2):
            assert torch.equal(encoder(clips(2, step)), plain(clips(2, step)))
    assert graphs.frame_count == before + 2
    assert list(encoder.state_dict()) == names
    assert torch.equal(copy.deepcopy(encoder)(clips(2)), plain(clips(2)))  # as between epochs: the copy is a plain one


def test_an_encoder_is_one_graph(graphs):
    check_one_graph("resnet18", graphs)


def test_an_encoder_is_one_graph_in_half_precision(graphs):
    """With layers of which some go in float32, by the shape of their maps."""
    with torch.autocast("cpu", torch.bfloat16):
        check_one_graph("resnet18", graphs)


def test_a_process_may_have_many_graphs(graphs):
    """Of a query and a key encoder, in training and in tests, of full batches and of others."""
    encoder = create_encoder("resnet18", width=4).eval()
    tuning.compile_step(torch.nn.ModuleDict({"encoder": encoder}), CPU, wanted=True)
    before = graphs.frame_count
    with torch.no_grad():
        for number in range(1, 12):
            encoder(clips(number))
    assert graphs.frame_count == before + 11


@pytest.mark.slow
@pytest.mark.parametrize("name", ["c3d", "r2plus1d", "s3dg", "r3d_18", "r2plus1d_18", "s3d"])
def test_every_encoder_is_one_graph(graphs, name):
    check_one_graph(name, graphs)


def augmented(augment, seed):
    frames = torch.randint(0, 256, (3, 4, 10, 12, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    return augment.together(frames, augment.draw(np.arange(3 * seed, 3 * seed + 3)).table())


def test_augmentation_is_one_graph_whatever_is_drawn(graphs):
    chain = Augment.to_feed(replace(encoder_spec("c3d").clip, channels="BGR"), **vars(options.Augment()))
    plain = [augmented(chain, seed) for seed in range(4)]
    chain.compile(dynamic=False, fullgraph=True, backend=graphs)
    for seed in range(4):
        torch.testing.assert_close(augmented(chain, seed), plain[seed], rtol=0, atol=0)
    assert graphs.frame_count == 1


@pytest.mark.slow
def test_torchs_compiler_augments_the_same():
    torch._dynamo.reset()
    chain = Augment.to_feed(encoder_spec("c3d").clip, **vars(options.Augment()))
    plain = [augmented(chain, seed) for seed in range(4)]
    chain.compile(dynamic=False, fullgraph=True)
    for seed in range(4):
        torch.testing.assert_close(augmented(chain, seed), plain[seed], rtol=0, atol=1e-4)


@pytest.mark.parametrize("pooling", ["average", "max"])
def test_features_are_of_a_compiled_encoder_however_they_are_pooled(graphs, pooling):
    network = ViewFeatures(create_encoder("c3d", width=4), pooling).eval()
    views = clips(4).unflatten(0, (2, 2))
    with torch.no_grad():
        plain = network(views)
        tuning.compile_step(network, CPU, wanted=True)
        before = graphs.frame_count
        assert torch.equal(network(views), plain)
    assert graphs.frame_count == before + 1


def test_who_cannot_compile_is_told_before_anything_else(monkeypatch):
    def fails(graph, inputs):
        raise RuntimeError("No working C++ compiler found in torch._inductor.config.cpp.cxx: (None, 'g++')")

    torch._dynamo.reset()
    monkeypatch.setattr(tuning, "BACKEND", fails)
    with pytest.raises(
        ConfigError, match=r"run.compile: torch cannot compile for this cpu here .*No working C\+\+.* g\+\+"
    ):
        tuning.compile_step(create_encoder("c3d", width=1), CPU, wanted=True)
    torch._dynamo.reset()
