"""Tables of studies: means over seeds, and differences with their intervals."""

import statistics
import string
from collections.abc import Iterable
from itertools import zip_longest

import numpy as np
from study_results import MARKED, SHOTS, UNTESTED

from rspnet.data.groups import films_of
from rspnet.evaluation.interval import resampled

COLUMNS = {
    "RSP": ("pretext", "rsp_accuracy"),
    "A-VID": ("pretext", "avid_top1"),
    "R@1": ("retrieval", "recall", "1"),
    "kNN": ("knn", "top1"),
    "linear": ("linear", "top1"),
    "fine-tuned": ("tuned", "top1"),
}
FEW_SHOT = {f"linear, {SHOTS} videos a class": ("few_shot", "top1", f"{SHOTS}")}
MORE = {"R@5": ("retrieval", "recall", "5")} | FEW_SHOT
FROZEN = {name: COLUMNS[name] for name in ("R@1", "kNN", "linear")} | FEW_SHOT
CONTROLS = {"": ("top1",), ", shuffled": ("controls", "shuffled", "top1"), ", one frame": ("controls", "still", "top1")}
PROBED = {
    f"{called}{control}": (protocol, *keys)
    for called, protocol in {"speed": "speed", "backwards": "arrow_of_time"}.items()
    for control, keys in CONTROLS.items()
}
"""Probes of how a clip is played on frozen features, with the controls that show no motion."""
FEW = {f"3 videos a class, at {rate}": (f"3 videos a class, lr {rate}", "top1") for rate in ("0.005", "0.05")}
DEMO = {"fine-tuned top-1": ("tuned", "top1"), "retrieval R@1": COLUMNS["R@1"], "R@5": MORE["R@5"]}
TUNED = "tuned, "
"""Beginning of the names of fine-tunings with fewer labels; their number follows."""
FRESH, PRETRAINED, BASE = "fresh weights", "pretrained", "base"
Runs = list[dict]


def study(found: dict, *, against: str = BASE, columns: dict[str, tuple[str, ...]] = COLUMNS) -> str:
    """Tabulate the rows of a study: means over measured seeds, and how far each is ahead of one, with the interval."""
    rows, lines = by_row(found), []
    base = rows.get(against, [])
    for name, runs in rows.items():
        cells = []
        for keys in columns.values():
            value = mean(runs, keys)
            cell = "" if value is None else f"{value:.1f}"
            if name != against and (ahead_by := difference(found, runs, base, keys[0])):
                cell += f" ({ahead_by})"
            cells.append(cell)
        lines.append([name, f"{len(runs)}", *cells])
    return markdown(["", "seeds", *columns], lines)


def gain(found: dict) -> str:
    """Tabulate each row by each measure, and how far pretraining is ahead of fresh weights, with the interval.

    The difference is on all test videos and, if there are such, on those of `subsets`.
    """
    rows, lines = by_row(found), []
    tested = subsets(found)
    fresh, pretrained = rows.get(FRESH, []), rows.get(PRETRAINED, [])
    if not fresh or not pretrained:
        return markdown(["not measured yet"], [])
    few = [name for name in fresh[0]["measures"] if name.startswith(TUNED)]
    for name, keys in (COLUMNS | MORE | {f"fine-{name}": (name, "top1") for name in few}).items():
        values = {row: mean(runs, keys) for row, runs in rows.items()}
        if all(value is None for value in values.values()):
            continue
        cells = ["" if value is None else f"{value:.1f}" for value in values.values()]
        is_first = keys != MORE["R@5"]  # predictions of videos are their first class alone
        told = [difference(found, pretrained, fresh, keys[0], without) for without in tested.values() if is_first]
        if not any(told):
            without, behind = values[FRESH], values[PRETRAINED]
            told = ["" if without is None or behind is None else f"{behind - without:+.1f}", *[""] * (len(tested) - 1)]
        cells += told
        lines.append([name, *cells])
    head = ["", *(f"{name} ({len(runs)})" for name, runs in rows.items())]
    return markdown([*head, *tested], lines)


def joined(found: dict, fresh: dict) -> dict:
    """Add the networks with fresh weights of another study's results.

    Raises:
        ValueError: the two are not of the same videos.
    """
    if any(found[name] != fresh[name] for name in ("videos", "labels", "classes")):
        raise ValueError("fresh weights were measured on other videos")
    known = {(run["row"], run["seed"]) for run in found["runs"]}
    return found | {"runs": found["runs"] + [run for run in fresh["runs"] if (run["row"], run["seed"]) not in known]}


def against(found: dict, fresh: dict, *, row: str) -> str:
    """Tabulate a row and many networks with fresh weights by frozen features, with the lowest and the highest seed."""
    found = joined(found, fresh)
    rows, lines, tested = by_row(found), [], subsets(found)
    runs, others = rows.get(row, []), rows[FRESH]
    for name, keys in FROZEN.items():
        values = [of_seeds(side, keys) for side in (others, runs)]
        if all(values):
            told = [difference(found, runs, others, keys[0], without) for without in tested.values()]
            lines.append([name, *map(spread, values), *told])
    return markdown(["", f"fresh weights ({len(others)})", f"{row} ({len(runs)})", *tested], lines)


def subsets(found: dict) -> dict[str, str]:
    """Return the test sets to compare on, by name: marks of the videos left out, none first, then stricter sets."""
    parts = {"without films of both sides": found["shared"], "of videos not pretrained on": found["pretrained_on"]}
    return {"difference": ""} | {name: marks for name, marks in parts.items() if MARKED in marks}


def difference(found: dict, runs: Runs, others: Runs, measure: str, without: str = "") -> str:
    """Return a cell: how far the runs with a measure are ahead of the others with it; empty if either have none."""
    ours, theirs = ([run for run in side if measure in run["said"]] for side in (runs, others))
    if not ours or not theirs:
        return ""
    ahead_by, (low, high) = ahead(found, ours, theirs, measure, without=without)
    return f"{ahead_by:+.1f} [{low:+.1f}, {high:+.1f}]"


def over_seeds(found: dict, *, columns: dict[str, tuple[str, ...]]) -> str:
    """Tabulate each row by some measures: the mean over seeds, with the lowest and the highest."""
    lines = []
    for name, runs in by_row(found).items():
        lines.append([name, f"{len(runs)}", *(spread(of_seeds(runs, keys)) for keys in columns.values())])
    return markdown(["", "seeds", *columns], lines)


def spread(of_seeds: list[float]) -> str:
    """Return a cell: the mean of a number over seeds, with the lowest and the highest; empty if none was measured."""
    if not of_seeds:
        return ""
    return f"{statistics.fmean(of_seeds):.1f} ({min(of_seeds):.0f} to {max(of_seeds):.0f})"


def by_row(found: dict) -> dict[str, Runs]:
    """Return the runs of each row."""
    rows: dict[str, Runs] = {}
    for run in found["runs"]:
        rows.setdefault(run["row"], []).append(run)
    return rows


def mean(runs: Runs, keys: tuple[str, ...]) -> float | None:
    """Return the mean of a number over seeds; None if it was not measured."""
    found = of_seeds(runs, keys)
    return statistics.fmean(found) if found else None


def of_seeds(runs: Runs, keys: tuple[str, ...]) -> list[float]:
    """Return a number of each seed for which it was measured."""
    return [value for run in runs if (value := dig(run["measures"], keys)) is not None]


def ahead(
    found: dict, runs: Runs, others: Runs, measure: str, *, without: str = ""
) -> tuple[float, tuple[float, float]]:
    """Return how far some runs are ahead of others, in percentage points, with the 95 % interval, paired by video.

    By the pigeonhole bootstrap (Owen 2007): films are drawn, each with all its videos, and likewise the seeds of either
    side. A single seed gives it no information on other seeds, two or three give little. Draws of a few labels are the
    same in all runs, and are averaged. Videos that `without` marks, a character each, are left out.

    Raises:
        ValueError: the runs were not measured on the same videos.
    """
    if len({tuple(mark(said)) for run in (*runs, *others) for said in drawn_of(run, measure)}) > 1:
        raise ValueError(f"{runs[0]['row']}, {others[0]['row']}: {measure} is not of the same videos in all runs")
    said = zip_longest(drawn_of(runs[0], measure)[0], without)
    tested = [at for at, (one, marked) in enumerate(said) if one != UNTESTED and marked != MARKED]
    videos = [found["videos"][place] for place in tested]
    labels = [found["classes"][string.ascii_letters.index(found["labels"][place])] for place in tested]
    rights = np.array([[right(found, run, measure, place) for run in (*runs, *others)] for place in tested])
    drawn = resampled(100 * rights.astype(np.float64), films_of(videos, labels))
    rng = np.random.default_rng(1)  # a stream apart from that of the films
    ours, theirs = (
        rng.multinomial(len(side), np.full(len(side), 1 / len(side)), size=len(drawn)) / len(side)
        for side in (runs, others)
    )
    low, high = np.percentile((drawn * np.hstack([ours, -theirs])).sum(1), (2.5, 97.5))
    ahead_by = 100 * (rights[:, : len(runs)].mean() - rights[:, len(runs) :].mean())
    return float(ahead_by), (float(low), float(high))


def drawn_of(run: dict, measure: str) -> list[str]:
    """Return a run's predictions by a measure: one text for each draw of labelled videos, or a single one."""
    said = run["said"][measure]
    return said if isinstance(said, list) else [said]


def mark(said: str) -> list[bool]:
    """Return which videos were tested."""
    return [one != UNTESTED for one in said]


def right(found: dict, run: dict, measure: str, place: int) -> float:
    """Return 1 if a run's prediction of a video is right, else 0; of several draws the mean."""
    return statistics.fmean(said[place] == found["labels"][place] for said in drawn_of(run, measure))


def dig(found: dict, keys: tuple[str, ...]) -> float | None:
    """Return a number from nested dictionaries; None if it is not there."""
    for key in keys:
        if not isinstance(found, dict) or key not in found:
            return None
        found = found[key]
    return found


def markdown(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
