"""Export a network for other tools: a folder for the Hub or timm, an ONNX file, a torch.export archive.

Written are the network, in float32 and with its classifier if the weights have one, and the clips that it expects. A
folder appears complete or not at all; it replaces an earlier export and nothing else.
"""

import dataclasses
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from rspnet import __version__
from rspnet.console import some
from rspnet.disk import identity, whole
from rspnet.encoders import VideoEncoder, create_encoder
from rspnet.errors import CheckpointError, ConfigError
from rspnet.temporary import names_in, sweep
from rspnet.weights import exported, graphs
from rspnet.weights.card import model_card
from rspnet.weights.load import load_weights, write_tensors
from rspnet.weights.read import WeightFile

Format = Literal["hub", "timm", "onnx", "torch_export"]
ENDINGS = {"onnx": ".onnx", "torch_export": ".pt2"}
"""File name endings of the formats that are a single file."""

_ENDINGS_OF_ALL = {**ENDINGS, "published": ".pth.tar"}
_FILES = (".onnx", ".pt2", ".pth", ".pt", ".tar", ".safetensors")
_HERE = ("run_dir", "weights")  # paths on this machine in a run's result


@dataclass(frozen=True)
class Package:
    """A network to export.

    Attributes:
        network: The encoder with its classifier, in eval mode, with its `clip`.
        said: What is known of it, under the keys of encoder.json, with `recipe` and `results`.
        notes: Remarks for the user, a sentence each.
    """

    network: VideoEncoder
    said: dict[str, Any]
    notes: list[str]


def package(file: WeightFile, recipe: dict[str, Any] | None, results: list[dict[str, Any]]) -> Package:
    """Load the network to export, and gather what is known of it.

    Args:
        file: The weights.
        recipe: The training's options that affect its outcome, by section; None to take those in the file, if any.
        results: What was measured; empty to take the results in the file, if any.

    Raises:
        CheckpointError: If the file's entries are not those of its network, the number of class names is not that of
            the classes, or what is known of the training is damaged.
    """
    said = file.description
    network = create_encoder(file.arch, num_classes=file.num_classes, width=file.width).eval()
    load_weights(network, file, head=bool(file.num_classes))
    names = said.get("class_names") if file.num_classes else None
    if names is not None and len(names) != file.num_classes:
        classes = some(file.num_classes, "class", "classes")
        raise CheckpointError(f"{file.path}: its classifier is for {classes}, but it names {len(names)}")
    known = {
        "arch": file.arch,
        "kwargs": {"width": file.width},
        "num_features": network.num_features,
        "num_classes": file.num_classes,
        "class_names": names,
        "clip": dataclasses.asdict(network.clip),
        "clip_unknown": "clip" not in said or said.get("clip_unknown", False),
        "provenance": _provenance(file),
        "recipe": recipe or said.get("recipe"),
        "results": results or said.get("results", []),
    }
    try:
        told = json.loads(json.dumps(known, allow_nan=False))
        model_card(file.path.name, told, weights_license=None, repo=None)  # only to see whether it can be made
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{file.path}: the record of the training beside it is damaged ({error!r}); copy the whole folder again"
        ) from error
    return Package(network, told, _notes(file, known))


def _provenance(file: WeightFile) -> dict[str, Any]:
    """Return what is known of the training, without paths on this machine."""
    known = file.description.get("provenance")
    if not isinstance(known, dict):
        source = {"file": file.path.name, "layout": file.layout, **identity(file.path)}
        return {"epoch": file.epoch, "source": source}
    kept = {name: value for name, value in known.items() if name not in _HERE}
    return kept | ({"weights": Path(known["weights"]).name} if isinstance(known.get("weights"), str) else {})


def _notes(file: WeightFile, known: dict[str, Any]) -> list[str]:
    used = [file.tensors[key] for key in (*file.entries.encoder.values(), *file.entries.head.values())]
    kinds = {value.dtype for value in used if value.is_floating_point()} - {torch.float32}
    notes = []
    if kinds:
        named = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds))
        notes.append(f"its values are {named}, and are written as float32")
    if known["clip_unknown"]:
        clip = known["clip"]
        notes.append(
            f"does not say what clips it is for; those that {file.arch} is made for are written, {clip['num_frames']} "
            f"frames of {clip['size']} pixels"
        )
    if file.num_classes and known["class_names"] is None:
        notes.append("does not name its classes; they are numbered")
    return notes


def place(dst: str, form: str, source: str) -> Path:
    """Return the path of an export: the folder `dst`, or for a single file `dst` if its ending fits, else a file in it.

    Args:
        dst: Destination as the user gave it.
        form: The format.
        source: The weights as the user gave them.

    Raises:
        ConfigError: If something other than an earlier export is there, or the place is within `source`.
    """
    ending = _ENDINGS_OF_ALL.get(form)
    path, origin = Path(os.path.realpath(dst)), Path(os.path.realpath(source))
    if path == origin or (origin.is_dir() and origin in path.parents):
        raise ConfigError(f"{dst}: lies in {source}, which is to be exported; give a place outside it")
    if ending is None:
        _check_folder(dst, path)
        return path
    if not path.name.endswith(ending):
        remedy = f"give it a name that ends in {ending}, or name a folder"
        if path.name.endswith(_FILES):
            raise ConfigError(f"{dst}: has the ending of another kind of file; {remedy}")
        if path.is_file():
            raise ConfigError(f"{dst}: is a file; {remedy}")
        if path.is_dir() and (others := names_in(path) - {f"model{ending}"}):
            other = min(others)
            raise ConfigError(f"{dst}: is not empty, and {other} in it is no such export; give another name")
        path /= f"model{ending}"
    if path.exists() and (form == "published" or not path.is_file() or not graphs.is_ours(path)):
        why = "a published file is not replaced" if form == "published" else "is no earlier export in this format"
        raise ConfigError(f"{path}: exists, and {why}; give another name")
    return path


def _check_folder(dst: str, path: Path) -> None:
    if path.name.endswith(_FILES):
        form = next((f", or --format {name}" for name, end in _ENDINGS_OF_ALL.items() if path.name.endswith(end)), "")
        raise ConfigError(f"{dst}: has the ending of a file; give a folder's name{form}")
    if not os.path.lexists(path):
        return
    if not path.is_dir():
        raise ConfigError(f"{dst}: is a file; an export in this format is a folder, give another name")
    names = {each.name for each in path.iterdir()}
    if names and exported.read_export(path) is None:
        strange = sorted(names - {exported.MODEL, exported.CONFIG, exported.CARD}) or [exported.CONFIG]
        raise ConfigError(
            f"{dst}: is not empty, and holds something other than an earlier export ({strange[0]}); give another name"
        )


def write(path: Path, form: Format, what: Package, *, weights_license: str | None, repo: str | None) -> list[str]:
    """Write an export.

    Args:
        path: From `place`.
        form: The format.
        what: From `package`.
        weights_license: A licence identifier of the Hub; None if it is left open.
        repo: Repository on the Hub, ORG/NAME, for the card.

    Returns:
        Remarks for the user, a sentence each.

    Raises:
        DiskError, ConfigError: If it cannot be written.
        ConfigError: If a card that was edited by hand would be lost.
    """
    sweep(path.parent)
    if form in ENDINGS:
        said = {name: value for name, value in what.said.items() if name not in ("kwargs", "clip", "clip_unknown")}
        said |= {**what.said["clip"], "width": what.said["kwargs"]["width"], "license": weights_license}
        said |= {"rspnet_version": __version__}
        writer: Callable[..., None] = graphs.write_onnx if form == "onnx" else graphs.write_torch_export
        with whole(path) as temporary:
            writer(temporary, what.network, said)
        return []
    make_card = partial(model_card, path.name, weights_license=weights_license, repo=repo) if form == "hub" else None
    with whole(path, folder=True, over=True) as folder:
        return _fill(folder, path, what, weights_license=weights_license, make_card=make_card)


def _fill(
    folder: Path,
    earlier: Path,
    what: Package,
    *,
    weights_license: str | None,
    make_card: Callable[[dict[str, Any]], str] | None,
) -> list[str]:
    """Write the files of an exported folder, keeping the earlier export's card if it was edited by hand."""
    state = what.network.state_dict()
    # A single key: safetensors writes several in any order, and the same network must give the same file.
    write_tensors(folder / exported.MODEL, state, {exported.MARK: f"described by {exported.CONFIG}"})
    weights = {"file": exported.MODEL, **identity(folder / exported.MODEL)}
    notes, card = [], {}
    said = exported.read_export(earlier) if earlier.is_dir() else None
    changed = None if said is None else exported.changed_card(earlier, said)
    if said is not None and changed is not None:
        if make_card is None or said.get("weights") != weights:
            raise ConfigError(
                f"{earlier}: its {exported.CARD} was changed by hand, and would be lost with this export; "
                "move it away, or give another name"
            )
        (folder / exported.CARD).write_text(changed, encoding="utf-8")
        card = {"card": said.get("card")}
        unsaid = f"; say there that the weights' licence is {weights_license}" if weights_license else ""
        notes.append(f"{exported.CARD} was changed by hand, and is kept{unsaid}")
    elif make_card is not None:
        (folder / exported.CARD).write_text(make_card(what.said), encoding="utf-8")
        card = {"card": identity(folder / exported.CARD)}
    config = _config(what, weights_license)
    config[exported.MARK] |= {"weights": weights, **card}
    text = json.dumps(config, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / exported.CONFIG).write_text(text + "\n", encoding="utf-8")
    return notes


def _config(what: Package, weights_license: str | None) -> dict[str, Any]:
    """Return the contents of config.json, as timm reads it; `rspnet.weights.exported.described` is the inverse."""
    said, network = what.said, what.network
    cfg = {name: value for name, value in network.pretrained_cfg.items() if name not in ("url", "architecture", "tag")}
    cfg |= {"num_classes": said["num_classes"]} | ({"license": weights_license} if weights_license else {})
    ours = {name: said[name] for name in ("provenance", "clip_unknown", "recipe", "results")}
    return {
        "architecture": f"rspnet_{said['arch']}",
        "num_classes": said["num_classes"],
        "num_features": said["num_features"],
        **({"label_names": said["class_names"]} if said["class_names"] else {}),
        "model_args": {**said["kwargs"], "clip": said["clip"]},
        "pretrained_cfg": cfg,
        exported.MARK: {"version": __version__, **ours},
    }
