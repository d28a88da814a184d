"""The plot of a study: a panel for each measure, with each network's seeds as rings and their mean as a dot."""

from markupsafe import Markup
from study_tables import BASE, COLUMNS, FRESH, by_row, mean, of_seeds

from rspnet.report.scales import Scale

NAMES, PANEL, GAP, LINE, TOP = 190, 168, 24, 24, 44
SHOWN = ("R@1", "kNN", "linear", "fine-tuned")
LINES = {FRESH: ("fresh", "dashed"), BASE: ("base", "dotted")}
"""Rows whose means are drawn as lines across all rows."""
STYLE = (
    "text { font: 12px system-ui, sans-serif; fill: #1f2328 } .quiet { fill: #656d76; font-size: 11px }"
    ".head { font-weight: 600 } .rule { stroke: #d0d7de } .ring { fill: none; stroke: #0969da } .dot { fill: #0969da }"
    ".fresh { stroke: #bc4c00; stroke-dasharray: 4 3 } .base { stroke: #656d76; stroke-dasharray: 1 3 }"
    "@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .quiet { fill: #8d96a0 } .rule { stroke: #373e47 }"
    " .ring { stroke: #58a6ff } .dot { fill: #58a6ff } .fresh { stroke: #f0883e } .base { stroke: #8d96a0 } }"
)


def plot(found: dict) -> str:
    """Draw a study's results as SVG, a panel for each measure, with lines at fresh weights and at the base."""
    rows = by_row(found)
    width, bottom = NAMES + len(SHOWN) * (PANEL + GAP), TOP + len(rows) * LINE
    parts = [Markup('<text x="0" y="{}">{}</text>').format(_middle(at) + 4, name) for at, name in enumerate(rows)]
    for number, name in enumerate(SHOWN):
        parts += _panel(rows, name, NAMES + number * (PANEL + GAP), bottom=bottom)
    lines = [f"{how} line: that of {row}" for row, (_, how) in LINES.items() if row in rows]
    said = "; ".join(["Percent. Rings: one seed each; dot: their mean", *lines])
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img">'
        "<title>{said}</title>\n<style>{style}</style>\n{parts}\n"
        '<text class="quiet" x="0" y="{y}">{said}</text></svg>\n'
    ).format(w=width, h=bottom + 50, said=said, style=Markup(STYLE), parts=Markup("\n").join(parts), y=bottom + 42)


def _panel(rows: dict[str, list[dict]], name: str, left: int, *, bottom: int) -> list[Markup]:
    keys = COLUMNS[name]
    seeds = {row: of_seeds(runs, keys) for row, runs in rows.items()}
    across = Scale.over([0.0, *(value for values in seeds.values() for value in values)], (left, left + PANEL - 10))
    parts = [Markup('<text class="head" x="{}" y="16">{}</text>').format(left, name)]
    for mark in across.marks:
        parts.append(Markup('<path class="rule" d="M{} {}V{}"/>').format(across(mark), TOP - 12, bottom))
        text = '<text class="quiet" x="{}" y="{}" text-anchor="middle">{:g}</text>'
        parts.append(Markup(text).format(across(mark), bottom + 16, mark))
    for row, (kind, _) in LINES.items():
        if (value := mean(rows.get(row, []), keys)) is not None:
            parts.append(Markup('<path class="{}" d="M{} {}V{}"/>').format(kind, across(value), TOP - 12, bottom))
    for at, (row, values) in enumerate(seeds.items()):
        for value in values:
            parts.append(Markup('<circle class="ring" cx="{}" cy="{}" r="3"/>').format(across(value), _middle(at)))
        if (value := mean(rows[row], keys)) is not None:
            parts.append(Markup('<circle class="dot" cx="{}" cy="{}" r="4.5"/>').format(across(value), _middle(at)))
    return parts


def _middle(row: int) -> int:
    """Return the y coordinate of a row's middle."""
    return TOP + row * LINE + LINE // 2 - 8
