"""What was run: network, weights, videos and versions, what it cost, and the options that differ from the recipe."""

from collections.abc import Iterator

from markupsafe import Markup

from rspnet.console import duration, some
from rspnet.data.index import columns
from rspnet.report.recipe import changes, shown
from rspnet.report.record import Record
from rspnet.report.section import Section
from rspnet.report.tables import details, is_number, table
from rspnet.running.record import flat

_SHORT = 12  # digits of a hash that people compare

Fact = tuple[str, str]


def made(record: Record) -> Section:
    """Show what was run, with all options and versions folded away."""
    parts = [_facts([*origin(record), *cost(record)]), _changes(record)]
    if record.config:
        rows = [(name, shown(value)) for name, value in sorted(flat(record.config).items())]
        options = table(["option", "value"], rows, label="All options", kind="options")
        parts.append(details("All options", options))
    rows = [(name, shown(value)) for name, value in flat(record.environment).items()]
    if rows:
        machine = table(["", ""], rows, label="Versions and machine", kind="options")
        parts.append(details("Versions and machine", machine))
    note = "" if record.config else "Its options cannot be read, so that little can be said."
    return Section("made", "What was run", Markup("").join(parts), note)


def origin(record: Record) -> Iterator[Fact]:
    """Yield where the numbers come from: network, weights, videos, code."""
    result, sources = record.result or {}, record.environment.get("sources")
    known = (sources if isinstance(sources, dict) else {}) | result
    encoder, clips, data = (record.options(name) for name in ("encoder", "clips", "data"))
    if name := known.get("arch", encoder.get("name")):
        width = encoder.get("width")
        layer = f", stage {shown(known['layer'])}" if known.get("layer") is not None else ""
        yield "network", shown(name) + (f", width {shown(width)}" if width is not None else "") + layer
    weights = known.get("weights", record.config.get("weights"))
    digest = known.get("weights_sha256")
    called = "weights" if record.stage == "evaluate" else "weights at the start"
    yield called, shown(weights or "fresh") + (f" ({shown(digest)[:_SHORT]})" if digest else "")
    if clips:
        rate = clips.get("frame_rate")
        apart = f"at {shown(rate)} a second" if rate else f"{shown(clips.get('stride', 1))} apart"
        size = shown(clips.get("size"))
        yield "clips", f"{shown(clips.get('num_frames'))} frames, {apart}, of {size} × {size} pixels"
    if where := data.get("index") or data.get("root"):
        yield "videos from", shown(where)
    if record.index is not None:
        yield "videos", _counted(record)
    for name, called in (("data_fingerprint", "fingerprint"), ("fold", "fold"), ("seed", "seed")):
        if known.get(name) is not None:
            yield called, shown(known[name])
    if precision := known.get("precision"):
        yield "precision", "float32" if precision == "no" else shown(precision)
    versions = versions if isinstance(versions := record.environment.get("versions"), dict) else {}
    named = [f"{name} {shown(versions[name])}" for name in ("rspnet", "torch") if name in versions]
    commit = record.environment.get("git_commit")
    if named:
        yield "made with", ", ".join(named) + (f" (commit {shown(commit)})" if commit else "")
    if isinstance(command := record.environment.get("command"), list):
        yield "command", " ".join(map(shown, command))


def cost(record: Record) -> Iterator[Fact]:
    """Yield the devices a run used, and its cost in device-hours."""
    result, sources = record.result or {}, record.environment.get("sources")
    known = (sources if isinstance(sources, dict) else {}) | result
    processes, hours = known.get("processes"), known.get("device_hours")
    if "device" in known and is_number(processes):
        yield "devices", f"{processes} × {shown(known['device'])}"
    if is_number(hours):
        wall = f" ({duration(3600 * hours / processes)} on these)" if is_number(processes) and processes > 0 else ""
        yield "cost", f"{hours:.3g} device-hours{wall}"


def _counted(record: Record) -> str:
    """Count the videos in words: how many, in which splits, of how many classes, and how long together."""
    assert record.index is not None
    found = columns(record.index, ["split", "duration"])
    counts = {each["values"]: each["counts"] for each in found["split"].value_counts().to_pylist()}
    splits = ", ".join(f"{number} {name or 'without a split'}" for name, number in sorted(counts.items(), key=str))
    classes = len(record.index.features["label"].names)
    seconds = [each for each in found["duration"].to_pylist() if each is not None]
    told = f"{some(len(record.index), 'video')} ({splits})"
    if classes:
        told += f" of {some(classes, 'class', 'classes')}"
    return told + (f", {duration(sum(seconds))}" if len(seconds) == len(record.index) else "")


def _facts(facts: list[Fact]) -> Markup:
    parts = [Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(name, value) for name, value in facts]
    return Markup('<dl class="facts">{}</dl>').format(Markup("").join(parts))


def _changes(record: Record) -> Markup:
    found = changes(record)
    if found is None:
        return Markup("")
    head = Markup("<h3>Options that differ from {}</h3>").format(found.against)
    if not found.rows:
        return head + Markup("<p>None.</p>")
    return head + table(["option", "there", "here"], found.rows, label="Options that differ", kind="options")
