"""The confusion matrix: a table if there are few classes, else a drawing with the classes ordered by clustering."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from rspnet.console import percent, some
from rspnet.report.lines import Judged, judged
from rspnet.report.record import Record
from rspnet.report.section import Section
from rspnet.report.tables import details, table
from rspnet.terminal import visible

_TABLE = 25
"""Most classes for which the matrix is a table of numbers; beyond, it is a drawing."""
_IN_ORDER = 12
"""Most classes that stay in alphabetical order; beyond, they are clustered."""
_NAMED = 25
"""Most pairs of confused classes that are listed."""
_STEPS = (0.05, 0.15, 0.3, 0.5, 0.75, 1.0)
"""Largest share of a class's videos that is drawn in each colour, from the palest colour to the strongest."""

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix of C classes.

    Attributes:
        names: Names of the classes.
        counts: Number of videos (C, C); rows are true classes, columns predicted ones.
    """

    names: list[str]
    counts: Counts

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """The counts as shares of their row's videos, 0 to 1; 0 in a row without videos."""
        shares: npt.NDArray[np.float64] = self.counts / np.maximum(self.counts.sum(1, keepdims=True), 1)
        return shares

    def ordered(self, order: Sequence[int]) -> "Matrix":
        """Return the matrix with its classes in another order."""
        return Matrix([self.names[place] for place in order], self.counts[np.ix_(order, order)])


def confusion(record: Record) -> Section | None:
    """Show the confusion matrix and the most frequent confusions; None if no video was classified."""
    name, title = "confusion", "Confusion matrix"
    found = judged(record)
    if found is None:
        return None
    matrix = matrix_of(found)
    matrix = matrix.ordered(order_of(matrix))
    size = some(len(matrix.names), "class", "classes")
    said = f"Rows are what the videos are, columns what {found.by} takes them for; {size}"
    if len(matrix.names) > _IN_ORDER:
        said += ", ordered so that classes that are taken for one another are side by side (average linkage)"
    said += (
        ". The stronger its colour, the larger a field's share of the row's videos; those on the diagonal are right."
    )
    is_small = len(matrix.names) <= _TABLE
    drawn = _table(matrix) if is_small else _drawing(matrix)
    return Section(name, title, Markup("<p>{}</p>\n{}\n{}").format(said, drawn, _pairs(matrix)))


def matrix_of(found: Judged) -> Matrix:
    """Count the predicted classes of each class's videos; the classes are in alphabetical order."""
    pairs = [(guess.label or "", guess.classes[0]) for guess in found.guesses]
    names = sorted({name for pair in pairs for name in pair}, key=lambda name: (name.casefold(), name))
    places = {name: place for place, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), np.int64)
    for label, taken in pairs:
        counts[places[label], places[taken]] += 1
    return Matrix(names, counts)


def order_of(matrix: Matrix) -> list[int]:
    """Return the classes' places ordered so that confused classes are side by side; the given order if they are few."""
    if len(matrix.names) <= _IN_ORDER:
        return list(range(len(matrix.names)))
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    shares = matrix.shares
    apart = 1 - (shares + shares.T) / 2
    np.fill_diagonal(apart, 0)
    tree = linkage(squareform(apart, checks=False), "average", optimal_ordering=True)
    return [int(place) for place in leaves_list(tree)]


def _step(share: float) -> int:
    return int(np.searchsorted(_STEPS, share))


def _table(matrix: Matrix) -> Markup:
    """Return the matrix as a table of numbers, coloured by their share of the row."""
    heads = Markup("").join(
        Markup('<th scope="col"><span>{}</span></th>').format(visible(name)) for name in matrix.names
    )
    rows = []
    for place, (name, counts, shares) in enumerate(zip(matrix.names, matrix.counts.tolist(), matrix.shares.tolist())):
        fields = Markup("").join(
            Markup("<td{}>{}</td>").format(_colour(share, is_right=place == column), count or "")
            for column, (count, share) in enumerate(zip(counts, shares))
        )
        rows.append(Markup('<tr><th scope="row">{}</th>{}</tr>').format(visible(name), fields))
    return Markup(
        '<div class="scroll" tabindex="0" role="group" aria-label="Confusion matrix"><table class="confusion">'
        "<caption>Number of videos</caption>\n<thead><tr><td></td>{}</tr></thead>\n<tbody>{}</tbody></table></div>"
    ).format(heads, Markup("\n").join(rows))


def _colour(share: float, *, is_right: bool) -> Markup:
    return Markup(' class="{} s{}"').format("hit" if is_right else "miss", _step(share)) if share else Markup("")


def _drawing(matrix: Matrix) -> Markup:
    """Return the matrix as SVG squares, one path for each colour because 400 classes make thousands of squares."""
    size, shares = len(matrix.names), matrix.shares
    paths: dict[tuple[str, int], list[str]] = {}
    rows, columns = matrix.counts.nonzero()
    for row, column in zip(rows.tolist(), columns.tolist()):
        kind = ("hit" if row == column else "miss", _step(shares[row, column]))
        paths.setdefault(kind, []).append(f"M{column} {row}h1v1h-1z")
    drawn = Markup("").join(
        Markup('<path class="{} s{}" d="{}"/>').format(kind, step, "".join(places))
        for (kind, step), places in sorted(paths.items())
    )
    right = int(matrix.counts.diagonal().sum())
    words = f"Confusion matrix of {size} classes: {right} of {int(matrix.counts.sum())} videos are on the diagonal."
    svg = Markup(
        '<svg class="matrix" viewBox="0 0 {0} {0}" role="img" tabindex="0" shape-rendering="crispEdges">'
        "<title>{1}</title><desc>The largest numbers off the diagonal stand in the table below.</desc>"
        '<rect class="ground" width="{0}" height="{0}"/>{2}<rect class="cursor" width="1" height="1" hidden/></svg>'
    ).format(size, words, drawn)
    facts = {
        "names": [visible(name) for name in matrix.names],
        "cells": np.stack([rows, columns, matrix.counts[rows, columns]], 1).ravel().tolist(),
    }
    said = Markup('<p class="told" aria-live="polite">Point at a field, or move with the arrow keys.</p>')
    return Markup('<figure class="confusion">{}{}{}</figure>').format(svg, said, data(facts))


def data(facts: Any) -> Markup:
    """Return a script element with facts as JSON for the page's script, escaped so that no text ends the element."""
    text = json.dumps(facts, ensure_ascii=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup('<script type="application/json">{}</script>').format(Markup(text))


def _pairs(matrix: Matrix) -> Markup:
    """List the largest numbers off the diagonal."""
    wrong = matrix.counts - np.diag(matrix.counts.diagonal())
    order = np.argsort(-wrong, axis=None, kind="stable")[:_NAMED]
    found = [(row, column) for row, column in zip(*np.unravel_index(order, wrong.shape)) if wrong[row, column]]
    if not found:
        return Markup("<p>No class is taken for another.</p>")
    rows = [
        (
            *(visible(matrix.names[place]) for place in (row, column)),
            str(wrong[row, column]),
            percent(100 * float(matrix.shares[row, column])),
        )
        for row, column in found
    ]
    total = int((wrong > 0).sum())
    title = f"The largest {len(found)} of {total} kinds of error" if total > len(found) else "All kinds of error"
    head = ["is", "taken for", "videos", "% of its class"]
    shown = table(head, rows, label=title)
    return details(title, shown) if len(matrix.names) <= _TABLE else Markup("<p>{}:</p>{}").format(title, shown)
