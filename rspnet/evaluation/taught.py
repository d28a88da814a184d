"""Whether training taught a network anything: a table and a verdict, from results that are compared with fresh weights.

These are results of stages/evaluate.py with --compare random, by protocol, in the form of result.json.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from rspnet.console import signed, some

_CONTROLS = {"shuffled": "frames shuffled", "still": "one frame repeated"}
_FEW = 30  # videos, with which an interval reaches about 20 % to either side
_WIDTHS = (26, 22, 22, 24)


class _Line(NamedTuple):
    """A number of both networks, with 95 % intervals or None."""

    name: str
    value: float
    ends: list[float] | None
    fresh: float
    fresh_ends: list[float] | None
    ahead: float
    ahead_ends: list[float] | None
    chance: float

    @property
    def is_learnt(self) -> bool:
        """Whether the number is above chance and above fresh weights, both by its interval."""
        return bool(self.ends and self.ahead_ends and self.ends[0] > self.chance and self.ahead_ends[0] > 0)


def table(results: dict[str, dict[str, Any]]) -> list[str]:
    """Return the lines of a table: each number of the network, of fresh weights, and the difference.

    Args:
        results: Results of any of speed, arrow_of_time and retrieval; a retrieval without labels has no line.

    Returns:
        The lines; without header if nothing was measured, empty if there is nothing to compare.
    """
    lines = list[str]()
    for name, result in results.items():
        if "not_measured" in result:
            lines.append(f"{name.replace('_', ' ')}: not measured: {result['not_measured']}")
        for each in _lines(name, result):
            shown = (
                f"{value:.1f}{_ends(ends, '{:.0f}'.format)}"
                for value, ends in ((each.value, each.ends), (each.fresh, each.fresh_ends))
            )
            ahead = signed(each.ahead) + _ends(each.ahead_ends, partial(signed, decimals=0))
            lines.append(_row(each.name, *shown, ahead))
    chances = {f"{result.chance:.3g}": None for name in results for result in _lines(name, results[name])}
    head = _row("percent [95 % interval]", "trained", "fresh weights", "difference")
    return [head, *lines, f"chance: {', '.join(chances)}"] if chances else lines


def sentence(results: dict[str, dict[str, Any]]) -> str:
    """Return a verdict: whether the network is better than chance and than fresh weights.

    Args:
        results: As for `table`.
    """
    first = {name: line for name, result in results.items() if (line := next(_lines(name, result), None))}
    if not first:
        return "Whether training taught anything is not known: there was nothing to compare."
    if all(line.ahead_ends is None for line in first.values()):
        over = next(str(results[name]["interval_over"]) for name in first)
        return (
            f"Whether training taught anything is not known: {over} alone was tested, which says nothing about others."
        )
    number = min(_number(results[name]) for name in first)
    few = f" With {some(number, 'test video')} only large differences show; with more, smaller ones do too." * (
        number < _FEW
    )
    learnt = [
        f"{line.name} ({line.value:.0f} %, fresh weights {line.fresh:.0f} %)"
        for line in first.values()
        if line.is_learnt
    ]
    if learnt:
        text = f"Training taught {' and '.join(learnt)}: better than chance and better than fresh weights."
        return f"{text}{_pictures(results, first)}{few}"
    lost = [line.name for line in first.values() if line.ahead_ends and line.ahead_ends[1] < 0]
    worse = f" Fresh weights are even better at {' and '.join(lost)}." if lost else ""
    return f"Nothing shows that training taught anything: no number is above both chance and fresh weights.{worse}{few}"


def _pictures(results: dict[str, dict[str, Any]], first: dict[str, _Line]) -> str:
    """Return sentences on whether what was learnt is recognised by motion, judged by the controls."""
    found = []
    for name, line in first.items():
        controls = results[name].get("controls")
        if controls is None or not line.is_learnt:
            continue
        as_well = [
            said
            for each, said in _CONTROLS.items()
            if not (apart := controls[each]["difference_interval"]) or apart[0] <= 0
        ]
        if as_well:  # the difference may only be too small to show with few videos
            without = " and ".join(as_well)
            found.append(f" That {line.name} is recognised by motion is not shown: {without} may do as well.")
        else:
            found.append(f" It recognises {line.name} by motion, not by single pictures.")
    return "".join(found)


def _lines(name: str, result: dict[str, Any]) -> Iterator[_Line]:
    """Yield the number of a result, and those of its controls."""
    if "random" not in result or not result["random"]["difference"]:
        return
    if name == "retrieval":
        yield _line(
            "nearest is of its class", result, result["recall"]["1"], fresh=result["random"]["recall"]["1"], key="1"
        )
        return
    yield _line(name.replace("_", " "), result, result["top1"], fresh=result["random"]["top1"], key="top1")
    for key, said in _CONTROLS.items():
        yield _line(
            f"  {said}",
            result,
            result["controls"][key]["top1"],
            fresh=result["random"]["controls"][key]["top1"],
            key=key,
        )


def _line(name: str, result: dict[str, Any], value: float, *, fresh: float, key: str) -> _Line:
    random, of = result["random"], result.get("controls", {}).get(key, result)
    theirs = random.get("controls", {}).get(key, random)
    own = "top1" if key in _CONTROLS else key
    chance = result["chance"]["1"] if "chance" in result else result["chance_top1"]
    ends, fresh_ends = of["interval"][own], theirs["interval"][own]
    return _Line(
        name, value, ends, fresh, fresh_ends, random["difference"][key], random["difference_interval"][key], chance
    )


def _ends(ends: list[float] | None, shown: Callable[[float], str]) -> str:
    return f" [{', '.join(map(shown, ends))}]" if ends else ""


def _number(result: dict[str, Any]) -> int:
    return int(result.get("num_videos", result.get("num_queries", 0)))


def _row(*cells: str) -> str:
    return "".join(cell.ljust(width) for cell, width in zip(cells, _WIDTHS)).rstrip()
