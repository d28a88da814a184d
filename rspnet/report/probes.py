"""What the probes found, drawn: each number with its interval, chance, its controls, and the same of fresh weights."""

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
"""What is done to the clips of a control, by its name."""
_FRESH = "fresh weights"
_EACH = ("few_shot", "pretext")
"""Protocols whose numbers are of different tasks; those of others are one task, asked more or less strictly."""


def probes(record: Record) -> Section | None:
    """All numbers on one scale, and what they tell."""
    rows, verdicts, ahead = [], list[str](), list[Measure]()
    for protocol, score in record.scores.items():
        for number, measure in enumerate(measures_of(protocol, score)):
            controls = dict(controls_of(protocol, score, measure))
            rows += [_dot(measure), *(_dot(each, name) for name, each in controls.items())]
            verdicts += [_verdict(measure, controls)] if number == 0 or protocol in _EACH else []
            ahead += [measure] if measure.ahead is not None else []
    if not rows:
        return None
    caption = (
        "With 95 % intervals; a dashed line is chance, and hollow points are there to be compared with those above"
    )
    parts = [
        Markup("<ul>{}</ul>").format(Markup("").join(map(Markup("<li>{}</li>").format, filter(None, verdicts)))),
        dots.table(rows, caption=caption, head="probe"),
    ]
    if ahead:
        parts.append(_differences(ahead))
    return Section("probes", "Probes and their controls", Markup("\n").join(parts))


def controls_of(protocol: str, score: dict[str, Any], measure: Measure) -> Iterator[tuple[str, Measure]]:
    """What the same number is of each control, with how far it is behind, and of fresh weights."""
    controls = score.get("controls")
    known = controls.items() if isinstance(controls, dict) else ()
    others = [(_CONTROLS.get(str(name), str(name)), other) for name, other in known]
    for called, other in [*others, (_FRESH, score.get("random"))]:
        if isinstance(other, dict):
            same = (found for found in measures_of(protocol, other) if found.name == measure.name)
            yield from ((called, replace(found, chance=measure.chance, ahead_interval=_apart(other))) for found in same)


def _apart(other: dict[str, Any]) -> Ends | None:
    """The interval of how far a probe is ahead of a control, paired by video."""
    found = other.get("difference_interval")
    if isinstance(found, list) and len(found) == 2 and all(map(is_number, found)):
        return float(found[0]), float(found[1])
    return None


def _dot(measure: Measure, control: str = "") -> dots.Dot:
    own = f"{measure.by}: {measure.name}"
    ends, of = measure.interval, own if control else ""
    return dots.Dot(control or own, measure.value, ends, measure.chance, is_control=bool(control), of=of)


def _verdict(measure: Measure, controls: dict[str, Measure]) -> str:
    """In words whether it is more than chance, and more than its controls; nothing where no interval tells."""
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
    if control.ahead_interval is not None:  # paired, which tells more than two intervals that overlap
        return control.ahead_interval[0] > 0
    return bool(measure.interval and control.interval and measure.interval[0] > control.interval[1])


def without_motion(record: Record) -> list[str]:
    """The controls that a run's first number is not shown to be above: what it tells may be told without motion."""
    for protocol, score in record.scores.items():
        for measure in measures_of(protocol, score):
            known = [each for each in controls_of(protocol, score, measure) if each[0] != _FRESH and each[1].interval]
            return [name for name, other in known if measure.interval is not None and not is_better(measure, other)]
    return []


def _beside_chance(interval: Ends, chance: float) -> str:
    if interval[0] > chance:
        return "above chance"
    return "below chance" if interval[1] < chance else "no better than chance, as far as this tells"


def _differences(ahead: list[Measure]) -> Markup:
    """How far each number is ahead of that of fresh weights, around zero."""
    ends = [end for measure in ahead for end in (measure.ahead or 0.0, *(measure.ahead_interval or ()))]
    widest = max(1.0, *(abs(end) for end in ends))
    rows = [
        dots.Dot(f"{measure.by}: {measure.name}", measure.ahead or 0.0, measure.ahead_interval, chance=0.0)
        for measure in ahead
    ]
    caption = "Ahead of fresh weights by how much: paired differences, in points; the dashed line is no difference"
    return dots.table(rows, caption=caption, head="probe", scale=(-widest, widest))
