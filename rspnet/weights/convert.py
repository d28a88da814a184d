"""Published checkpoints to ours, and ours to published ones; there and back, every value is the same to the bit.

A published file becomes a folder that is read as a run folder is: encoder.safetensors and encoder.json, and beside them
what only the published code has a use for: published.pt, the whole file but for the encoder's tensors, which are empty
there, and published.json, which says where they go. With these the folder becomes the same file again. A run folder, or
weights of ours alone, become a published file in the way of rspnet/weights/published.py.
"""

import copy
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from rspnet.disk import identity, whole
from rspnet.errors import CheckpointError
from rspnet.temporary import sweep
from rspnet.weights import published
from rspnet.weights.description import find_weights, settled
from rspnet.weights.finite import check_finite
from rspnet.weights.load import Report, load_weights, save_encoder
from rspnet.weights.manifest import is_checkpoint
from rspnet.weights.read import WeightFile, load_harmless, read_weights

ReadRun = Callable[[Path], published.FinishedRun]
"""Reads a run at one of its checkpoints, whose folder, or link to it, is given."""
_ENCODER, _OUTLINE, _REST = "encoder.safetensors", "published.json", "published.pt"


@dataclass(frozen=True)
class Conversion:
    """What was converted.

    Attributes:
        src: What was read.
        dst: What was written.
        layout: What kind of weights `src` holds.
        arch: The network, by our name.
        epoch: Epochs of training behind it; None if `src` does not say.
        tensors: How many `dst` holds.
        lacks: What a published file has and this one does not, because `src` has nothing to make it of.
        notes: What else to know, a sentence each.
    """

    src: str
    dst: str
    layout: str
    arch: str
    epoch: int | None
    tensors: int
    lacks: list[str]
    notes: list[str]

    def summary(self) -> str:
        """Return a line on what was done, and one for each note."""
        epoch = "" if self.epoch is None else f", epoch {self.epoch}"
        what = f"{self.src} ({self.layout}, {self.arch}{epoch}) -> {self.dst} ({self.tensors} tensors)"
        return "\n".join([what, *self.notes])


def convert(src: str | Path, dst: str | Path, read_run: ReadRun) -> Conversion:
    """Convert a published checkpoint to a folder of ours, or weights of ours to a published checkpoint.

    Args:
        src: A published .pth.tar, or another file of torch's that `load_encoder` reads; or the folder of a run, a
            checkpoint of one, a folder that this function wrote, or an encoder.safetensors alone.
        dst: What to write; nothing of that name may exist.
        read_run: Asked where `src` is of a run.

    Raises:
        CheckpointError: If `src` cannot be used or has no counterpart, or `dst` cannot be written.
    """
    src, dst = Path(src), Path(dst)
    if dst.exists() or dst.is_symlink():
        raise CheckpointError(f"{dst}: exists, and is not overwritten; give another name")
    src = Path(settled(str(src)))
    ours = find_weights(src).suffix == ".safetensors" or is_checkpoint(src)
    if ours and dst.suffix not in (".tar", ".pth", ".pt"):
        raise CheckpointError(f"{dst}: {src} becomes a file of the published layout; give a name that ends in .pth.tar")
    if not ours and dst.suffix in (".tar", ".pth", ".pt", ".safetensors"):
        raise CheckpointError(f"{dst}: {src} becomes a folder; give it a folder's name")
    file = read_weights(src)
    if not file.known:
        raise CheckpointError(
            f"{src}: is of another trainer's layout ({file.layout}), which has no counterpart; --weights takes it as "
            "it is"
        )
    check_finite(file.path, file.tensors)  # also of what the published code alone would use
    filled = _filled(file)
    return _to_published(src, dst, file, read_run=read_run) if ours else _to_folder(src, dst, file, filled=filled)


def _filled(file: WeightFile) -> tuple[nn.Module, Report]:
    """Make sure that the file fills a network, and say with what."""
    from rspnet.encoders import create_encoder  # here, because it loads timm
    from rspnet.method.classifier import Classifier

    encoder = create_encoder(file.arch, width=file.width)
    if not file.entries.head:
        return encoder, load_weights(encoder, file)
    classes = file.tensors[next(iter(file.entries.head.values()))].shape[0]
    return encoder, load_weights(Classifier(encoder, classes), file, head=True)


def _to_folder(src: Path, dst: Path, file: WeightFile, *, filled: tuple[nn.Module, Report]) -> Conversion:
    """Write the network as `save_encoder` does, and beside it what is left of the file."""
    from rspnet.encoders import encoder_spec

    (encoder, report), entries, spec = filled, file.entries, encoder_spec(file.arch)
    start = "encoder_q.encoder." if entries.layout == "pretraining checkpoint" else ""
    used = (*entries.encoder.values(), *entries.head.values())
    rest = _emptied(src, file, used)
    stages = {"pretraining checkpoint": "pretrain", "fine-tuned classifier": "finetune"}
    clip = {"num_frames": spec.num_frames, "stride": 1, "size": spec.size, "mean": spec.mean, "std": spec.std}
    description = {
        "arch": file.arch,
        "kwargs": {"width": file.width},
        "num_features": encoder.num_features,
        "clip": {**clip, "channels": "RGB"},
        "clip_unknown": True,
        "provenance": {
            "stage": stages.get(entries.layout),
            "epoch": file.epoch,
            "converted_from": {"file": src.name, **identity(src)},
        },
    }
    if (queue := file.tensors.get("queue")) is not None and queue.ndim == 2 and queue.numel():
        description["pretext"] = {"dim": len(queue), "queue_length": queue.shape[1]}
    with _new(dst, folder=True) as folder:
        save_encoder(folder, {key.removeprefix(start): file.tensors[key] for key in used}, description)
        _save(rest, folder / _REST)
        beside = {
            "format": 1,
            "files": {name: identity(folder / name) for name in (_ENCODER, _REST)},
            "state_dict": None if file.contents is file.tensors else "model",
            "prefix": start,
        }
        (folder / _OUTLINE).write_text(json.dumps(beside, allow_nan=False) + "\n", encoding="utf-8")
    kept = "; ".join(f"{why} ({len(keys)})" for why, keys in report.ignored.items())
    notes = [
        f"{_ENCODER}: the network's {len(used)} entries",
        f"{_REST} and {_OUTLINE}, for the way back: {kept or 'nothing'}",
        f"the file does not say what clips it is for; {file.arch} is made for {spec.num_frames} frames of {spec.size} "
        "pixels",
    ]
    if entries.head:
        notes.append("the file does not name its classes: they are taken to be the data set's, in alphabetical order")
    return Conversion(str(src), str(dst), file.layout, file.arch, file.epoch, _num_tensors(rest), [], notes)


def _emptied(src: Path, file: WeightFile, used: tuple[str, ...]) -> dict[str, Any]:
    """Return the file's contents with nothing in the entries that are kept elsewhere."""
    state = copy.copy(file.tensors)
    for key in used:
        value = state[key]
        if type(value) is not Tensor or value.layout is not torch.strided or value.requires_grad:
            raise CheckpointError(
                f"{src}: {key} is a {type(value).__name__} ({value.layout}, requires_grad {value.requires_grad}), "
                "which would not come back as it is; save its data alone"
            )
        state[key] = value.new_empty(0)
    return state if file.contents is file.tensors else file.contents | {"model": state}


def _num_tensors(contents: object) -> int:
    """Return how many tensors there are in dicts, lists and tuples in one another."""
    number, seen, todo = 0, set(), [contents]
    while todo:
        value = todo.pop()
        if isinstance(value, Tensor):
            number += 1
        elif isinstance(value, dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            todo += value.values() if isinstance(value, dict) else value
    return number


def _save(contents: object, path: Path) -> None:
    buffer = io.BytesIO()  # torch itself hides what the disk says
    torch.save(contents, buffer)
    path.write_bytes(buffer.getbuffer())


def _to_published(src: Path, dst: Path, file: WeightFile, *, read_run: ReadRun) -> Conversion:
    """Write what the published code loads, as complete as `src` is."""
    tuned, lacks = bool(file.entries.head), list[str]()
    if is_converted(src):
        contents, notes = put_back(src, file), ["every value as in the file that the folder was converted from"]
    else:
        checkpoint = src if is_checkpoint(src) else src / "checkpoints" / ("best" if tuned else "last")
        notes = ["zeros for the 1-class classifier that the published network has, and never uses"]
        if checkpoint.parent.is_dir():
            contents = _of_run(src, file, run := read_run(checkpoint))
            if not run.epochs or run.epochs[-1]["step"] != run.step:
                notes.append(f"step {run.step} is in the middle of an epoch, which the published code would begin anew")
        else:
            contents, lacks = published.of_weights(file)
        if tuned:
            notes.append("the classes in the order of encoder.json, which the published layout has no place for")
            notes.append("to be tested by the published code; as --mc it would silently load nothing of it")
        if lacks:
            enough = "test, not to go on training" if tuned else "fine-tuning and retrieval, not to go on pretraining"
            notes.append(f"lacks {', '.join(lacks)}, for want of checkpoints/: enough for the published {enough}")
        elif not tuned:
            length = contents["model"]["queue"].shape[1]
            notes.append(f"to go on pretraining, the published code must be told the same queue length, {length}")
    with _new(dst) as partial:
        _save(contents, partial)
    # Of a fine-tuned run it is the best epoch, which need not be the last one.
    epoch, tensors = contents.get("epoch"), _num_tensors(contents)
    return Conversion(str(src), str(dst), file.layout, file.arch, epoch, tensors, lacks, notes)


def _of_run(src: Path, file: WeightFile, run: published.FinishedRun) -> dict[str, Any]:
    try:
        return published.of_run(file, run)
    except CheckpointError:
        raise
    except KeyError as error:  # the checkpoint has been found unchanged
        raise CheckpointError(
            f"{src}: {error} is missing in its config.yaml or metrics.jsonl; copy the whole run folder"
        ) from error
    except (TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{src}: its config.yaml or metrics.jsonl is damaged ({error}); copy the whole run folder"
        ) from error


def is_converted(folder: Path) -> bool:
    """Whether a published file was converted to this folder."""
    return (folder / _OUTLINE).is_file()


def put_back(folder: Path, file: WeightFile) -> Any:
    """Return the contents of the file that a folder was converted from.

    Args:
        folder: The folder.
        file: Its encoder.safetensors.

    Raises:
        CheckpointError: If one of its files is missing, or is not as it was written.
    """
    try:
        beside = json.loads((folder / _OUTLINE).read_text(encoding="utf-8"))
        for name, was in beside["files"].items():
            if identity(folder / name) != was:
                raise CheckpointError(f"{folder / name}: is not the one that {_OUTLINE} belongs to; convert anew")
        contents = load_harmless(folder / _REST)
        state = contents if beside["state_dict"] is None else contents[beside["state_dict"]]
        state |= {f"{beside['prefix']}{key}": value for key, value in file.tensors.items()}
        return contents
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{error.filename}: cannot be read ({error.strerror}); convert anew") from error
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, UnpicklingError) as error:
        raise CheckpointError(f"{folder / _OUTLINE}: is damaged ({error!r}); convert anew") from error


@contextmanager
def _new(dst: Path, folder: bool = False) -> Iterator[Path]:
    sweep(dst.parent)
    try:
        with whole(dst, folder=folder, replace=False) as partial:
            yield partial
    except OSError as error:
        raise CheckpointError(f"{dst}: cannot be written ({error.strerror or error}); give another name") from error
    except RecursionError:
        raise CheckpointError(
            f"{dst}: cannot be written: what SRC holds beside its tensors is nested too deep; save its state dict alone"
        ) from None
