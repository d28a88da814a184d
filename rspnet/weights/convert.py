"""Convert published checkpoints to ours and ours to published ones; both ways, every value stays the same to the bit.

A published file becomes a folder that can be read like a run folder, with encoder.safetensors and encoder.json. Beside
them lies what only the published code uses: published.pt, the whole file with the tensors of the encoder emptied, and
published.json, which says where those belong. With these the folder can be converted back to the same file. A run
folder, or an encoder.safetensors alone, becomes a published file by rspnet/weights/published.py.
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
"""Reads a run at one of its checkpoints, given as a folder or a link to it."""
_ENCODER, _OUTLINE, _REST = "encoder.safetensors", "published.json", "published.pt"


@dataclass(frozen=True)
class Conversion:
    """The outcome of a conversion.

    Attributes:
        src: What was read.
        dst: What was written.
        layout: What kind of weights `src` holds.
        arch: Name of the network in rspnet.
        epoch: Epochs of training behind it; None if `src` does not say.
        tensors: Number of tensors in `dst`; for a folder, in published.pt.
        lacks: Parts of a published file that are missing in `dst`, because `src` has nothing to make them from.
        notes: Remarks, a sentence each.
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
        """Return a line that says what was converted, and one for each note."""
        epoch = "" if self.epoch is None else f", epoch {self.epoch}"
        what = f"{self.src} ({self.layout}, {self.arch}{epoch}) -> {self.dst} ({self.tensors} tensors)"
        return "\n".join([what, *self.notes])


def convert(src: str | Path, dst: str | Path, read_run: ReadRun) -> Conversion:
    """Convert a published checkpoint to a folder of ours, or weights of ours to a published checkpoint.

    Args:
        src: A published .pth.tar or a plain state dict of a known layout, saved by torch; or a run folder, a checkpoint
            in one, a folder that this function wrote, or an encoder.safetensors alone.
        dst: File or folder to write; nothing of that name may exist.
        read_run: Called if `src` is a run folder with checkpoints, or a checkpoint.

    Raises:
        CheckpointError: If `src` cannot be used or has no counterpart, or `dst` cannot be written.
    """
    src, dst = Path(src), Path(dst)
    if dst.exists() or dst.is_symlink():
        raise CheckpointError(f"{dst}: exists and is not overwritten; give another name")
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
    check_finite(file.path, file.tensors)  # also those that only the published code uses
    filled = _filled(file)
    return _to_published(src, dst, file, read_run=read_run) if ours else _to_folder(src, dst, file, filled=filled)


def _filled(file: WeightFile) -> tuple[nn.Module, Report]:
    """Load the file into its network, as a check; return the encoder and what became of each entry."""
    from rspnet.encoders import create_encoder  # here, because it loads timm
    from rspnet.method.classifier import Classifier

    encoder = create_encoder(file.arch, width=file.width)
    if not file.entries.head:
        return encoder, load_weights(encoder, file)
    classes = file.tensors[next(iter(file.entries.head.values()))].shape[0]
    return encoder, load_weights(Classifier(encoder, classes), file, head=True)


def _to_folder(src: Path, dst: Path, file: WeightFile, *, filled: tuple[nn.Module, Report]) -> Conversion:
    """Write the network by `save_encoder`, and beside it the rest of the file."""
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
        f"{_REST} and {_OUTLINE}, for converting back: {kept or 'nothing'}",
        f"the file does not say what clips it is for; {file.arch} is made for {spec.num_frames} frames of {spec.size} "
        "pixels",
    ]
    if entries.head:
        notes.append("the file does not name its classes: they are taken to be the data set's, in alphabetical order")
    return Conversion(str(src), str(dst), file.layout, file.arch, file.epoch, _num_tensors(rest), [], notes)


def _emptied(src: Path, file: WeightFile, used: tuple[str, ...]) -> dict[str, Any]:
    """Return the file's contents with the `used` entries emptied, because encoder.safetensors holds them."""
    state = copy.copy(file.tensors)
    for key in used:
        value = state[key]
        if type(value) is not Tensor or value.layout is not torch.strided or value.requires_grad:
            raise CheckpointError(
                f"{src}: {key} is a {type(value).__name__} ({value.layout}, requires_grad {value.requires_grad}), "
                "which could not be restored exactly; save its data alone"
            )
        state[key] = value.new_empty(0)
    return state if file.contents is file.tensors else file.contents | {"model": state}


def _num_tensors(contents: object) -> int:
    """Return the number of tensors in nested dicts, lists and tuples."""
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
    buffer = io.BytesIO()  # writing to the disk itself, torch would hide the system's error
    torch.save(contents, buffer)
    path.write_bytes(buffer.getbuffer())


def _to_published(src: Path, dst: Path, file: WeightFile, *, read_run: ReadRun) -> Conversion:
    """Write what the published code loads, as complete as `src` is."""
    tuned, lacks = bool(file.entries.head), list[str]()
    if is_converted(src):
        contents, notes = put_back(src, file), ["every value is that of the file that the folder was converted from"]
    else:
        checkpoint = src if is_checkpoint(src) else src / "checkpoints" / ("best" if tuned else "last")
        notes = ["zeros for the 1-class classifier that the published network has and never uses"]
        if checkpoint.parent.is_dir():
            contents = _of_run(src, file, run := read_run(checkpoint))
            if (optimizer := published.optimizer_of(run)) != "sgd":
                notes.append(f"the run was trained with {optimizer}: the published code's SGD begins without its state")
            if not run.epochs or run.epochs[-1]["step"] != run.step:
                notes.append(f"step {run.step} is within an epoch, which the published code would begin again")
        else:
            contents, lacks = published.of_weights(file)
        if tuned:
            notes.append("the classes in the order of encoder.json, which the published layout has no place for")
            notes.append("for testing by the published code; given as --mc, it would silently load nothing of it")
        if lacks:
            enough = "test, not to go on training" if tuned else "fine-tuning and retrieval, not to go on pretraining"
            notes.append(f"lacks {', '.join(lacks)}, as there is no checkpoints/: enough for the published {enough}")
        elif not tuned:
            length = contents["model"]["queue"].shape[1]
            notes.append(f"to go on pretraining, set the published code's queue length to the same value, {length}")
    with _new(dst) as partial:
        _save(contents, partial)
    # For a fine-tuned run this is the best epoch, which need not be the last one.
    epoch, tensors = contents.get("epoch"), _num_tensors(contents)
    return Conversion(str(src), str(dst), file.layout, file.arch, epoch, tensors, lacks, notes)


def _of_run(src: Path, file: WeightFile, run: published.FinishedRun) -> dict[str, Any]:
    try:
        return published.of_run(file, run)
    except CheckpointError:
        raise
    except KeyError as error:  # not of the checkpoint, which was found unchanged
        raise CheckpointError(
            f"{src}: {error} is missing in its config.yaml or metrics.jsonl; copy the whole run folder"
        ) from error
    except (TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{src}: its config.yaml or metrics.jsonl is damaged ({error}); copy the whole run folder"
        ) from error


def is_converted(folder: Path) -> bool:
    """Return whether this folder was converted from a published file."""
    return (folder / _OUTLINE).is_file()


def put_back(folder: Path, file: WeightFile) -> Any:
    """Return the contents of the file that a folder was converted from.

    Args:
        folder: The folder.
        file: Its encoder.safetensors.

    Raises:
        CheckpointError: If one of its files is missing or was changed.
    """
    try:
        beside = json.loads((folder / _OUTLINE).read_text(encoding="utf-8"))
        for name, was in beside["files"].items():
            if identity(folder / name) != was:
                raise CheckpointError(f"{folder / name}: is not the one that {_OUTLINE} belongs to; convert again")
        contents = load_harmless(folder / _REST)
        state = contents if beside["state_dict"] is None else contents[beside["state_dict"]]
        state |= {f"{beside['prefix']}{key}": value for key, value in file.tensors.items()}
        return contents
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{error.filename}: cannot be read ({error.strerror}); convert again") from error
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, UnpicklingError) as error:
        raise CheckpointError(f"{folder / _OUTLINE}: is damaged ({error!r}); convert again") from error


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
            f"{dst}: cannot be written: the data beside SRC's tensors are nested too deeply; save its state dict alone"
        ) from None
