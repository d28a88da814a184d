"""Runs of a few made-up videos, as the sections of the report take them."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa

from rspnet.data.index import new_row, to_dataset
from rspnet.evaluation.features import SCHEMA, Features, write
from rspnet.report.record import Record
from rspnet.report.thumbnails import Thumbnails

NASTY = '<img src=x onerror="document.title=1">&\u202e.mp4'
"""A name that a page could take for something else."""


def record(cache, *, rows=(), **facts):
    """A finished evaluation; `rows` of an index, and what else a record holds."""
    index = to_dataset(rows, cache) if rows else None
    nothing = {"config": {}, "result": None, "metrics": [], "environment": {}, "predictions": {}, "neighbours": []}
    known = {"run_dir": Path(cache), "stage": "evaluate", "features": None, "thumbnails": Thumbnails()}
    return Record(**nothing | known | facts | {"index": index})


def guess(video, label, *classes):
    """A line of predictions.jsonl; each class is a pair of its name and its probability."""
    names, shares = zip(*classes)
    return {"video": video, "label": label, "predicted": list(names), "probability": list(shares)}


def query(video, label, *near):
    """A line of neighbours.jsonl; each neighbour is a name, a class and a cosine."""
    found = [{"video": name, "label": kind, "similarity": cosine} for name, kind, cosine in near]
    return {"video": video, "label": label, "neighbours": found}


def features(values, *, labels=None, splits=None, names=None, window=None):
    """Features of videos; those with NaN could not be read."""
    values = np.asarray(values, np.float32)
    number = len(values)
    facts = {
        "video": names or [f"{place}.mp4" for place in range(number)],
        "label": labels or [None] * number,
        "split": splits or [None] * number,
        "status": ["ok" if np.isfinite(value).all() else "broken" for value in values],
    }
    schema = SCHEMA.remove(SCHEMA.get_field_index("feature"))
    rows = pa.table({name: facts.get(name, [None] * number) for name in schema.names}, schema)
    return Features(rows, values, {"window": window, "step": None})


def write_features(path, values, *, weights_sha256=None, **facts):
    """Write features of `features` as an evaluation leaves them."""
    known = features(values, **facts)
    table = known.rows.append_column("feature", pa.array(known.values.tolist(), pa.list_(pa.float32())))
    made = {"shape": [known.values.shape[1]], "window": None, "weights_sha256": weights_sha256}
    write(str(path), [table], made, shape=known.values.shape[1:])


def rows_of(root, *names, label="a", **facts):
    """Rows of an index, of videos that need not be there."""
    return [new_row(name, str(root), label, **facts) for name in names]


def text_of(html):
    """What is read of a page: its text, without what stands in the elements' tags."""
    return " ".join(re.sub(r"<[^>]*>", " ", str(html)).split())
