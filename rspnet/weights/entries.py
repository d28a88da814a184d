"""The names in a state dict: of which network they are, where in the whole its entries lie, what the others are for.

The layouts known by name are ours, the published code's and torchvision's. Other trainers wrap the same network in
modules of their own (`module.`, `_orig_mod.`, `encoder_q.`, `model.backbone.`) or list its parts by number; the network
is found in there by an entry that no other one has.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

# For each network an entry that no other one has; its first dimension is the network's width.
SIGNATURES = {
    "c3d": "conv1.bias",
    "resnet18": "layer1.0.conv1.weight",
    "r2plus1d": "conv2.block1.bn1.bias",
    "s3dg": "feature.basicConv3d.bn.bias",
    "r3d_18": "layer1.0.conv1.0.weight",
    "r2plus1d_18": "stem.4.bias",
    "s3d": "features.2.1.bias",
}
# Names that are common elsewhere too count only with another of the network beside them.
_BESIDE = {"c3d": "conv5b.weight"}
# Parts of torchvision's residual networks, in the order in which nn.Sequential(*network.children()) numbers them.
_PARTS = ("stem", "layer1", "layer2", "layer3", "layer4")
# Two names each that go together then.
_NUMBERED = {"r3d_18": ("1.0.conv1.0.weight", "0.1.bias"), "r2plus1d_18": ("0.4.bias", "1.0.conv1.0.0.weight")}

_ENCODER, _HEAD = "the encoder", "the classifier"
_DUMMY = "the network's own 1-class classifier, never trained or used"
OTHERS = "what else another trainer keeps there"
_PROJECTION = "its projection, for pretraining only"
_APPEARANCE, _MOTION = "the A-VID head, for pretraining only", "the RSP head, for pretraining only"
_KEY, _QUEUE = "the key encoder, for pretraining only", "the queue, for pretraining only"
PRETRAINING, _FINE_TUNED, _PLAIN = "pretraining checkpoint", "fine-tuned classifier", "encoder"
OURS = "query_encoder.encoder."
"""How the names of the network begin in a pretraining of ours."""
# A layout, where the network lies, and (pattern of an entry, what it is for) with the entry's name there as group 1.
# The first layout and the first pattern that fit count.
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
    (  # MoCo's, whose `fc` is no classifier
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
# A second copy of the network that follows the first: the momentum encoder, the teacher, the average of the weights.
_FOLLOWER = re.compile(r"(^|[._])(k|key|teacher|target|momentum|ema|averaged?)([._]|$)")


@dataclass(frozen=True)
class Entries:
    """A state dict, sorted.

    Attributes:
        layout: How the entries are named.
        arch: The network, by our name; None if they are no known network's.
        prefix: How the names of the network's entries begin.
        numbered: Whether its parts have numbers in place of names.
        encoder: The network's name of an entry -> its name in the state dict.
        head: `weight` and `bias` of the classifier -> names in the state dict; empty without one.
        others: What entries are for -> their names in the state dict.
        rivals: Where else the state dict has the same network, so that nobody can tell which is meant.
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
    """Find out the network and layout of a state dict's keys, and what each entry is for."""
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
    """Return the candidates without those whose name says that they follow another one, if others are left."""
    leaders = [candidate for candidate, name in zip(candidates, names) if not _FOLLOWER.search(name)]
    return leaders or candidates


def _places(keys: list[str]) -> list[tuple[str, str, bool]]:
    """Return (network, prefix, whether numbered) wherever a network's own entry is found."""
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
    """Return the layout, how all of its names begin, and what they mean."""
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
