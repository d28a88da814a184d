"""The results of evaluations of a run's network that lie in its folder, which is where they are written by default."""

from collections.abc import Iterator

from markupsafe import Markup

from rspnet.errors import RSPNetError
from rspnet.report.record import Record
from rspnet.report.results import Measure, measures, numbers
from rspnet.report.section import Section
from rspnet.running.record import read_result
from rspnet.terminal import visible


def evaluations(record: Record) -> Section | None:
    """List the first number of each protocol of each evaluation; None if there are no evaluations."""
    if record.stage == "evaluate":
        return None
    found = list(_found(record))
    if not found:
        return None
    told = Markup("<p>Each has a report of its own in its folder.</p>")
    rows = [(name, measure) for name, measure in found]
    return Section("evaluations", "Evaluations of this run", told + numbers("Evaluations", rows, first="folder"))


def _found(record: Record) -> Iterator[tuple[str, Measure]]:
    for path in sorted(record.run_dir.glob("*/result.json")):
        try:
            result = read_result(path)
        except RSPNetError:  # its own report says what is damaged
            continue
        if result["stage"] != "evaluate":
            continue
        known = set[str]()
        for measure in measures(Record(path.parent, "evaluate", {}, result, [], {}, None, {}, [], None)):
            if measure.by not in known:
                known.add(measure.by)
                yield visible(path.parent.name), measure
