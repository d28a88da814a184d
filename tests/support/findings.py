"""Made-up runs on a few videos, in the form that the sections of the report take."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa

from rspnet.data.index import new_row, to_dataset
from rspnet.evaluation.features import SCHEMA, Features, write
from rspnet.report.record import Record
from rspnet.report.thumbnails import Thumbnails

NASTY = '<img src=x onerror="document.title=1">&\u202e.mp4'
"""A file name that a page could mistake for markup."""


def record(cache, *, rows=(), **facts):
    """A record of a finished evaluation, with the `rows` of its index and other `facts`."""
    index = to_dataset(rows, cache) if rows else None
    nothing = {"config": {}, "result": None, "metrics": [], "environment": {}, "predictions": {}, "neighbours": []}
    known = {"run_dir": Path(cache), "stage": "evaluate", "features": None, "thumbnails": Thumbnails()}
    return Record(**nothing | known | facts | {"index": index})


def guess(video, label, *classes):
    """A line of predictions.jsonl; each class is a (name, probability)."""
    names, shares = zip(*classes)
    return {"video": video, "label": label, "predicted": list(names), "probability": list(shares)}


def query(video, label, *near):
    """A line of neighbours.jsonl; each neighbour is a (name, class, cosine)."""
    found = [{"video": name, "label": kind, "similarity": cosine} for name, kind, cosine in near]
    return {"video": video, "label": label, "neighbours": found}


def features(values, *, labels=None, splits=None, names=None, window=None):
    """Features of videos; a row with NaN stands for a video that could not be read."""
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


def write_features(path, values, *, weights_sha256=None, seed=None, **facts):
    """Write `features` to a file as an evaluation does."""
    known = features(values, **facts)
    table = known.rows.append_column("feature", pa.array(known.values.tolist(), pa.list_(pa.float32())))
    made = {"shape": [known.values.shape[1]], "window": None, "weights_sha256": weights_sha256, "seed": seed}
    write(str(path), [table], made, shape=known.values.shape[1:])


def rows_of(root, *names, label="a", **facts):
    """Rows of an index, for videos that need not exist."""
    return [new_row(name, str(root), label, **facts) for name in names]


def text_of(html):
    """The visible text of a page, without its tags."""
    return " ".join(re.sub(r"<[^>]*>", " ", str(html)).split())
