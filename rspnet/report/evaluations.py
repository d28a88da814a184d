"""What evaluations found of a run's network: those that lie in its folder, as they do unless told otherwise."""

from collections.abc import Iterator

from markupsafe import Markup

from rspnet.errors import RSPNetError
from rspnet.report.record import Record
from rspnet.report.results import Measure, measures, numbers
from rspnet.report.section import Section
from rspnet.running.record import read_result


def evaluations(record: Record) -> Section | None:
    """The first number of each protocol of each evaluation; of a run that has none, nothing."""
    if record.stage == "evaluate":
        return None
    found = list(_found(record))
    if not found:
        return None
    told = Markup("<p>Each has a report of its own in its folder.</p>")
    rows = [(name, measure) for name, measure in found]
    return Section("evaluations", "Evaluations of it", told + numbers("Evaluations", rows, first="folder"))


def _found(record: Record) -> Iterator[tuple[str, Measure]]:
    for path in sorted(record.run_dir.glob("*/result.json")):
        try:
            result = read_result(path)
        except RSPNetError:  # what is damaged says so where it is looked at by itself
            continue
        if result["stage"] != "evaluate":
            continue
        known = set[str]()
        for measure in measures(Record(path.parent, "evaluate", {}, result, [], {}, None, {}, [], None)):
            if measure.by not in known:
                known.add(measure.by)
                yield path.parent.name, measure
