"""A table of percentages with their intervals, whose last column draws them as dots on one scale."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from markupsafe import Markup

from rspnet.console import percent, signed
from rspnet.terminal import visible


@dataclass(frozen=True)
class Dot:
    """A row of the table; all numbers are percentages, or differences of them.

    Attributes:
        name: What is measured.
        value: The number.
        interval: Its 95 % interval; None if not known.
        chance: Chance level; None if there is none.
        number: Number of videos it is measured on; None if that is not shown.
        is_control: Whether it is a control of a row above it; drawn hollow.
        of: Name of that row, for screen readers.
    """

    name: str
    value: float
    interval: tuple[float, float] | None = None
    chance: float | None = None
    number: int | None = None
    is_control: bool = False
    of: str = ""


def table(dots: Sequence[Dot], *, caption: str, head: str, scale: tuple[float, float] = (0, 100)) -> Markup:
    """Draw numbers as a table.

    Args:
        dots: Rows of the table.
        caption: Caption of the table.
        head: Heading of the column of names.
        scale: Smallest and largest number of the drawing.
    """
    has_numbers = any(dot.number is not None for dot in dots)
    heads = [head, *(["videos"] if has_numbers else []), "% [95 % interval]", f"{scale[0]:.3g} to {scale[1]:.3g}"]
    named = Markup("").join(Markup('<th scope="col">{}</th>').format(name) for name in heads)
    rows = Markup("\n").join(_row(dot, has_numbers, scale) for dot in dots)
    return Markup(
        '<div class="scroll" tabindex="0" role="group" aria-label="{0}"><table class="dots"><caption>{0}</caption>\n'
        "<thead><tr>{1}</tr></thead>\n<tbody>{2}</tbody></table></div>"
    ).format(caption, named, rows)


def _row(dot: Dot, has_numbers: bool, scale: tuple[float, float]) -> Markup:
    said = Markup("{}").format(_said(dot.value, scale))
    if dot.interval is not None:
        ends = ", ".join(_said(end, scale) for end in dot.interval)
        said += Markup(' <span class="ends">[{}]</span>').format(ends)
    numbers = ["" if dot.number is None else str(dot.number)] if has_numbers else []
    cells = Markup("").join(Markup('<td class="num">{}</td>').format(text) for text in (*numbers, said))
    kind = Markup(' class="control"') if dot.is_control else Markup("")
    of = Markup('<span class="unseen">{}, </span>').format(visible(dot.of)) if dot.of else ""
    return Markup('<tr{}><th scope="row">{}{}</th>{}<td class="drawn">{}</td></tr>').format(
        kind, of, visible(dot.name), cells, _drawing(dot, scale)
    )


def _said(value: float, scale: tuple[float, float]) -> str:
    """Format a number; with a sign if the scale goes below zero, because it is a difference then."""
    if scale[0] < 0:
        return signed(value)
    return percent(value if value >= 0.005 else 0)


def _drawing(dot: Dot, scale: tuple[float, float]) -> Markup:
    """Draw the number as a dot, its interval as a line through it, and chance as a dashed line across."""
    place = partial(_place, scale=scale)
    parts = [Markup('<line class="axis" x1="0%" x2="100%" y1="9" y2="9"/>')]
    if dot.chance is not None:
        parts.append(Markup('<line class="chance" x1="{0}" x2="{0}" y1="0" y2="18"/>').format(place(dot.chance)))
    if dot.interval is not None:
        ends = map(place, dot.interval)
        parts.append(Markup('<line class="interval" x1="{}" x2="{}" y1="9" y2="9"/>').format(*ends))
    kind = "hollow" if dot.is_control else "dot"
    parts.append(Markup('<circle class="{}" cx="{}" cy="9" r="4"/>').format(kind, place(dot.value)))
    return Markup('<svg width="100%" height="18" aria-hidden="true">{}</svg>').format(Markup("").join(parts))


def _place(value: float, scale: tuple[float, float]) -> str:
    """Return where a number is drawn; numbers beyond the scale are drawn at its ends."""
    low, high = scale
    return f"{100 * min(1.0, max(0.0, (value - low) / (high - low))):.1f}%"
