"""Tables and foldable parts, as HTML in which all text from outside is escaped."""

import re
from collections.abc import Iterable, Sequence
from typing import TypeGuard

from markupsafe import Markup

from rspnet.console import figures, percent

Cell = str | Markup

_HUGE = 1e300
_FIGURE = re.compile(r"[-+[]*\d")


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a number: no boolean, not infinite or NaN, and not absurdly large."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _HUGE


def said(value: float, unit: str) -> str:
    """Format a number: percentages with one decimal, others with three digits."""
    return percent(value) if unit == "%" else figures(value) if value else "0"


def table(head: Sequence[str], rows: Iterable[Sequence[Cell]], *, label: str, kind: str = "") -> Markup:
    """Return a table in a box that scrolls if it is too wide; the first cell of a row is its heading.

    Args:
        head: Headings of the columns.
        rows: Cells, as text or HTML.
        label: Name of the box, for screen readers.
        kind: Its class in the style sheet; with `numbers`, columns of numbers are aligned to the right.
    """
    rows = list(rows)
    kinds = ["" if kind != "numbers" else _kind(column) for column in zip(*rows)] or ["" for _ in head]
    names = _joined(Markup('<th scope="col"{}>{}</th>').format(of, name) for of, name in zip(kinds, head))
    body = _joined(
        Markup('<tr><th scope="row">{}</th>{}</tr>').format(
            row[0], _joined(Markup("<td{}>{}</td>").format(of, cell) for of, cell in zip(kinds[1:], row[1:]))
        )
        for row in rows
    )
    return Markup(
        '<div class="scroll" tabindex="0" role="group" aria-label="{}"><table class="{}"><thead><tr>{}</tr></thead>'
        "<tbody>{}</tbody></table></div>"
    ).format(label, kind, names, body)


def _joined(parts: Iterable[Markup]) -> Markup:
    return Markup("").join(parts)


def _kind(column: Sequence[Cell]) -> Markup:
    """Return the class of a column's cells, by whether all of its cells that are not empty begin with a number."""
    told = [str(cell) for cell in column if cell]
    return Markup(' class="figure"') if told and all(map(_FIGURE.match, told)) else Markup("")


def details(summary: str, html: Markup) -> Markup:
    """Return HTML that is folded away under a summary."""
    return Markup("<details><summary>{}</summary>{}</details>").format(summary, html)
