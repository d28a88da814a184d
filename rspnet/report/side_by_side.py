"""The results of several runs side by side: a sentence on each, all their numbers, and class by class."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

from markupsafe import Markup

from rspnet.console import percent, signed, some
from rspnet.evaluation.near_duplicates import nearest_across
from rspnet.report.classes import by_class
from rspnet.report.lines import judged
from rspnet.report.near import sides_of
from rspnet.report.probes import controls_of
from rspnet.report.record import Record
from rspnet.report.results import Measure, ends, measures, measures_of
from rspnet.report.section import Section
from rspnet.report.summary import summary
from rspnet.report.tables import Cell, details, is_number, said, table
from rspnet.report.unread import failed_in_an_epoch, failures
from rspnet.terminal import visible

_HEALTH = {
    "spread": "spread of the embeddings",
    "effective_rank": "effective rank of the embeddings",
    "margins_met": "margins met, %",
    "motion_gap": "nearer to its own speed by",
}
_FOLDED = 30
"""Most rows of the table of classes that are shown; a longer one is folded away."""


def findings(records: Sequence[Record]) -> Section:
    """Show the verdict on each run in a sentence, and all numbers with a column for each run."""
    told = Markup("").join(
        Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(record.name, _in_a_sentence(record)) for record in records
    )
    html = Markup('<dl class="facts">{}</dl>').format(told)
    if len({(record.result or {}).get("data_fingerprint") for record in records if record.scores}) > 1:
        html += Markup("<p>They were not measured on the same videos, so that their numbers cannot be compared.</p>")
    first, every = (_table(records, only_first) for only_first in (True, False))
    if first is None or every is None:
        return Section("findings", "What they found", html, "No number in any of them.")
    return Section("findings", "What they found", html + first + details("All numbers", every))


def _in_a_sentence(record: Record) -> str:
    found = summary(record)
    return " ".join(filter(None, [found.number and f"{found.number} {found.of}.", found.verdict]))


def _table(records: Sequence[Record], only_first: bool) -> Markup | None:
    """Return a table of the numbers of all runs, or of the first of each protocol alone; None if there are none."""
    columns = [dict(_found(record, only_first)) for record in records]
    names = dict.fromkeys(name for column in columns for name in column)
    rows = [[name, *(column.get(name, "") for column in columns)] for name in names]
    head = ["% unless stated otherwise", *(record.name for record in records)]
    return table(head, rows, label="What they found", kind="numbers") if rows else None


def classes(records: Sequence[Record]) -> Section | None:
    """List the accuracy of each class in each run, the classes on which the runs differ most first."""
    known = [(record.name, found) for record in records if (found := judged(record)) is not None]
    if len(known) < 2:
        return None
    columns = [{dot.name: dot for dot in by_class(found)} for _, found in known]
    times = Counter(name for column in columns for name in column)
    names = [name for name, number in times.items() if number > 1]
    if not names:
        return None
    values = {name: [column[name].value for column in columns if name in column] for name in names}
    rows = list[list[Cell]]()
    for name in sorted(names, key=lambda name: min(values[name]) - max(values[name])):
        dots = [column.get(name) for column in columns]
        cells = ["" if dot is None else f"{percent(dot.value)} {ends(dot.interval)}" for dot in dots]
        rows.append([visible(name), *cells, percent(max(values[name]) - min(values[name]))])
    head = ["class, %", *(f"{name}, by {found.by}" for name, found in known), "apart by"]
    shown = table(head, rows, label="Classes", kind="numbers")
    told = "With Wilson's 95 % intervals, the classes on which the runs are farthest apart first. Of many classes some "
    told += "are far apart by chance."
    html = shown if len(rows) <= _FOLDED else details(f"All {some(len(rows), 'class', 'classes')}", shown)
    return Section("classes", "Class by class", Markup("<p>{}</p>").format(told) + html)


def _found(record: Record, only_first: bool) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each number of a run, or of the first of each protocol alone."""
    if record.stage == "pretrain":
        yield from ((f"{each.by}: {each.name}", _shown(each)) for each in measures(record))
    for protocol, score in record.scores.items():
        for measure in islice(measures_of(protocol, score), 1 if only_first else None):
            name = f"{measure.by}: {measure.name}"
            yield name, _shown(measure)
            for called, other in controls_of(protocol, score, measure):
                yield f"{name}, {called}", _shown(other)
            if measure.ahead is not None:
                apart = f"{signed(measure.ahead)} {ends(measure.ahead_interval, is_difference=True)}"
                yield f"{name}, ahead of fresh weights by", apart.strip()
    result = record.result or {}
    yield from ((called, said(result[name], "")) for name, called in _HEALTH.items() if is_number(result.get(name)))
    if sides := sides_of(record):
        apart_of = nearest_across(*(side.values for side in sides)).apart
        yield "test videos next to a training video (number)", f"{int(apart_of.sum())} of {len(apart_of)}"
    known = (len(failures(record)), int(result.get("num_failed") or 0), failed_in_an_epoch(record))
    if (failed := max(known)) or record.result is not None:
        yield "videos that failed (number)", str(failed)


def _shown(measure: Measure) -> str:
    return f"{percent(measure.value)} {ends(measure.interval)}".strip()
