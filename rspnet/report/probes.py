"""The results of the probes, drawn: each number with its interval, chance, its controls, and that of fresh weights."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from markupsafe import Markup

from rspnet.report import dots
from rspnet.report.record import Record
from rspnet.report.results import Ends, Measure, measures_of
from rspnet.report.section import Section
from rspnet.report.tables import is_number

_CONTROLS = {
    "shuffled": "frames shuffled",
    "still": "one frame repeated",
}
"""Controls by name: what is done to their clips."""
_FRESH = "fresh weights"
_EACH = ("few_shot", "pretext")
"""Protocols whose numbers are of different tasks; those of other protocols (top-1, top-5) are of one task."""


def probes(record: Record) -> Section | None:
    """Draw all numbers on one scale, with a sentence on what each shows; None if there are no numbers."""
    rows, verdicts, ahead = [], list[str](), list[Measure]()
    for protocol, score in record.scores.items():
        for number, measure in enumerate(measures_of(protocol, score)):
            controls = dict(controls_of(protocol, score, measure))
            rows += [_dot(measure), *(_dot(each, name) for name, each in controls.items())]
            verdicts += [_verdict(measure, controls)] if number == 0 or protocol in _EACH else []
            ahead += [measure] if measure.ahead is not None else []
    if not rows:
        return None
    caption = "With 95 % intervals; a dashed line is chance, and hollow points are controls of the number above them"
    parts = [
        Markup("<ul>{}</ul>").format(Markup("").join(map(Markup("<li>{}</li>").format, filter(None, verdicts)))),
        dots.table(rows, caption=caption, head="probe"),
    ]
    if ahead:
        parts.append(_differences(ahead))
    return Section("probes", "Probes and their controls", Markup("\n").join(parts))


def controls_of(protocol: str, score: dict[str, Any], measure: Measure) -> Iterator[tuple[str, Measure]]:
    """Yield the same number for each control and for fresh weights, with the interval of how far it is behind."""
    controls = score.get("controls")
    known = controls.items() if isinstance(controls, dict) else ()
    others = [(_CONTROLS.get(str(name), str(name)), other) for name, other in known]
    for called, other in [*others, (_FRESH, score.get("random"))]:
        if isinstance(other, dict):
            same = (found for found in measures_of(protocol, other) if found.name == measure.name)
            yield from ((called, replace(found, chance=measure.chance, ahead_interval=_apart(other))) for found in same)


def _apart(other: dict[str, Any]) -> Ends | None:
    """Return the interval of how far a probe is ahead of a control, paired by video; None if there is none."""
    found = other.get("difference_interval")
    if isinstance(found, list) and len(found) == 2 and all(map(is_number, found)):
        return float(found[0]), float(found[1])
    return None


def _dot(measure: Measure, control: str = "") -> dots.Dot:
    own = f"{measure.by}: {measure.name}"
    ends, of = measure.interval, own if control else ""
    return dots.Dot(control or own, measure.value, ends, measure.chance, is_control=bool(control), of=of)


def _verdict(measure: Measure, controls: dict[str, Measure]) -> str:
    """Say whether a number is above chance, its controls and fresh weights; empty if it has no interval."""
    if measure.interval is None:
        return ""
    told = [] if measure.chance is None else [_beside_chance(measure.interval, measure.chance)]
    for name, other in controls.items():
        if name == _FRESH or other.interval is None:
            continue
        told.append(
            f"better than with {name}" if is_better(measure, other) else f"not shown to be better than with {name}"
        )
    if measure.ahead_interval is not None:
        low, high = measure.ahead_interval
        how = "ahead of" if low > 0 else "behind" if high < 0 else "not shown to be ahead of"
        told.append(f"{how} {_FRESH}")
    of = " on these test videos (its intervals are over draws of what is learnt)" if measure.is_over_draws else ""
    return f"{measure.by}, {measure.name}: {'; '.join(told)}{of}." if told else ""


def is_better(measure: Measure, control: Measure) -> bool:
    """Whether a number is shown to be above that of a control."""
    if control.ahead_interval is not None:  # paired, which can decide even if the two intervals overlap
        return control.ahead_interval[0] > 0
    return bool(measure.interval and control.interval and measure.interval[0] > control.interval[1])


def without_motion(record: Record) -> list[str]:
    """Return the controls that a run's first number is not shown to be above, so that it may not come from motion."""
    for protocol, score in record.scores.items():
        for measure in measures_of(protocol, score):
            known = [each for each in controls_of(protocol, score, measure) if each[0] != _FRESH and each[1].interval]
            return [name for name, other in known if measure.interval is not None and not is_better(measure, other)]
    return []


def _beside_chance(interval: Ends, chance: float) -> str:
    if interval[0] > chance:
        return "above chance"
    return "below chance" if interval[1] < chance else "not shown to be better than chance"


def _differences(ahead: list[Measure]) -> Markup:
    """Draw how far each number is ahead of that of fresh weights, on a scale around zero."""
    ends = [end for measure in ahead for end in (measure.ahead or 0.0, *(measure.ahead_interval or ()))]
    widest = max(1.0, *(abs(end) for end in ends))
    rows = [
        dots.Dot(f"{measure.by}: {measure.name}", measure.ahead or 0.0, measure.ahead_interval, chance=0.0)
        for measure in ahead
    ]
    caption = "Ahead of fresh weights by: paired differences, in percentage points; the dashed line is no difference"
    return dots.table(rows, caption=caption, head="probe", scale=(-widest, widest))
