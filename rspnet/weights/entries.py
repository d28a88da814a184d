"""Recognise the network in a state dict by the names of its entries, and sort the entries by their purpose.

The known layouts are ours, the published code's and torchvision's. Other trainers wrap the same network in modules of
their own (`module.`, `_orig_mod.`, `encoder_q.`, `model.backbone.`) or number its parts; the network is then found by
an entry that no other network has.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

# For each network an entry that no other network has; its first dimension is the network's width.
SIGNATURES = {
    "c3d": "conv1.bias",
    "resnet18": "layer1.0.conv1.weight",
    "r2plus1d": "conv2.block1.bn1.bias",
    "s3dg": "feature.basicConv3d.bn.bias",
    "r3d_18": "layer1.0.conv1.0.weight",
    "r2plus1d_18": "stem.4.bias",
    "s3d": "features.2.1.bias",
}
# A name that is also common elsewhere counts only if another entry of the network is beside it.
_BESIDE = {"c3d": "conv5b.weight"}
# Parts of torchvision's residual networks, in the order in which nn.Sequential(*network.children()) numbers them.
_PARTS = ("stem", "layer1", "layer2", "layer3", "layer4")
# Two entries of each that must then occur together.
_NUMBERED = {"r3d_18": ("1.0.conv1.0.weight", "0.1.bias"), "r2plus1d_18": ("0.4.bias", "1.0.conv1.0.0.weight")}

_ENCODER, _HEAD = "the encoder", "the classifier"
_DUMMY = "the network's own 1-class classifier, never trained or used"
OTHERS = "other data of its trainer"
_PROJECTION = "its projection, for pretraining only"
_APPEARANCE, _MOTION = "the A-VID head, for pretraining only", "the RSP head, for pretraining only"
_KEY, _QUEUE = "the key encoder, for pretraining only", "the queue, for pretraining only"
PRETRAINING, _FINE_TUNED, _PLAIN = "pretraining checkpoint", "fine-tuned classifier", "encoder"
OURS = "query_encoder.encoder."
"""Prefix of the network's names in a pretraining of ours."""
# A layout, the network's prefix, and pairs of a pattern and what the entries that it matches are for; group 1 of the
# pattern is the entry's name within its part. The first layout that fits counts, and in it the first pattern.
_Patterns = tuple[tuple[str, str], ...]
_LAYOUTS: tuple[tuple[str, str, _Patterns], ...] = (
    (
        PRETRAINING,
        "encoder_q.encoder.",
        (
            (r"encoder_q\.encoder\.(?:fc|linear)\.(weight|bias)", _DUMMY),
            (r"encoder_q\.encoder\.(.+)", _ENCODER),
            (r"encoder_q\.(fc1\..+)", _APPEARANCE),
            (r"encoder_q\.(fc2\..+)", _MOTION),
            (r"encoder_k\.((?:encoder|fc1|fc2)\..+)", _KEY),
            (r"(queue|queue_ptr)", _QUEUE),
        ),
    ),
    (
        PRETRAINING,
        OURS,
        (
            (r"query_encoder\.encoder\.(.+)", _ENCODER),
            (r"query_encoder\.(appearance\..+)", _APPEARANCE),
            (r"query_encoder\.(motion\..+)", _MOTION),
            (r"key_encoder\.((?:encoder|appearance|motion)\..+)", _KEY),
            (r"(queue\..+)", _QUEUE),
        ),
    ),
    (  # MoCo's, whose `fc` is a projection, not a classifier
        _PLAIN,
        "encoder_q.",
        (
            (r"encoder_q\.((?:fc|linear|classifier)\..+)", _PROJECTION),
            (r"encoder_q\.(.+)", _ENCODER),
        ),
    ),
    (
        _FINE_TUNED,
        "encoder.",
        (
            (r"encoder\.(?:fc|linear)\.(weight|bias)", _DUMMY),
            (r"encoder\.(.+)", _ENCODER),
            (r"fc\.(weight|bias)", _HEAD),
        ),
    ),
    (
        _PLAIN,
        "",
        (
            (r"(?:fc|linear|classifier\.1)\.(weight|bias)", _HEAD),
            (r"(.+)", _ENCODER),
        ),
    ),
)
# A second copy of the network that follows the first: a momentum encoder, a teacher, an average of the weights.
_FOLLOWER = re.compile(r"(^|[._])(k|key|teacher|target|momentum|ema|averaged?)([._]|$)")


@dataclass(frozen=True)
class Entries:
    """The entries of a state dict, sorted by purpose.

    Attributes:
        layout: The naming scheme of the entries.
        arch: Name of the network in rspnet; None if it is none that rspnet knows.
        prefix: Prefix of the names of the network's entries.
        numbered: Whether its parts have numbers instead of names.
        encoder: Name of an entry in the network -> its name in the state dict.
        head: `weight` and `bias` of the classifier -> their names in the state dict; empty without one.
        others: Purpose of the other entries -> their names in the state dict.
        rivals: Other places in the state dict with a network, which make it ambiguous which one is meant.
    """

    layout: str
    arch: str | None
    prefix: str
    numbered: bool
    encoder: dict[str, str]
    head: dict[str, str]
    others: dict[str, list[str]]
    rivals: tuple[str, ...] = ()


def sort_entries(keys: Iterable[str]) -> Entries:
    """Recognise network and layout by a state dict's keys, and sort these by what they are for."""
    keys = list(keys)
    places = _places(keys)
    if not places:
        return Entries(_PLAIN, None, "", False, {}, {}, {OTHERS: keys})
    (arch, prefix, numbered), *rivals = sort_out(places, [prefix for _, prefix, _ in places])
    layout, outer, patterns = _layout(keys, prefix, numbered)
    encoder: dict[str, str] = {}
    head: dict[str, str] = {}
    others: dict[str, list[str]] = {}
    for key in keys:
        purpose, name = _purpose(patterns, key.removeprefix(outer)) if key.startswith(outer) else (OTHERS, key)
        if purpose == _ENCODER:
            encoder[_named(name) if numbered else name] = key
        elif purpose == _HEAD:
            head[name] = key
        else:
            others.setdefault(purpose, []).append(key)
    where = tuple(f"{other_arch} below {other!r}" for other_arch, other, _ in rivals)
    return Entries(layout, arch, prefix, numbered, encoder, head, others, where)


def sort_out(candidates: list[T], names: list[str]) -> list[T]:
    """Return the candidates that are not by their names copies of another (key, teacher, EMA), or all if all are."""
    leaders = [candidate for candidate, name in zip(candidates, names) if not _FOLLOWER.search(name)]
    return leaders or candidates


def _places(keys: list[str]) -> list[tuple[str, str, bool]]:
    """Return (network, prefix, whether numbered) for each place where a network is recognised."""
    known = set(keys)
    marks = [(arch, (mark, _BESIDE.get(arch, mark)), False) for arch, mark in SIGNATURES.items()]
    marks += [(arch, pair, True) for arch, pair in _NUMBERED.items()]
    return [
        (arch, prefix, numbered)
        for arch, (mark, beside), numbered in marks
        for prefix in (key.removesuffix(mark) for key in keys if f".{key}".endswith(f".{mark}"))
        if prefix + beside in known
    ]


def _layout(keys: list[str], prefix: str, numbered: bool) -> tuple[str, str, _Patterns]:
    """Return the layout, the prefix that all of its names share, and the patterns of its entries."""
    for layout, start, patterns in _LAYOUTS:
        outer = prefix.removesuffix(start)
        heads = [pattern for pattern, purpose in patterns if purpose == _HEAD]
        has_head = any(
            key.startswith(outer) and re.fullmatch(pattern, key.removeprefix(outer))
            for key in keys
            for pattern in heads
        )
        if prefix.endswith(start) and not numbered and (has_head or not heads):
            return layout, outer, patterns
    return _PLAIN, prefix, _LAYOUTS[-1][2]


def _purpose(patterns: _Patterns, name: str) -> tuple[str, str]:
    for pattern, purpose in patterns:
        if found := re.fullmatch(pattern, name):
            return purpose, found[1]
    return OTHERS, name


def _named(name: str) -> str:
    number, _, rest = name.partition(".")
    return f"{_PARTS[int(number)]}.{rest}" if number.isdecimal() and int(number) < len(_PARTS) else name
