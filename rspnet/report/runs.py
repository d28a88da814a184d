"""Several runs side by side: one table, the differences between them, their differing options, and their curves."""

from collections.abc import Sequence
from itertools import combinations

from markupsafe import Markup

from rspnet.console import percent, signed, some
from rspnet.errors import RSPNetError
from rspnet.report.charts import grid
from rspnet.report.curves import over_one_another
from rspnet.report.differences import differences
from rspnet.report.recipe import ABSENT, shown
from rspnet.report.record import Record
from rspnet.report.results import Ends, Measure, ends, measures
from rspnet.report.section import Section
from rspnet.report.tables import Cell, is_number, table
from rspnet.running import table as summed
from rspnet.running.record import flat
from rspnet.terminal import visible

_OWN = ("run_dir",)
_COLUMNS = 4
"""Most columns of numbers in the table of runs."""


def runs(records: Sequence[Record]) -> Section | None:
    """List all runs in one table, and the means over runs that differ only in fold and seed."""
    found = [_numbers(record) for record in records]
    names = list(dict.fromkeys(name for numbers in found for name in numbers))
    names = names if len(names) <= _COLUMNS else []  # no room for more in this table; `findings` lists them
    head = ["run", "kind", "network", "weights", "fold", "seed", "device-hours", *names]
    rows = [_row(record, numbers, names) for record, numbers in zip(records, found)]
    html = table(head, rows, label="Runs", kind="numbers")
    unfinished = [record.name for record in records if record.is_unfinished]
    note = f"Not finished, and so without a result: {', '.join(unfinished)}." if unfinished else ""
    return Section("runs", "The runs", html + _means(records), note)


def apart(records: Sequence[Record]) -> Section | None:
    """List the differences between the runs, pair by pair."""
    rows = list[list[Cell]]()
    for other, one in combinations(records, 2):
        for each in differences(one, other):
            how = "not paired" if each.pairs is None else f"paired, {some(each.pairs, 'video')}"
            how += "" if each.films is None else f" of {some(each.films, 'film')}"
            said = signed(each.ahead)
            told = _verdict(each.interval)
            rows.append([one.name, other.name, each.protocol, said, ends(each.interval, is_difference=True), told, how])
    title = "How far apart"
    if not rows:
        why = "No two of them were measured by one protocol on the same videos, so that there is nothing to compare."
        return Section("apart", title, Markup(""), why)
    told = "Differences in percentage points, each with its 95 % interval: if it includes 0, it may be chance."
    head = ["run", "against", "by", "ahead by", "95 % interval", "", "how"]
    return Section("apart", title, Markup("<p>{}</p>").format(told) + table(head, rows, label=title, kind="numbers"))


def options(records: Sequence[Record]) -> Section | None:
    """List the options that are not the same in all runs."""
    known = [flat(record.config) for record in records]
    every = [set(each) for each in known]
    alike = len({record.stage for record in records}) == 1  # options that only one stage has are no difference
    names = sorted((set.union(*every) if alike else set.intersection(*every)) - set(_OWN))
    rows = [(name, *(shown(each[name]) if name in each else ABSENT for each in known)) for name in names]
    rows = [row for row in rows if len(set(row[1:])) > 1]
    title = "Options that differ"
    if not rows:
        return Section("options", title, Markup(""), "No option: all of them are the same.")
    head = ["option", *(record.name for record in records)]
    return Section("options", title, table(head, rows, label=title, kind="options"))


def together(records: Sequence[Record]) -> Section | None:
    """Draw the curves of the runs over one another."""
    charts = over_one_another(records)
    note = "" if charts else "No two of them have logged the same."
    return Section("curves", "Curves", grid(charts), note)


def _numbers(record: Record) -> dict[str, Measure]:
    """Return the first number of each protocol, by its name; for a pretraining all numbers."""
    found = dict[str, Measure]()
    for measure in measures(record):
        if measure.by not in {known.by for known in found.values()} or record.stage == "pretrain":
            found[f"{measure.name}, {measure.by}"] = measure
    return found


def _row(record: Record, numbers: dict[str, Measure], names: list[str]) -> list[Cell]:
    result = record.result or {}
    hours = result.get("device_hours")
    weights = result.get("weights", record.config.get("weights"))
    cells: list[Cell] = [record.name, record.stage, shown(record.options("encoder").get("name", "")), shown(weights)]
    cells += [shown(result.get(name, "")) for name in ("fold", "seed")]
    cells.append(f"{hours:.3g}" if is_number(hours) else "")
    for name in names:
        measure = numbers.get(name)
        told = "" if measure is None else f"{percent(measure.value)} {ends(measure.interval)}"
        cells.append(told.strip())
    return cells


def _means(records: Sequence[Record]) -> Markup:
    """Return the mean and spread of runs that differ only in fold and seed; empty if no two do."""
    found = list[summed.Result]()
    for record in records:
        try:
            found += summed.read(record.run_dir)
        except RSPNetError:  # not finished, which the note says
            continue
    try:
        rows = summed.rows(found, any_weights=False)
    except RSPNetError as error:
        return Markup("<p>No means: {}.</p>").format(error)
    if not (several := [row for row in rows if len(row.results) > 1]):
        return Markup("")
    head, *lines = (list(map(visible, line)) for line in summed.cells(several))
    told = "Mean over folds of means over seeds, and the standard deviation of the folds (of one fold: of its seeds)."
    return Markup("<h3>Means</h3><p>{}</p>").format(told) + table(head, lines, label="Means", kind="numbers")


def _verdict(interval: Ends | None) -> str:
    if interval is None:
        return "not known: one film alone"
    low, high = interval
    return "better" if low > 0 else "worse" if high < 0 else "no difference shown"
