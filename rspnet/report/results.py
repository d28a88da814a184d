"""A run's results: each number with its interval, chance, and what fresh weights reach."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from rspnet.console import percent, signed, some
from rspnet.evaluation.interval import interval
from rspnet.report.record import Record
from rspnet.report.section import Section
from rspnet.report.tables import Cell, is_number, table

Ends = tuple[float, float]

RSP = "RSP accuracy"
"""Name of a pretraining's main number."""

_CALLED = {
    "classify": "classifier",
    "retrieval": "nearest neighbours",
    "knn": "kNN probe",
    "linear": "linear probe",
    "few_shot": "few-shot probe",
    "cluster": "clusters",
    "speed": "speed probe",
    "arrow_of_time": "arrow of time",
    "pretext": "pretraining's own tasks",
}
_NAMED = {"top1": "top-1", "top5": "top-5", "v_measure": "v-measure", "rsp_accuracy": RSP, "avid_top1": "A-VID top-1"}
_OF_TWO = ("speed", "arrow_of_time")  # answers
_SHARES = {"retrieval": ("recall", "recall at {}"), "few_shot": ("top1", "top-1 from {} a class")}


@dataclass(frozen=True)
class Measure:
    """A number that a run measured, in percent.

    Attributes:
        by: The protocol, in words.
        name: Name of the number.
        value: The number.
        interval: Its 95 % interval; None if not known.
        chance: Chance level; None if not known.
        fresh: The same number with fresh weights; None if not measured.
        ahead: How far it is ahead of `fresh`, paired; None if not measured.
        ahead_interval: The 95 % interval of `ahead`.
        is_over_draws: Whether intervals are over random draws of these videos, and say nothing about other videos.
    """

    by: str
    name: str
    value: float
    interval: Ends | None = None
    chance: float | None = None
    fresh: float | None = None
    ahead: float | None = None
    ahead_interval: Ends | None = None
    is_over_draws: bool = False


def measures(record: Record) -> list[Measure]:
    """Return all numbers of a run, in the order of its protocols; for a pretraining those of its last epoch."""
    if record.stage == "pretrain":
        return list(_trained(record))
    return [measure for name, score in record.scores.items() for measure in measures_of(name, score)]


def results(record: Record) -> Section | None:
    """List all numbers in a table; None for a pretraining, whose numbers are in the summary and the curves."""
    if record.stage == "pretrain":
        return None
    if record.result is None:
        why = "None yet: the run is not finished." if record.is_unfinished else "Its result.json cannot be read."
        return Section("results", "Results", Markup(""), why)
    found = measures(record)
    if not found:
        why = "No number: the videos have no classes to compare with, so that only nearest neighbours can be shown."
        return Section("results", "Results", Markup(""), why)
    shown = numbers("Results", [(measure.name, measure) for measure in found], first="")
    return Section("results", "Results", Markup("<p>{}</p>{}").format(_explained(record), shown))


def numbers(title: str, rows: Sequence[tuple[str, Measure]], *, first: str) -> Markup:
    """Return a table of numbers.

    Args:
        title: Title of the table.
        rows: Text of the first column, and the number.
        first: Heading of the first column; if empty, that column is the number's name.
    """
    compared = any(measure.fresh is not None for _, measure in rows)
    head = [first or "measured", *(["measured"] if first else []), "by", "%", "95 % interval", "chance"]
    head += ["fresh weights", "ahead by"] if compared else []
    cells = [[name, *([measure.name] if first else []), *_row(measure, compared)] for name, measure in rows]
    return table(head, cells, label=title, kind="numbers")


def _explained(record: Record) -> str:
    over: dict[str, list[str]] = {}
    for name, score in record.scores.items():
        if "interval_over" in score:
            over.setdefault(str(score["interval_over"]), []).append(_CALLED.get(name, name))
    named = [what if len(over) == 1 else f"{what} ({', '.join(those)})" for what, those in over.items()]
    told = f"Intervals are of 95 %, over {', over '.join(named)}." if over else "Intervals are Wilson's, of 95 %."
    if any(None in score["interval"].values() for score in record.scores.values() if "interval_over" in score):
        told += " Where one film or video alone was tested, or all draws are alike, there is none: how certain the "
        told += "number is cannot be estimated."
    for name, score in record.scores.items():
        if "not_measured" in score:
            told += f" Not measured: {_CALLED.get(name, name)} ({score['not_measured']})."
    if record.stage == "finetune":
        told += " As in the published code, the epoch was chosen on the test videos themselves, which flatters it."
    failed = (record.result or {}).get("num_failed")
    return f"{told} {some(int(failed), 'video')} could not be read." if is_number(failed) and failed else told


def _row(measure: Measure, compared: bool) -> list[Cell]:
    cells: list[Cell] = [measure.by, percent(measure.value), ends(measure.interval)]
    cells.append("" if measure.chance is None else percent(measure.chance))
    if compared:
        cells.append("" if measure.fresh is None else percent(measure.fresh))
        ahead = (
            ""
            if measure.ahead is None
            else f"{signed(measure.ahead)} {ends(measure.ahead_interval, is_difference=True)}"
        )
        cells.append(ahead.strip())
    return cells


def ends(interval: Ends | None, is_difference: bool = False) -> str:
    """Format an interval: ``[23.1, 88.2]``, or with signs if it is of a difference; empty for None."""
    if interval is None:
        return ""
    return f"[{', '.join(map(signed if is_difference else percent, interval))}]"


def _trained(record: Record) -> Iterator[Measure]:
    result, queue = record.result or {}, record.options("pretext").get("queue_length")
    by_chance = {"rsp_accuracy": 50.0} | ({"avid_top1": 100 / (1 + queue)} if is_number(queue) and queue > 0 else {})
    for name, called in (("rsp_accuracy", RSP), ("avid_top1", "A-VID top-1")):
        if is_number(value := result.get(name)):
            yield Measure("last epoch", called, value, chance=by_chance.get(name))


def measures_of(protocol: str, score: dict[str, Any]) -> Iterator[Measure]:
    """Yield the numbers of a protocol's score, or of a part with the same keys: a control, or fresh weights."""
    random, by = score.get("random", {}), _CALLED.get(protocol, protocol)
    for name, value, called in _values(protocol, score):
        known = _ends(score.get("interval", {}).get(name))
        if name not in score.get("interval", {}) and protocol == "classify" and is_number(score.get("num_videos")):
            known = interval(value, score["num_videos"])
        fresh = {key: number for key, number, _ in _values(protocol, random)}.get(name)
        ahead, within = (random.get(part, {}).get(name) for part in ("difference", "difference_interval"))
        chance, draws = _chance(score, name), score.get("interval_over") == "draws"
        ahead = ahead if is_number(ahead) else None
        yield Measure(by, called, value, known, chance, fresh, ahead, _ends(within), draws)


def _values(protocol: str, score: dict[str, Any]) -> Iterator[tuple[str, float, str]]:
    """Yield key, value and name of each number of a score."""
    if protocol in _SHARES:
        part, called = _SHARES[protocol]
        found = score.get(part, {})
        pairs = [(key, value, called.format(key)) for key, value in found.items()]
    else:
        names = [name for name in _NAMED if name in score]
        names += [name for name in score.get("interval", {}) if name not in names and name in score]
        words = _NAMED | ({"top1": "accuracy"} if protocol in _OF_TWO else {})
        pairs = [(name, score[name], words.get(name, name.replace("_", " "))) for name in names]
    return ((key, value, called) for key, value, called in pairs if is_number(value))


def _chance(score: dict[str, Any], name: str) -> float | None:
    several = score.get("chance")
    value = several.get(name) if isinstance(several, dict) else score.get(f"chance_{name}")
    if value is None and isinstance(score.get("top1"), dict):  # few-shot, with one chance level for all its numbers
        value = score.get("chance_top1")
    classes = score.get("class_accuracy")
    if (
        value is None and name == "top5" and isinstance(classes, dict) and classes
    ):  # a fine-tuning, whose result has the chance level of top-1 only
        value = 100 * min(5, len(classes)) / len(classes)
    return value if is_number(value) else None


def _ends(found: object) -> Ends | None:
    if isinstance(found, list | tuple) and len(found) == 2 and all(map(is_number, found)):
        return float(found[0]), float(found[1])
    return None
