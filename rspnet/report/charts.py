"""Charts as inline SVG, each with a table of its numbers: no script, colours from the page's style sheet."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from rspnet.report.scales import Point, Scale, thinned
from rspnet.report.tables import details, is_number, said, table

_WIDTH, _HEIGHT = 340, 176
_LEFT, _RIGHT, _TOP, _BOTTOM = 42, 8, 8, 24
_MOST_POINTS, _MOST_ROWS = 200, 24
COLOURS = 6
"""Number of curve colours; further curves repeat them."""


@dataclass(frozen=True)
class Curve:
    """A line of a chart.

    Attributes:
        name: What it shows.
        points: (x, y), from left to right.
        chance: What y would be if nothing had been learnt.
        faint: Points of a thin line drawn behind it: the same quantity, measured more often.
    """

    name: str
    points: Sequence[Point]
    chance: float | None = None
    faint: Sequence[Point] = ()


def finite(points: Iterable[tuple[object, object]]) -> list[Point]:
    """Return the points whose two coordinates are finite numbers."""
    return [(float(x), float(y)) for x, y in points if is_number(x) and is_number(y)]


def lines(title: str, curves: Sequence[Curve], *, x_name: str, unit: str = "", log: bool = False) -> Markup:
    """Draw curves as a chart: the legend gives their last values, a table below all; empty if no curve has points.

    Args:
        title: Title above the chart.
        curves: With points as `finite` returns them; curves beyond `COLOURS` repeat the colours, dashed.
        x_name: What x counts, such as ``epoch``.
        unit: Unit of y; an axis of percentages begins at 0.
        log: Whether the y axis is logarithmic; then every y must be above 0.
    """
    curves = [curve for curve in curves if curve.points]
    if not curves:
        return Markup("")
    every = [point for curve in curves for point in (*curve.points, *curve.faint)]
    heights = [y for _, y in every] + [curve.chance for curve in curves if curve.chance is not None]
    across = Scale.over((x for x, _ in every), (_LEFT, _WIDTH - _RIGHT), tight=True)
    up = Scale.over([*heights, *([0.0] if unit == "%" else [])], (_HEIGHT - _BOTTOM, _TOP), log=log)
    drawn = [_grid(across, up), *(_curve(curve, number, across, up=up) for number, curve in enumerate(curves))]
    described = "; ".join(_described(curve, x_name, unit) for curve in curves)
    axis = f"{x_name}{' (y logarithmic)' if log else ''}"
    return Markup(
        '<figure class="chart"><figcaption><span class="chart-title">{title}{unit}</span>{legend}</figcaption>'
        '<svg viewBox="0 0 {w} {h}" role="img"><title>{title}</title><desc>{described}</desc>{drawn}'
        '<text class="axis" x="{x}" y="{y}" text-anchor="end">{axis}</text></svg>{numbers}</figure>'
    ).format(
        title=title,
        unit=f", {unit}" if unit else "",
        legend=Markup("").join(_key(curve, number, unit) for number, curve in enumerate(curves)),
        w=_WIDTH,
        h=_HEIGHT,
        described=described,
        drawn=Markup("").join(drawn),
        x=_WIDTH - _RIGHT,
        y=_HEIGHT - 1,
        axis=axis,
        numbers=details("Numbers", _numbers(title, curves, x_name, unit=unit)),
    )


def grid(charts: Iterable[Markup]) -> Markup:
    """Lay charts out side by side, as many in a row as fit; empty if all charts are."""
    shown = [chart for chart in charts if chart]
    return Markup('<div class="charts">{}</div>').format(Markup("").join(shown)) if shown else Markup("")


def _grid(across: Scale, up: Scale) -> Markup:
    parts = list[Markup]()
    for mark in up.marks:
        parts.append(Markup('<path class="rule" d="M{} {}H{}"/>').format(_LEFT, up(mark), _WIDTH - _RIGHT))
        text = '<text class="tick" x="{}" y="{}" text-anchor="end" dominant-baseline="middle">{:g}</text>'
        parts.append(Markup(text).format(_LEFT - 6, up(mark), mark))
    for mark in across.marks:
        if across.ends[0] <= mark <= across.ends[1]:
            text = '<text class="tick" x="{}" y="{}" text-anchor="{}">{:g}</text>'
            anchor = "end" if across(mark) > _WIDTH - 20 else "middle"
            parts.append(Markup(text).format(across(mark), _HEIGHT - _BOTTOM + 12, anchor, mark))
    return Markup("").join(parts)


def _curve(curve: Curve, number: int, across: Scale, *, up: Scale) -> Markup:
    colour = _colour(number)
    parts = list[Markup]()
    if curve.chance is not None:
        drawn = Markup('<path class="by-chance {}" d="M{} {}H{}"/>')
        parts.append(drawn.format(colour, _LEFT, up(curve.chance), _WIDTH - _RIGHT))
    for kind, points in (("faint", curve.faint), ("line", curve.points)):
        places = [f"{across(x)} {up(y)}" for x, y in thinned(points, _MOST_POINTS)]
        if len(places) > 1:
            parts.append(Markup('<path class="{} {}" d="M{}"/>').format(kind, colour, "L".join(places)))
    x, y = curve.points[-1]
    parts.append(Markup('<circle class="last {}" cx="{}" cy="{}" r="2.5"/>').format(colour, across(x), up(y)))
    return Markup("").join(parts)


def _key(curve: Curve, number: int, unit: str) -> Markup:
    chance = "" if curve.chance is None else Markup(' <span class="quiet">chance {}</span>')
    return Markup('<span class="key {}"><i></i>{} <b>{}</b>{}</span>').format(
        _colour(number),
        curve.name,
        said(curve.points[-1][1], unit),
        chance.format(said(curve.chance, unit)) if chance and curve.chance is not None else "",
    )


def _described(curve: Curve, x_name: str, unit: str) -> str:
    (first_x, first), (last_x, last) = curve.points[0], curve.points[-1]
    told = f"{curve.name}: {said(first, unit)} at {x_name} {first_x:g}, {said(last, unit)} at {x_name} {last_x:g}"
    return told if curve.chance is None else f"{told}, {said(curve.chance, unit)} by chance"


def _numbers(title: str, curves: Sequence[Curve], x_name: str, *, unit: str) -> Markup:
    known = [dict(curve.points) for curve in curves]
    places = sorted({x for points in known for x in points})
    step = max(1, math.ceil(len(places) / _MOST_ROWS))
    kept = places[::-1][::step][::-1]  # counted from the end, so that the last is kept
    rows = [(f"{x:g}", *(said(points[x], unit) if x in points else "" for points in known)) for x in kept]
    return table([x_name, *(curve.name for curve in curves)], rows, label=f"Numbers: {title}", kind="numbers")


def _colour(number: int) -> str:
    return f"c{number % COLOURS}" + (" again" if number >= COLOURS else "")
