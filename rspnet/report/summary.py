"""The head of a run's page: what was run, its main number, and a verdict on it."""

from dataclasses import dataclass
from typing import Literal

from rspnet.console import percent, signed, some
from rspnet.method.health import AT_CHANCE
from rspnet.report.health import wrong
from rspnet.report.made import Fact, cost
from rspnet.report.probes import without_motion
from rspnet.report.record import Record
from rspnet.report.results import RSP, Measure, ends, measures
from rspnet.report.tables import is_number
from rspnet.terminal import visible

KINDS = {"pretrain": "Pretraining", "finetune": "Fine-tuning", "evaluate": "Evaluation"}

Tone = Literal["good", "bad", "plain"]


@dataclass(frozen=True)
class Summary:
    """The head of a page.

    Attributes:
        kind: Kind of run, and its network.
        title: The run's name.
        number: The main number; empty if there is none.
        of: What that number is.
        beside: Its interval, and chance.
        verdict: What it is worth, in a sentence.
        tone: Whether that sentence is good or bad news.
        facts: Name and value of a few more facts.
    """

    kind: str
    title: str
    number: str = ""
    of: str = ""
    beside: str = ""
    verdict: str = ""
    tone: Tone = "plain"
    facts: tuple[Fact, ...] = ()


def summary(record: Record) -> Summary:
    """Return the head of a run's page."""
    encoder = (record.result or {}).get("arch", record.options("encoder").get("name"))
    kind = " · ".join([KINDS.get(record.stage, "Run"), *([visible(encoder)] if isinstance(encoder, str) else [])])
    first = next(iter(measures(record)), None)
    told = ("", "", "")
    if first is not None:
        chance = "" if first.chance is None else f"chance {percent(first.chance)}"
        beside = " · ".join(part for part in (ends(first.interval), chance) if part)
        told = (f"{percent(first.value)} %", f"{first.name}, {first.by}", beside)
    verdict, tone = judged(record, first)
    return Summary(kind, record.name, *told, verdict, tone, tuple(_facts(record)))


def judged(record: Record, first: Measure | None) -> tuple[str, Tone]:
    """Return a verdict on a run in a sentence, and whether it is good or bad.

    Args:
        record: The run.
        first: Its first number; None if it has none.
    """
    if record.result is None:
        return _unfinished(record), "plain"
    if record.stage == "pretrain":
        if not record.metrics:
            return "Whether it went well is not known: its log, metrics.jsonl, is gone or cannot be read.", "plain"
        faults = wrong(record)
        more = f" And {some(len(faults) - 1, 'thing')} more, below." if len(faults) > 1 else ""
        if faults:
            return f"{faults[0]}{more}", "bad"
        if first is not None and first.value < AT_CHANCE and first.name == RSP:
            return f"Nothing is wrong, but RSP is at chance after {record.result.get('steps')} steps.", "plain"
        return "Its numbers show nothing wrong. An evaluation shows what it has learnt.", "good"
    if first is None:
        return "Without classes there is no number to judge it by.", "plain"
    if first.ahead is not None and first.ahead_interval is not None:
        told, tone = against_fresh(first.ahead, first.ahead_interval)
    else:
        told, tone = against_chance(first)
    if tone == "good" and (controls := without_motion(record)):
        without = " and with ".join(controls)
        return f"{told} Not shown to come from motion: it is not shown to be better than with {without}.", "plain"
    if first.is_over_draws and first.interval is not None:
        return f"{told} The interval is over draws of these videos, and says nothing about others.", "plain"
    return told, tone


def against_fresh(ahead: float, interval: tuple[float, float]) -> tuple[str, Tone]:
    """Return the verdict on how far training is ahead of fresh weights."""
    told = f"{signed(ahead)} {ends(interval, is_difference=True)}"
    if interval[0] > 0:
        return f"Training has taught something: it is ahead of fresh weights by {told}.", "good"
    if interval[1] < 0:
        return f"Fresh weights do better: training is ahead of them by {told}.", "bad"
    return f"Not shown to differ from fresh weights: ahead by {told}, which may be chance.", "bad"


def against_chance(measure: Measure) -> tuple[str, Tone]:
    """Return the verdict on a number beside chance."""
    if measure.interval is None or measure.chance is None:
        return "It is not known how certain this number is.", "plain"
    low, high = measure.interval
    chance = f"chance, {percent(measure.chance)} %"
    if low > measure.chance:
        return f"Above {chance}, with its whole interval.", "good"
    if high < measure.chance:
        return f"Below {chance}: something is wrong, such as classes in another order.", "bad"
    return f"Not shown to differ from {chance}: the interval includes it.", "bad"


def _unfinished(record: Record) -> str:
    if not record.is_unfinished:
        return "How it ended is not known: its result.json cannot be read."
    optim, done = record.options("optim"), [line["step"] for line in record.metrics if is_number(line["step"])]
    epochs = [line["epoch"] for line in record.metrics if line["event"] == "epoch" and is_number(line.get("epoch"))]
    total = optim.get("epochs")
    if record.stage == "evaluate":
        return "Not finished. The same command measures it."
    if not done:
        return "Not finished: it has not logged anything. The same command goes on with it."
    of = f" of {total}" if is_number(total) else ""
    epoch = epochs[-1] if epochs else 0
    return f"Not finished: {epoch}{of} epochs, {done[-1]} steps are in its log. The same command goes on with it."


def _facts(record: Record) -> list[Fact]:
    result = record.result or {}
    facts = list[Fact]()
    if record.stage == "evaluate" and isinstance(weights := record.config.get("weights"), str):
        facts.append(("weights", visible(weights)))
    for name in ("num_videos", "num_queries"):
        if numbers := {score[name] for score in (result, *record.scores.values()) if is_number(score.get(name))}:
            facts.append(("videos" if record.stage == "pretrain" else "test videos", str(max(numbers))))
            break
    if is_number(epochs := result.get("epochs")):
        facts.append(("epochs", str(epochs)))
    return [*facts, *cost(record)]
