"""Stages with run.compile: what is compiled goes on plainly and the reverse, with the same names and numbers."""

import copy

import pytest
import torch

from rspnet.cli import options
from rspnet.encoders import create_encoder
from rspnet.errors import ConfigError
from rspnet.running.layout import lay_out
from tests.support import tiny

# Python 3.13.0 alone says so.
pytestmark = pytest.mark.filterwarnings("ignore:Guards may run slower:RuntimeWarning")


def go(stage, config_of, interrupted):
    """Compiled, then plain, then compiled again."""
    for step, compiled in ((2, True), (4, False), (None, True)):
        config = config_of(run=options.TrainingRun(seed=1, compile=compiled, log_every=1, trackers=[]))
        if step:
            with interrupted(step):
                stage(config)
        else:
            return stage(config)


def test_pretraining_compiled_or_not(tmp_path, motions, pretrained, interrupted, graphs):
    from stages.pretrain import main

    go(main, lambda **changes: tiny.pretrain(motions, tmp_path, **changes), interrupted)
    assert tiny.differences(tiny.state(pretrained), tiny.state(tmp_path)) == []
    # In either start at most both encoders, with two batch-norm groups, and the test whether torch can compile.
    assert 2 * 2 + 1 <= graphs.frame_count <= 2 * (2 * 2 + 1)


def test_finetuning_and_testing_compiled_or_not(tmp_path, motions, pretrained, finetuned, interrupted, graphs):
    """The last batch of the test is not full: of five videos four are tested at a time."""
    from stages.evaluate import main as evaluate
    from stages.finetune import main as finetune

    result = go(
        finetune, lambda **changes: tiny.finetune(motions, tmp_path / "run", pretrained, **changes), interrupted
    )
    assert tiny.differences(tiny.state(finetuned), tiny.state(tmp_path / "run")) == []
    torch._dynamo.reset()  # or the graphs of the training's test would do
    before = graphs.frame_count
    config = tiny.evaluate(motions, tmp_path / "test", tmp_path / "run", run=options.Evaluation(compile=True))
    assert evaluate(config)["top1"] == result["top1"]
    assert graphs.frame_count == before + 2


def test_features_in_a_file_are_not_computed():
    from stages.evaluate import Config

    with pytest.raises(ConfigError, match=r"run.compile: true; with --features"):
        Config(features="features.parquet", protocol="knn", run=options.Evaluation(compile=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["c3d", "resnet18", "r2plus1d", "s3dg"])
def test_torchs_compiler_trains_every_network(tmp_path, motions, name):
    """On this machine's CPU, with the compiler that users have."""
    from stages.pretrain import main

    results = []
    for compiled in (True, False):
        encoder, run = options.Encoder(name, width=8), options.TrainingRun(compile=compiled, trackers=[])
        results.append(main(tiny.pretrain(motions, tmp_path / str(compiled), encoder=encoder, run=run)))
    # Rounding grows from step to step; how exact a step is, the next test says.
    assert results[0]["loss"] == pytest.approx(results[1]["loss"], rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["c3d", "resnet18", "r2plus1d", "s3dg"])
def test_torchs_compiler_is_as_exact(name):
    """Outputs and gradients are as near to those of double precision, compiled or not."""
    torch._dynamo.reset()
    torch.manual_seed(0)
    compiled = create_encoder(name, width=8).train()
    lay_out(compiled)
    plain, double = copy.deepcopy(compiled), copy.deepcopy(compiled).double()
    compiled.compile(dynamic=False, fullgraph=True)
    clips = torch.randn(4, 3, 16, 64, 64)
    found = []
    for network, given in ((compiled, clips), (plain, clips), (double, clips.double())):
        output = network(given)
        output.square().mean().backward()
        found.append(torch.cat([output.detach().flatten(), *(each.grad.flatten() for each in network.parameters())]))
    one, other = ((each.double() - found[2]).norm() / found[2].norm() for each in found[:2])
    assert one <= 3 * other + 1e-6
