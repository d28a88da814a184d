"""The curves of a training: losses, accuracies with chance lines, the learning rate, and the speed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from rspnet.report.charts import Curve, finite, grid, lines
from rspnet.report.record import Line, Record
from rspnet.report.scales import Point, wants_log
from rspnet.report.section import Section
from rspnet.report.tables import is_number


@dataclass(frozen=True)
class Chart:
    """One chart of metrics.jsonl.

    Attributes:
        title: Its title.
        terms: Key in metrics.jsonl -> name of the curve.
        unit: Unit of the values.
        may_log: Whether the y axis is logarithmic if the values differ by large factors.
    """

    title: str
    terms: dict[str, str]
    unit: str = ""
    may_log: bool = False


CHARTS = (
    Chart("Loss", {"loss": "training", "val_loss": "validation"}, may_log=True),
    Chart("Parts of the loss", {"loss_avid": "A-VID", "loss_rsp": "RSP"}, may_log=True),
    Chart("RSP accuracy", {"rsp_accuracy": "RSP"}, "%"),
    Chart("A-VID accuracy", {"avid_top1": "top-1", "avid_top5": "top-5"}, "%"),
    Chart("Top-1 accuracy", {"train_top1": "training", "val_top1": "validation"}, "%"),
    Chart("Top-5 accuracy", {"val_top5": "validation"}, "%"),
    Chart("Monitored", {"monitor_knn_top1": "kNN top-1", "monitor_recall_at_1": "recall at 1"}, "%"),
    Chart("Learning rate", {"lr": "learning rate"}, may_log=True),
    Chart("Clips a second", {"clips_per_second": "clips"}),
    Chart("Waiting for videos", {"waiting": "of the time"}, "%"),
)
"""The charts in their order; those of which a run has no values are left out."""

_FEW = 3  # epochs; fewer points make no curve, so that intervals are drawn instead


@dataclass(frozen=True)
class Course:
    """A run's metrics over its epochs.

    Attributes:
        epochs: Lines of metrics.jsonl on epochs.
        intervals: Lines of metrics.jsonl on intervals of steps.
        per_epoch: Steps in an epoch; None if that is not known, then x counts steps.
    """

    epochs: list[Line]
    intervals: list[Line]
    per_epoch: float | None

    @classmethod
    def of(cls, record: Record) -> "Course":
        """Read the course of a run from its metrics."""
        lines_ = [line for line in record.metrics if is_number(line["step"])]
        epochs = [line for line in lines_ if line["event"] == "epoch" and is_number(line.get("epoch"))]
        last = next((line for line in reversed(epochs) if line["epoch"] > 0), None)
        intervals = [_with_waiting(line) for line in lines_ if line["event"] == "interval"]
        return cls(epochs, intervals, last["step"] / last["epoch"] if last else None)

    @property
    def x_name(self) -> str:
        """What x counts in `points`."""
        return "step" if self.per_epoch is None else "epoch"

    def points(self, name: str) -> tuple[list[Point], list[Point]]:
        """Return a term's points by epoch, and faint ones by interval; or those by interval alone if epochs are few."""
        by_epoch, often = self._points(self.epochs, name), self._points(self.intervals, name)
        if len(by_epoch) >= _FEW or not often:
            return by_epoch, often
        return often, []

    def last(self, name: str) -> float | None:
        """Return the newest value of a term, from an epoch's line if one has it; None if no line has it."""
        for lines_ in (self.epochs, self.intervals):
            if found := self._points(lines_, name):
                return found[-1][1]
        return None

    def _points(self, lines_: Iterable[Line], name: str) -> list[Point]:
        size = self.per_epoch or 1.0
        return finite((line["step"] / size, line.get(name)) for line in lines_)


def curves(record: Record) -> Section | None:
    """Draw the curves of a training; None for an evaluation, which has none."""
    if record.stage == "evaluate":
        return None
    course = Course.of(record)
    charts = [drawn(chart, course, chance_of(record, course)) for chart in CHARTS]
    note = "" if any(charts) else "No curves: the run has not logged anything yet, or its metrics.jsonl is gone."
    return Section("curves", "How it trained", grid(charts), note)


def chance_of(record: Record, course: Course) -> dict[str, float]:
    """Return the chance level of each term that has one, in percent."""
    found = {"rsp_accuracy": 50.0}
    queue = record.options("pretext").get("queue_length")
    if is_number(queue) and queue > 0:
        found |= {"avid_top1": 100 / (1 + queue), "avid_top5": min(500 / (1 + queue), 100.0)}
    classes = 0 if record.index is None else len(record.index.features["label"].names)
    if record.stage == "finetune" and classes:
        top1, top5 = 100 / classes, min(500 / classes, 100.0)
        found |= {"train_top1": top1, "val_top1": top1, "val_top5": top5}
    for name in ("monitor_knn_top1", "monitor_recall_at_1"):
        if (value := course.last(f"chance_{name}")) is not None:
            found[name] = value
    return found


def drawn(chart: Chart, course: Course, chance: dict[str, float]) -> Markup:
    """Draw a chart of a run; empty if the run has none of its terms."""
    found = list[Curve]()
    for name, called in chart.terms.items():
        points, faint = course.points(name)
        found.append(Curve(called, points, chance.get(name), faint))
    heights = [y for curve in found for _, y in (*curve.points, *curve.faint)]
    log = chart.may_log and wants_log(heights)
    return lines(chart.title, found, x_name=course.x_name, unit=chart.unit, log=log)


def over_one_another(records: Sequence[Record]) -> list[Markup]:
    """Draw the curves of several runs, a chart for each term; terms that only one run has are left out."""
    courses = [Course.of(record) for record in records]
    by_epoch = all(course.per_epoch for course in courses if course.intervals)
    if not by_epoch:  # if one run can count in steps only, all do
        courses = [replace(course, per_epoch=None) for course in courses]
    charts = list[Markup]()
    for chart in CHARTS:
        for name, called in chart.terms.items():
            named = [
                Curve(record.name, course.points(name)[0], chance_of(record, course).get(name))
                for record, course in zip(records, courses)
            ]
            shown = [curve for curve in named if curve.points]
            if len(shown) > 1:
                title = chart.title if len(chart.terms) == 1 else f"{chart.title}: {called}"
                log = chart.may_log and wants_log([y for curve in shown for _, y in curve.points])
                charts.append(lines(title, named, x_name="epoch" if by_epoch else "step", unit=chart.unit, log=log))
    return charts


def _with_waiting(line: Line) -> Line:
    """Add the share of the time that steps waited for data, in percent."""
    waited, took = line.get("data_time"), line.get("step_time")
    if is_number(waited) and is_number(took) and took > 0:
        return line | {"waiting": 100 * waited / took}
    return line
