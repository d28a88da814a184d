"""The predictions of a classifier, as lines on standard output, as JSON Lines, or as Parquet."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from rspnet.data.rows import Row
from rspnet.disk import is_there, whole
from rspnet.errors import ConfigError
from rspnet.evaluation.forward import Window
from rspnet.stdout import print_json

SCHEMA = pa.schema(
    [
        ("video", pa.string()),  # path
        ("start", pa.float64()),  # seconds
        ("end", pa.float64()),
        ("classes", pa.list_(pa.string())),  # best first
        ("probabilities", pa.list_(pa.float64())),
        ("status", pa.string()),  # ok, or why there are no classes
    ]
)
"""The keys of a line."""

_AT_ONCE = 1024


def check_out(out: str) -> None:
    """Check that `write` may write to `out`.

    Raises:
        ConfigError: `out` has another suffix than .parquet or .jsonl, is a folder, or was made by another program.
    """
    if out == "-":
        return
    if os.path.splitext(out)[1].lower() not in (".parquet", ".jsonl"):
        raise ConfigError(f"--out: {out}; predictions go into a .parquet or a .jsonl file, or - for standard output")
    if not is_there(out):
        return
    if os.path.isdir(out):
        raise ConfigError(f"--out: {out} is a folder; name a file")
    if not _is_ours(out):
        raise ConfigError(f"--out: {out} exists and holds no predictions; choose another name, or remove it")


def _is_ours(path: str) -> bool:
    """Return whether a file looks like the output of `write`, by its first line or its columns, or is empty."""
    try:
        if path.lower().endswith(".parquet"):
            return bool(pq.read_schema(path).equals(SCHEMA))
        with open(path, encoding="utf-8") as file:
            line = file.readline()
        return not line or list(json.loads(line)) == SCHEMA.names
    except (OSError, ValueError, TypeError, pa.ArrowException, RecursionError):
        return False


def ranked(logits: torch.Tensor, k: int) -> list[tuple[list[int], list[float]]]:
    """Return the likeliest classes of each sample, best first, and their probabilities.

    Of equal logits the lower class number comes first.

    Args:
        logits: (N, classes).
        k: maximum number of classes.
    """
    probabilities = logits.softmax(1)
    best = logits.argsort(dim=1, descending=True, stable=True)[:, :k]
    shares = probabilities.gather(1, best).tolist()
    return [(numbers, [round(each, 5) for each in of_one]) for numbers, of_one in zip(best.tolist(), shares)]


class Sayings:
    """Turns windows into lines, and counts them.

    Args:
        rows: rows of an index, the videos.
        names: names of the classes, in the order of the logits.
        top: maximum number of classes in a line.
        splits: splits of the videos.
    """

    def __init__(self, rows: Sequence[Row], names: Sequence[str], top: int, *, splits: Sequence[str | None]) -> None:
        self._rows = rows
        self._splits = splits
        self._names = names
        self._known = set(names)
        self._top = top
        self._status: Counter[str] = Counter()
        self._labelled = self._right = self._training = 0

    def line(self, window: dict[str, Any]) -> dict[str, Any]:
        """Return the line of a window, with the keys of `SCHEMA`.

        Args:
            window: `row`, `start`, `end`, `status`, and `value`, the logits.
        """
        row, classes, probabilities = self._rows[window["row"]], None, None
        self._status[window["status"]] += 1
        if window["status"] == "ok":
            ((best, probabilities),) = ranked(torch.as_tensor(window["value"], dtype=torch.float32)[None], self._top)
            classes = [self._names[each] for each in best]
            if row["label"] in self._known:
                self._labelled += 1
                self._training += self._splits[window["row"]] == "train"
                self._right += classes[0] == row["label"]
        known = {name: window[name] for name in ("start", "end", "status")}
        found = {"video": row["video"], "classes": classes, "probabilities": probabilities} | known
        return {name: found[name] for name in SCHEMA.names}

    def summary(self) -> dict[str, Any]:
        """Return the number of lines with classes, of each other status, and the top-1 accuracy of the labelled ones.

        How many of the labelled ones are of training videos is counted too, since the network may have learnt them.
        """
        failed = {status: number for status, number in self._status.most_common() if status != "ok"}
        counts = {"num_predictions": self._status["ok"], "failed": failed, "num_labelled": self._labelled}
        counts["num_labelled_for_training"] = self._training
        return counts | ({"top1": round(100 * self._right / self._labelled, 2)} if self._labelled else {})


def facts(window: Window) -> dict[str, Any]:
    """Return a window in the form that `Sayings.line` takes."""
    span = {"start": None, "end": None} if window.span is None else window.span._asdict()
    return {"row": window.row, "status": window.status, "value": window.value} | span


def write(lines: Iterable[dict[str, Any]], out: str) -> None:
    """Write lines as they come; a file gets its name only when it is complete.

    Raises:
        DiskError, ConfigError: `out` cannot be written to.
    """
    if out == "-":
        for line in lines:
            print_json(line)
    elif out.lower().endswith(".jsonl"):
        with whole(out) as part, open(part, "w", encoding="utf-8") as file:
            for line in lines:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
    else:
        with whole(out) as part, pq.ParquetWriter(part, SCHEMA, compression="zstd") as writer:
            for some in _parts(iter(lines)):
                writer.write_table(pa.Table.from_pylist(some, SCHEMA))


def _parts(lines: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while some := list(islice(lines, _AT_ONCE)):
        yield some
