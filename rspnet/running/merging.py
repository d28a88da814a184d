"""Join what the shares of a job have found: the same bytes as one process writes, and the same summary."""

from collections.abc import Iterable, Iterator
from typing import Any

from rspnet import console
from rspnet.data import copies, index, verification
from rspnet.data.rows import Row
from rspnet.errors import ConfigError
from rspnet.running.ledger import Ledger
from rspnet.running.parts import Part, Parts, named
from rspnet.running.share import ALL, Share, refuse_pipes

Summary = dict[str, Any]


def check(share: Share, out: str, source: str) -> None:
    """Check that a job can be done in shares, or by one process, before anything else is checked.

    Args:
        share: this process's share.
        out: what the job writes.
        source: what it reads.

    Raises:
        ConfigError: a pipe cannot be shared; or this process would do all, but shares have been begun.
    """
    parts = Parts(out)
    refuse_pipes(share, [source], out)
    if share == ALL and out != "-" and parts.are_there():
        count = parts.plan()["count"]
        raise ConfigError(
            f"{parts.folder}: {out} is being made in {count} shares; do those that are missing with --share K/{count}, "
            f"join them with stages/merge.py {out}, or remove the folder to start over"
        )


def begin(share: Share, out: str, rows: Iterable[Row], *, stage: str, settings: dict[str, Any]) -> Part | None:
    """Begin or continue a share of a job; return None if one process does all of it.

    Args:
        share: this process's share.
        out: what the job writes.
        rows: all rows; the caller will go through them again.
        stage: the stage's name.
        settings: everything that the written rows depend on.

    Raises:
        ConfigError: the shares that are there belong to another job.
    """
    if share == ALL:
        return None
    parts = Parts(out)
    parts.claim(share, stage, settings)
    return Part(parts, share, rows)


def end(part: Part) -> Summary:
    """Join the parts if this share is the last to be done; return its summary, or that of the whole job if joined."""
    parts, summary = part.parts, part.told | {"share": str(part.share)}
    try:
        if missing := parts.missing():
            console.say(f"share {part.share} is done; to come: {named(missing)}", everywhere=True)
        else:
            with parts.held():
                return summary | merge(parts, newest=part.share, everywhere=True)
    except (BlockingIOError, FileNotFoundError):
        console.say(f"share {part.share} is done; another process joins them", everywhere=True)
    return summary | {"exit_status": 0}  # with another one a launcher would end the other processes


def merge(parts: Parts, *, newest: Share | None = None, strict: bool = False, everywhere: bool = False) -> Summary:
    """Write OUT from all parts, print its summary, and remove the parts; the caller holds them.

    Args:
        parts: those of the job.
        newest: as for `Parts.joined`.
        strict: end with exit status 1 if a verified video is not ok; so does a share that was done with ``--strict``.
        everywhere: whether this is one of several processes, each of which prints for itself.

    Raises:
        ConfigError: as `Parts.joined`; or another process is writing to the folder of copies.
    """
    plan = parts.plan()
    rows, told = parts.joined(newest)
    summary, lines = _ENDS[plan["stage"]](rows, told, parts.out)
    parts.remove()
    console.say(*lines, everywhere=everywhere)
    bad = summary.get("num_lost", 0) + (strict or any(each.get("strict") for each in told)) * summary["num_bad"]
    return summary | {"exit_status": int(bad > 0)}


def _verified(rows: list[Row], told: list[Summary], out: str) -> tuple[Summary, Iterator[str]]:
    tally = verification.Tally()
    index.write_rows(list(tally(rows)), out)
    summary = {name: told[0][name] for name in ("stage", "source", "depth", "out")} | tally.summary()
    summary["ignored"] = told[0]["ignored"]
    return summary, verification.report(summary)


def _transcoded(rows: list[Row], told: list[Summary], out: str) -> tuple[Summary, Iterator[str]]:
    with Ledger(told[0]["dst"], out, order=[row["video"] for row in rows]):
        index.write_rows(rows, out)
    summary: Summary = {name: told[0][name] for name in ("stage", "dst", "recipe", "ignored")}
    for each in told:
        summary |= {name: summary.get(name, 0) + each[name] for name in copies.NUMBERS}
    summary["bytes"] = {name: sum(each["bytes"][name] for each in told) for name in ("source", "new")}
    summary["bad"] = [line for each in told for line in each["bad"]][: copies.NUM_NAMED]
    return summary, copies.report(summary)


_ENDS = {"verify": _verified, "transcode": _transcoded}
