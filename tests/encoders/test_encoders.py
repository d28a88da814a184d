"""The encoders: timm's conventions at small size, and the published networks' layouts and outputs."""

import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import video

from rspnet import ConfigError
from rspnet.cli import options
from rspnet.cli.options import Clips, Encoder
from rspnet.encoders import _SPECS, check_clips, create_encoder, encoder_spec

PUBLISHED = ("c3d", "resnet18", "r2plus1d", "s3dg")
TORCHVISION = ("r3d_18", "r2plus1d_18", "s3d")


def small(name: str, **kwargs):
    """The named encoder, small where it can be."""
    return create_encoder(name, **({"width": 8} if name in PUBLISHED else {}), **kwargs)


def clips(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, 16, 32, 32, generator=torch.Generator().manual_seed(0))


def test_names():
    assert tuple(_SPECS) == PUBLISHED + TORCHVISION == get_args(get_type_hints(options.Encoder)["name"])


@pytest.mark.parametrize("name", PUBLISHED + TORCHVISION)
def test_features_classifier_and_gradients(name):
    encoder = small(name)
    assert encoder.num_classes == 0
    assert isinstance(encoder.get_classifier(), nn.Identity)
    bare = list(encoder.state_dict())

    feature_map = encoder.forward_features(clips())
    assert feature_map.shape[:2] == (2, encoder.num_features)
    assert feature_map.ndim == 5
    pooled = encoder.forward_head(feature_map)
    assert pooled.shape == (2, encoder.num_features)
    torch.testing.assert_close(pooled, encoder.forward_head(feature_map, pre_logits=True))

    encoder.reset_classifier(5)
    assert encoder.num_classes == 5
    encoder(clips()).square().sum().backward()
    without = [key for key, parameter in encoder.named_parameters() if parameter.grad is None]
    assert without == []
    assert encoder.forward_head(feature_map).shape == (2, 5)
    assert encoder.forward_head(feature_map, pre_logits=True).shape == (2, encoder.num_features)
    assert list(encoder.state_dict())[: len(bare)] == bare  # the classifier comes last
    weight = encoder.get_classifier().weight
    assert weight.shape[:2] == (5, encoder.num_features)

    encoder.reset_classifier(0)
    assert list(encoder.state_dict()) == bare


@pytest.mark.parametrize("name", PUBLISHED + TORCHVISION)
def test_timm_knows_the_encoder(name):
    spec = encoder_spec(name)
    with torch.device("meta"):
        encoder = timm.create_model(f"rspnet_{name}", num_classes=7)
        default = timm.create_model(f"rspnet_{name}")
    assert (encoder.num_classes, default.num_classes) == (7, 0)
    cfg = encoder.default_cfg
    assert cfg["architecture"] == f"rspnet_{name}"
    assert (cfg["input_size"], cfg["mean"], cfg["std"]) == ((3, spec.size, spec.size), spec.mean, spec.std)
    modules = dict(encoder.named_modules())
    assert modules[cfg["classifier"]] is encoder.get_classifier()
    assert modules[cfg["first_conv"]].in_channels == 3
    assert (cfg["crop_pct"], timm.get_pretrained_cfg(f"rspnet_{name}").notes) == (1.0, cfg["notes"])
    assert cfg["notes"][:2] == (f"num_frames={spec.num_frames}", "stride=1")


@pytest.mark.parametrize("name", PUBLISHED + TORCHVISION)
def test_features_only_gives_the_maps_of_five_stages(name):
    kwargs = {"width": 8} if name in PUBLISHED else {}
    wrapper = timm.create_model(f"rspnet_{name}", features_only=True, **kwargs).eval()
    encoder = small(name).eval()
    encoder.load_state_dict(wrapper.body.state_dict())
    with torch.no_grad():
        maps = wrapper(clips())
        torch.testing.assert_close(maps[-1], encoder.forward_features(clips()), rtol=0, atol=0)
    assert [map_.shape[1] for map_ in maps] == wrapper.feature_info.channels()
    assert [-(-32 // each) for each in wrapper.feature_info.reduction()] == [map_.shape[-1] for map_ in maps]
    assert all(map_.min() >= 0 for map_ in maps)  # what leaves a ReLU
    assert wrapper.clip == encoder.clip


def test_another_clip_than_it_is_made_for_is_told_to_timm():
    clip = {"num_frames": 8, "size": 64, "mean": [0.5, 0.5, 0.5], "frame_rate": 12.5, "channels": "BGR"}
    encoder = timm.create_model("rspnet_c3d", width=8, clip=clip)
    assert (encoder.clip.num_frames, encoder.clip.frame_rate, encoder.clip.std) == (8, 12.5, encoder.spec.std)
    cfg = encoder.pretrained_cfg
    assert (cfg["input_size"], cfg["mean"], cfg["std"]) == ((3, 64, 64), (0.5, 0.5, 0.5), encoder.spec.std)
    assert cfg["notes"] == ("num_frames=8", "stride=1", "frame_rate=12.5", "sampling=clip", "channels=BGR")
    assert timm.get_pretrained_cfg("rspnet_c3d").input_size == (3, 112, 112)  # the next one's


@pytest.mark.parametrize(("name", "entries"), [("c3d", 60), ("resnet18", 124), ("r2plus1d", 148), ("s3dg", 506)])
def test_entries_of_the_published_files(name, entries):
    with torch.device("meta"):
        encoder = create_encoder(name, num_classes=1)
    assert len(encoder.state_dict()) + 2 == entries  # a fine-tuned file has its own classifier as well


@pytest.mark.parametrize("name", PUBLISHED)
def test_width_scales_all_channels(name):
    with torch.device("meta"):
        full, half = create_encoder(name), create_encoder(name, width=32)
    assert half.num_features * 2 == full.num_features
    halves = half.state_dict()
    for key, value in full.state_dict().items():
        if value.ndim == 1 and (name != "r2plus1d" or ".bn." not in key):
            assert value.numel() == 2 * halves[key].numel(), key  # R(2+1)D's inner channels follow from the outer ones


@pytest.mark.parametrize(
    ("name", "kwargs", "words"),
    [
        (
            "r2plus2d",
            {},
            ["'r2plus2d'", "r2plus1d (R(2+1)D with 4 blocks", "r2plus1d_18 (torchvision's", "s3dg", "c3d"],
        ),
        ("c3d", {"width": 0}, ["width 0", "64"]),
        ("r3d_18", {"width": 8}, ["r3d_18", "width 8"]),
        ("s3d", {"width": 8}, ["s3d", "width 8"]),
        ("c3d", {"in_chans": 1}, ["in_chans is 1", "RGB"]),
        ("c3d", {"features_only": True}, ["features_only", "timm.create_model('rspnet_c3d'"]),
    ],
)
def test_mistakes_are_named(name, kwargs, words):
    with pytest.raises(ConfigError) as caught:
        create_encoder(name, **kwargs)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("name", PUBLISHED + TORCHVISION)
def test_clips_that_a_network_cannot_take_are_refused(name):
    """As the network itself would, and without a draw."""
    spec = encoder_spec(name)
    check_clips(Encoder(name), Clips(spec.num_frames, spec.size), training=True)
    check_clips(Encoder(name), Clips(16, 32))
    width = 8 if name in PUBLISHED else None
    for num_frames, size, kind in ((1, 1, {}), (8, 32, {"batch": 1, "training": True})):
        encoder = create_encoder(name, width=width).train(kind.get("training", False))
        try:
            encoder(torch.zeros(1, 3, num_frames, size, size))
        except (RuntimeError, ValueError):
            with pytest.raises(ConfigError, match=rf"^clips.num_frames: {num_frames}, clips.size: {size}.* {name}, "):
                check_clips(Encoder(name), Clips(num_frames, size), **kind)
        else:
            check_clips(Encoder(name), Clips(num_frames, size), **kind)
    with pytest.raises(ConfigError, match=f"^clips.num_frames: 1, clips.size: 4, 1 in a batch: too little for {name}"):
        check_clips(Encoder(name), Clips(1, 4), batch=1, training=True)
    before = torch.get_rng_state()
    check_clips(Encoder(name), Clips(16, 32))
    assert torch.equal(torch.get_rng_state(), before)


def test_resnet_starts_with_kaiming_fan_out():
    weight = create_encoder("resnet18").layer3[0].conv1.weight  # 256 x 128 x 3 x 3 x 3
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (256 * 27)), rel=0.01)


@pytest.mark.parametrize("name", ["c3d", "r2plus1d", "s3dg"])
def test_the_others_start_as_torch_does(name):
    """Uniform up to one over the root of the fan-in; the largest of many come near to that."""
    torch.manual_seed(0)
    for key, layer in small(name).named_modules():
        if isinstance(layer, nn.Conv3d):
            bound = 1 / math.sqrt(math.prod(layer.weight.shape[1:]))
            assert layer.weight.abs().max() <= bound, key
            assert layer.weight.numel() < 1000 or layer.weight.abs().max() > 0.98 * bound, key
            assert layer.bias is None or layer.bias.abs().max() <= bound, key


def test_s3dg_normalisation_constants():
    norms = [module for module in small("s3dg").modules() if isinstance(module, nn.BatchNorm3d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 1e-3)}


@pytest.mark.parametrize("name", ["r3d_18", "r2plus1d_18"])
def test_equals_torchvision_resnet(name):
    theirs = getattr(video, name)(weights=None).eval()
    ours = create_encoder(name, num_classes=400).eval()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(ours(clips()), theirs(clips()))


@pytest.mark.parametrize("positions", [(2, 7, 7), (4, 7, 8)])
def test_equals_torchvision_s3d(positions):
    theirs = video.s3d(weights=None).eval()
    ours = create_encoder("s3d", num_classes=400).eval()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(ours.forward_features(clips()), theirs.features(clips()))
        feature_map = torch.rand(2, 1024, *positions)
        expected = theirs.classifier(theirs.avgpool(feature_map)).mean(dim=(2, 3, 4))
        torch.testing.assert_close(ours.forward_head(feature_map), expected)


# --- against the published networks: layouts, weights and outputs recorded from running their code


def recipe(shared: Path):
    spec = importlib.util.spec_from_file_location("recipe", shared / "fixtures" / "recipe.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def relative_error(ours: torch.Tensor, published: np.ndarray) -> float:
    difference = np.abs(ours.numpy().astype(np.float64) - published).max()
    return float(difference / max(np.abs(published).max(), 1e-3))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_layout(shared, name):
    layout = json.loads((shared / "fixtures" / f"layout_{name}.json").read_text())
    with torch.device("meta"):
        encoder = create_encoder(name, num_classes=1)
    ours = [[key, list(value.shape), str(value.dtype)] for key, value in encoder.state_dict().items()]
    for checkpoint, prefix in (("pretrain_checkpoint", "encoder_q.encoder."), ("finetune_checkpoint_101", "encoder.")):
        rows = layout[checkpoint]["state_dict"]
        published = [[k.removeprefix(prefix), shape, f"torch.{t}"] for k, shape, t in rows if k.startswith(prefix)]
        assert ours == published  # in order too: optimizer states of published files are by position


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_outputs(shared, name):
    rules = recipe(shared)
    expected = np.load(shared / "fixtures" / f"fixture_{name}.npz")
    encoder = create_encoder(name, num_classes=1)
    net = nn.Module()  # the published wrapper's names, from which the recipe draws the weights
    net.encoder = encoder
    net.fc1, net.fc2 = (nn.Sequential(nn.Identity(), nn.Identity(), nn.Linear(encoder.num_features, 128)) for _ in "12")
    net.fc = nn.Linear(encoder.num_features, 101)

    for tag, seed in (("eval112", 100), ("eval224", 102), ("train112", 101)):  # train last: it moves statistics
        if f"{tag}/pooled" not in expected:
            continue
        if tag == "eval112":
            rules.fill_module(net)
        net.train(tag.startswith("train"))
        inputs = torch.from_numpy(rules.clip_array(seed, tuple(expected[f"{tag}/input_shape"])))
        with torch.inference_mode():
            feature_map = encoder.forward_features(inputs)
            pooled = encoder.forward_head(feature_map, pre_logits=True)
            outputs = {
                "feature/first64": feature_map.flatten()[:64],
                "pooled": pooled,
                "x1_avid": F.normalize(net.fc1(pooled)),
                "x2_rsp": F.normalize(net.fc2(pooled)),
                "logits101": net.fc(pooled),
            }
        assert list(feature_map.shape) == expected[f"{tag}/feature/shape"].tolist()
        errors = {key: relative_error(value, expected[f"{tag}/{key}"]) for key, value in outputs.items()}
        assert max(errors.values()) < 1e-4, (tag, errors)

    state = {key: value.double() for key, value in net.state_dict().items()}
    for key, (total, norm) in zip(
        expected["train112/buffer_names"], expected["train112/buffer_sum_l2_after"], strict=True
    ):
        assert state[str(key)].norm().item() == pytest.approx(norm, rel=1e-4), key
        assert state[str(key)].sum().item() == pytest.approx(total, abs=1e-4 * max(abs(total), norm)), key
    for key in (key for key in expected.files if key.startswith("train112/after/")):
        assert relative_error(net.state_dict()[key.removeprefix("train112/after/")], expected[key]) < 1e-4, key


def test_timm_knows_the_encoders_once_both_are_imported():
    """In either order, whoever asks first where timm lies; and neither import waits for the other."""
    program = (
        "import importlib.util, os, sys\n"
        "import rspnet\n"
        "assert importlib.util.find_spec('timm') and not sys.modules.keys() & {'timm', 'torch'}\n"
        "if os.fork():\n"
        "    import timm.layers\n"
        "    assert type(timm.__spec__.loader).__name__ == 'SourceFileLoader'\n"
        "else:\n"
        "    for name in [name for name in sys.modules if name.partition('.')[0] == 'rspnet']:\n"
        "        del sys.modules[name]\n"
        "    sys.meta_path.pop(0)\n"
        "    import timm, rspnet\n"
        "name = type(timm.create_model('rspnet_c3d', width=8)).__name__\n"
        "os.write(1, f'{name}\\n'.encode())  # at once: both processes write\n"
        "assert not any('rspnet' in type(finder).__module__ for finder in sys.meta_path)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("C3D\nC3D\n", "")
