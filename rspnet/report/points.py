"""Scatter plots of points of several classes, each class with its own colour and shape."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

SIDE = 400
"""Side of a drawing in SVG units."""
_MARGIN = 12
_SHAPES = (
    "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",  # circle
    "m-3.5-3.5h7v7h-7z",  # square
    "m0-4.5l4.2 7.5h-8.4z",  # triangle
    "m0-5l4 5l-4 5l-4-5z",  # diamond
    "m-1.3-4.5h2.6v3.2h3.2v2.6h-3.2v3.2h-2.6v-3.2h-3.2v-2.6h3.2z",  # plus
    "m0 4.5l4.2-7.5h-8.4z",  # triangle, upside down
)
_COLOURS = 8
MARKS = len(_SHAPES) * _COLOURS // 2
"""Number of distinct marks; classes beyond it are drawn alike."""
_OTHERS = "m-2 0a2 2 0 1 0 4 0a2 2 0 1 0-4 0z"

Floats = npt.NDArray[np.floating[Any]]


def marks_of(labels: Sequence[str | None]) -> dict[str, int]:
    """Number the classes that get a mark: the `MARKS` most frequent ones, ties in alphabetical order."""
    times = Counter(label for label in labels if label is not None)
    ranked = sorted(times, key=lambda name: (-times[name], name.casefold(), name))[:MARKS]
    return {name: number for number, name in enumerate(ranked)}


def fitted(places: Floats) -> Floats:
    """Map coordinates (N, 2) into the drawing, with one scale for both axes and y pointing up."""
    low, high = places.min(0), places.max(0)
    scale = (SIDE - 2 * _MARGIN) / max(float((high - low).max()), 1e-12)
    centred = (places - (low + high) / 2) * scale
    found: Floats = np.round(SIDE / 2 + centred * [1, -1], 1)
    return found


def mark(number: int | None) -> tuple[str, str]:
    """Return the CSS class and the path of a mark; None is the mark of classes without one of their own."""
    if number is None:
        return "k-others", _OTHERS
    return f"k{number % _COLOURS}", _SHAPES[number % len(_SHAPES) if number < MARKS else 0]


def drawing(places: Floats, labels: Sequence[str | None], marks: dict[str, int], *, title: str) -> Markup:
    """Draw points.

    Args:
        places: Coordinates (N, 2), as `fitted` returns them.
        labels: Class of each point.
        marks: Number of each class's mark, as `marks_of` returns them.
        title: Title of the drawing, for screen readers.
    """
    paths: dict[int, list[str]] = {}
    for (x, y), label in zip(places.tolist(), labels):
        number = marks.get(label, -1) if label is not None else -1
        _, shape = mark(None if number < 0 else number)
        paths.setdefault(number, []).append(f"M{x:g} {y:g}{shape}")
    drawn = Markup("").join(
        Markup('<path class="{}" d="{}"/>').format(mark(None if number < 0 else number)[0], "".join(parts))
        for number, parts in sorted(paths.items())
    )
    return Markup(
        '<svg class="points" viewBox="0 0 {0} {0}" tabindex="0" role="img"><title>{1}</title>'
        "<desc>Each point is a video; a table below names them.</desc>{2}"
        '<circle class="cursor" r="9" hidden/></svg>'
    ).format(SIDE, title, drawn)


def legend(labels: Sequence[str | None], marks: dict[str, int], shown: Sequence[str]) -> Markup:
    """Return the legend: each mark with its class and number of points.

    Args:
        labels: Class of each point.
        marks: Number of each class's mark.
        shown: Names to show for the classes in `marks`, in their order.
    """
    times = Counter(label if label in marks else None for label in labels)
    entries = [(mark(number), text, times[name]) for (name, number), text in zip(marks.items(), shown)]
    if times[None]:
        entries.append((mark(None), "others, or without a class" if marks else "videos", times[None]))
    head = '<svg viewBox="-6 -6 12 12" width="14" height="14" aria-hidden="true">'
    drawn = Markup(head + '<path class="{}" d="M0 0{}"/></svg>')
    items = Markup("").join(
        Markup("<li>{} {} <small>{}</small></li>").format(drawn.format(*kind), text, number)
        for kind, text, number in entries
    )
    return Markup('<ul class="legend">{}</ul>').format(items)
