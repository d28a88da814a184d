"""The section on classes: the accuracy of each class, with its interval."""

from collections import Counter
from statistics import fmean

from markupsafe import Markup

from rspnet.console import some
from rspnet.data.groups import films_of
from rspnet.evaluation.interval import interval
from rspnet.report import dots
from rspnet.report.lines import Judged, judged
from rspnet.report.record import Record
from rspnet.report.section import Section

_MANY, _WORST, _BEST = 30, 15, 5


def classes(record: Record) -> Section | None:
    """List the accuracy of each class with its interval and number of videos, worst first; None without classes."""
    name, title = "classes", "Class by class"
    found = judged(record)
    if found is None:
        return None
    rows = by_class(found)
    mean = fmean(row.value for row in rows)
    said = f"By {found.by}: {mean:.1f} % on average over {some(len(rows), 'class', 'classes')}. "
    said += "With 95 % Wilson intervals; the fewer the videos, the less certain a number is."
    films = films_of([guess.video for guess in found.guesses], [guess.label or "" for guess in found.guesses])
    if films is not None:
        said += f" The videos are cut from {some(len(set(films)), 'film')}, and those of one film resemble each other: "
        said += "the intervals treat them as independent, and are too narrow."
    every = _table(rows, "All classes, the worst first")
    if len(rows) > _MANY:
        worst = _table(rows[:_WORST], f"The {_WORST} worst of {len(rows)} classes")
        best = _table(rows[-_BEST:], f"The {_BEST} best")
        every = Markup("{}\n{}\n<details><summary>All {} classes</summary>{}</details>").format(
            worst, best, len(rows), every
        )
    return Section(name, title, Markup("<p>{}</p>\n{}").format(said + _without(record, rows), every))


def by_class(found: Judged) -> list[dots.Dot]:
    """Return the accuracy of each class that has a test video, worst first, ties in alphabetical order."""
    totals = Counter(guess.label for guess in found.guesses)
    right = Counter(guess.label for guess in found.guesses if guess.is_right)
    rows = [
        dots.Dot(label, 100 * right[label] / total, interval(100 * right[label] / total, total), number=total)
        for label, total in totals.items()
        if label is not None
    ]
    return sorted(rows, key=lambda row: (row.value, row.name.casefold(), row.name))


def _table(rows: list[dots.Dot], caption: str) -> Markup:
    return dots.table(rows, caption=caption, head="class")


def _without(record: Record, rows: list[dots.Dot]) -> str:
    """Return a sentence on how many classes have no test video, or an empty string if all have one."""
    names = [] if record.index is None else record.index.features["label"].names
    missing = len(set(names) - {row.name for row in rows})
    return f" {some(missing, 'further class has', 'further classes have')} no test video." if missing else ""
