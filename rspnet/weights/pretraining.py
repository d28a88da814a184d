"""Begin a pretraining with the weights of another one: with everything of it that the file holds.

That is its encoder and, from a published pretraining checkpoint or a checkpoint of a run, its two heads, key encoder
and queue. Steps, learning rate and the optimiser's momentum begin anew, because videos, speeds and all else may be
different.
"""

import re
from typing import TYPE_CHECKING

from torch import Tensor, nn

from rspnet.method.momentum import Queue
from rspnet.weights.convert import is_converted, put_back
from rspnet.weights.description import NAME
from rspnet.weights.entries import OURS, PRETRAINING, sort_entries
from rspnet.weights.finite import check_finite
from rspnet.weights.load import load_weights

if TYPE_CHECKING:
    from rspnet.weights.read import WeightFile

# Published name -> ours.
_RENAMED = (
    (r"^encoder_q\.", "query_encoder."),
    (r"^encoder_k\.", "key_encoder."),
    (r"\.fc1\.2\.", ".appearance."),
    (r"\.fc2\.2\.", ".motion."),
    (r"^queue$", "queue.columns"),
    (r"^queue_ptr$", "queue.pointer"),
)
# Part -> pattern of its names, in this order because each part is of use only with those before it.
_PARTS = {
    "heads": r"query_encoder\.(appearance|motion)\..+",
    "key encoder": r"key_encoder\..+",
    "queue": r"queue\..+",
}


def load_pretraining(network: nn.Module, file: "WeightFile") -> list[str]:
    """Load everything that a weight file holds of a pretraining into an `RSPNet`; the rest keeps its fresh values.

    A key encoder that the file does not have becomes a copy of the query encoder, as at the start of any pretraining.

    Args:
        network: An `RSPNet`; the `clip` of its query encoder is set by `clip_of` the file.
        file: A weight file of any layout.

    Returns:
        One line that says which parts were found and which were not.

    Raises:
        CheckpointError: If the file holds another network, or values that are NaN or infinite. The network may then be
            partly changed.
    """
    query, key = network.get_submodule("query_encoder"), network.get_submodule("key_encoder")
    report = load_weights(query.get_submodule("encoder"), file)
    theirs, ours = tensors_of(file), network.state_dict()
    found, lacking = ["encoder"], list[str]()
    for part, pattern in _PARTS.items():
        names = [name for name in ours if re.fullmatch(pattern, name)]
        misfit = _misfit(names, theirs, ours)
        if misfit or lacking:  # a queue is useless without the key encoder that filled it, and that without its heads
            lacking.append(f"{part} ({misfit})" if misfit else part)
            continue
        found.append(part)
        loaded = {name: theirs[name] for name in names if name in theirs}
        check_finite(file.path, loaded)
        network.load_state_dict(loaded, strict=False)
        if isinstance(queue := network.get_submodule("queue"), Queue) and part == "queue":
            queue.begun = queue.columns.shape[1]
    if "key encoder" not in found:
        key.load_state_dict(query.state_dict())
    what = f"{file.layout}, {file.arch}" + (f", epoch {report.epoch}" if report.epoch is not None else "")
    fresh = f"; fresh: {', '.join(lacking)}" if lacking else ""
    return [f"{file.path} ({what}): training begins with its {', '.join(found)}{fresh}"]


def sizes_of(file: "WeightFile") -> dict[str, int]:
    """Return `dim` and `queue_length` of the pretraining in a file; empty if it has no queue."""
    columns = tensors_of(file).get("queue.columns")
    return {} if columns is None or columns.ndim != 2 else dict(zip(("dim", "queue_length"), columns.shape))


def tensors_of(file: "WeightFile") -> dict[str, Tensor]:
    """Return the entries of the pretraining in a file under the names of an `RSPNet`; empty for other files.

    The folder that a published file was converted to has them too.
    """
    tensors, entries = file.tensors, file.entries
    if is_converted(file.path.parent) and file.path.name == NAME:
        tensors = put_back(file.path.parent, file)["model"]
        entries = sort_entries(tensors)
    if entries.layout != PRETRAINING:
        return {}
    start = next(start for start in (OURS, "encoder_q.encoder.") if entries.prefix.endswith(start))
    outer = entries.prefix.removesuffix(start)
    return {_renamed(key.removeprefix(outer)): value for key, value in tensors.items() if key.startswith(outer)}


def _renamed(name: str) -> str:
    for pattern, ours in _RENAMED:
        name = re.sub(pattern, ours, name)
    return name


def _misfit(names: list[str], theirs: dict[str, Tensor], ours: dict[str, Tensor]) -> str | None:
    """Return why a part cannot be loaded, or None if it can."""
    counters = "num_batches_tracked"  # absent from the oldest files
    if any(name not in theirs and not name.endswith(counters) for name in names):
        return "not in the file"
    other = [name for name in names if name in theirs and theirs[name].shape != ours[name].shape]
    if not other:
        return None
    there, here = (" x ".join(map(str, tensors[other[0]].shape)) for tensors in (theirs, ours))
    return f"{there} in the file, {here} here"
