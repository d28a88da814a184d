"""The report page: its sections in order, in one file that loads nothing and runs no script but its own."""

import dataclasses
import hashlib
import os
import shlex
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

import rspnet
from rspnet.console import say, some
from rspnet.disk import is_there, reading, write_text
from rspnet.errors import ConfigError
from rspnet.report import side_by_side
from rspnet.report.classes import classes
from rspnet.report.confusion import confusion
from rspnet.report.curves import curves
from rspnet.report.errors import errors
from rspnet.report.evaluations import evaluations
from rspnet.report.feature_map import feature_map
from rspnet.report.gallery import gallery
from rspnet.report.health import health
from rspnet.report.made import made
from rspnet.report.near import near
from rspnet.report.probes import probes
from rspnet.report.record import Record
from rspnet.report.results import results
from rspnet.report.runs import apart, options, runs, together
from rspnet.report.section import Section
from rspnet.report.side_by_side import findings
from rspnet.report.similarity_maps import similarity_maps
from rspnet.report.summary import Summary, summary
from rspnet.report.thumbnails import BRIEFLY, Thumbnails
from rspnet.report.unread import unread
from rspnet.terminal import visible

SECTIONS: tuple[Callable[[Record], Section | None], ...] = (
    *(results, evaluations, probes, curves, health, classes, confusion, errors, gallery, near, feature_map),
    *(similarity_maps, unread, made),
)
"""Sections on one run, in their order."""

SEVERAL: tuple[Callable[[Sequence[Record]], Section | None], ...] = (
    *(runs, findings, apart, side_by_side.classes, options, together),
)
"""Sections on several runs, in their order."""

GENERATOR = "rspnet report"
"""Value of the meta tag by which a page is recognised as one of these."""

_HERE = Path(__file__).parent
_STYLES = ("style.css", "findings.css")
_SCRIPTS = ("findings.js",)
_HEAD = 4096  # bytes that are searched for the generator
_NAMED = 3  # most runs that a title names


@dataclasses.dataclass(frozen=True)
class Page:
    """A report page.

    Attributes:
        text: Its HTML.
        failed: What could not be made, and why; a line for each.
    """

    text: str
    failed: list[str]


def write(run_dirs: Sequence[Path], out: Path, features: str | None = None, *, in_brief: bool = False) -> list[str]:
    """Write the report of a run, or of several side by side.

    Args:
        run_dirs: The runs' folders.
        out: File to write; an existing one is replaced.
        features: File or folder of features to use instead of those in the run's folder.
        in_brief: Leave out what takes long: t-SNE, and the pictures of most videos. The page says so.

    Returns:
        What could not be made, and why; a line for each.

    Raises:
        ConfigError: A folder is not a run's, or the features cannot be read or belong to another run.
        DiskError: The page cannot be written.
    """
    thumbnails = Thumbnails(patience=BRIEFLY) if in_brief else Thumbnails()
    records = [Record.read(run_dir, features, thumbnails) for run_dir in run_dirs]
    if not in_brief:
        say(f"making a page of {some(len(records), 'run')}; with many videos that takes a minute or two")
    page = made_of([dataclasses.replace(record, in_brief=in_brief) for record in records])
    # Names from a file may hold lone surrogates, which UTF-8 cannot encode.
    write_text(out, page.text.encode("utf-8", "backslashreplace").decode())
    return page.failed


def check_out(out: str) -> None:
    """Refuse, before any work, a file that `write` should not write to.

    Raises:
        ConfigError: It does not end in .html or .htm, is a folder or another program's page, or cannot be written.
    """
    if os.path.splitext(out)[1].lower() not in (".html", ".htm"):
        raise ConfigError(f"--out: {out}; a report is an HTML page: give it a name that ends in .html")
    folder = next(each for each in Path(out).absolute().parents if is_there(each))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"--out: {out}: nothing can be written into {folder}; choose another place")
    if not is_there(out):
        return
    if not os.path.isfile(out):
        raise ConfigError(f"--out: {out} is not a file; choose another name")
    with reading(out), open(out, "rb") as file:
        begin = file.read(_HEAD)
    if begin and f'name="generator" content="{GENERATOR}"'.encode() not in begin:
        raise ConfigError(f"--out: {out} exists and is not a report; choose another name, or remove it")


def made_of(records: Sequence[Record]) -> Page:
    """Make the page of a run, or of several, which must share one `thumbnails`."""
    failed = list[str]()
    if len(records) == 1:
        (record,) = records
        head = _head(record, failed)
        sections = [_made(function, record, failed) for function in SECTIONS]
    else:
        records = named_apart(records)
        names = ", ".join(record.name for record in records)
        head = Summary("Comparison", names if len(records) <= _NAMED else f"{len(records)} runs")
        sections = [_made(function, records, failed) for function in SEVERAL]
    shown = [section for section in sections if section is not None]
    pictures = records[0].thumbnails
    styles = [*map(_file, _STYLES), *filter(None, [pictures.style()])]
    scripts = [_file(name) for name in _SCRIPTS]
    text = _template().render(
        head=head,
        sections=shown,
        faults=[visible(fault) for record in records for fault in record.faults],
        styles=styles,
        scripts=scripts,
        left_out=pictures.left_out(),
        moves=bool(pictures.style()),
        whole=_whole(records[0], pictures),
        policy=_policy(styles, scripts),
        generator=GENERATOR,
        version=rspnet.__version__,
        now=time.strftime("%Y-%m-%d %H:%M"),
    )
    return Page(text, failed)


def _whole(record: Record, pictures: Thumbnails) -> str:
    """Return the command that makes the full page if this brief one lacks something, else an empty string."""
    lacks = record.features is not None or pictures.left_out()
    if not record.in_brief or not lacks:
        return ""
    words = ("python", "stages/report.py", record.run_dir, "--out", record.run_dir / "report.html")
    return visible(shlex.join(map(str, words)))


def named_apart(records: Sequence[Record]) -> list[Record]:
    """Name runs by their paths if their folders have the same name."""
    times = Counter(record.name for record in records)
    return [
        dataclasses.replace(record, called=str(record.run_dir)) if times[record.name] > 1 else record
        for record in records
    ]


def _head(record: Record, failed: list[str]) -> Summary:
    """Return the head of a run's page; if that fails, one with the run's name and the reason."""
    try:
        return summary(record)
    except Exception as error:
        failed.append(f"summary: {_why(error)}")
        return Summary("Run", record.name, verdict=f"The summary could not be made ({_why(error)}).", tone="bad")


def _made(function: Callable[[Any], Section | None], of: object, failed: list[str]) -> Section | None:
    """Make a section; if that fails, return one that says so, because the others are still worth reading."""
    try:
        return function(of)
    except Exception as error:
        why = _why(error)
        failed.append(f"section {function.__name__}: {why}")
        title = function.__name__.replace("_", " ").capitalize()
        return Section(function.__name__.replace("_", "-"), title, Markup(""), f"This could not be made ({why}).")


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _file(name: str) -> Markup:
    """Return the text of a file in this folder, unescaped."""
    return Markup((_HERE / name).read_text(encoding="utf-8"))


def _template() -> jinja2.Template:
    loader = jinja2.FileSystemLoader(_HERE)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html")


def _policy(styles: Sequence[str], scripts: Sequence[str]) -> str:
    """Return the page's content security policy: its own styles and scripts, by their hashes, and embedded pictures."""
    allowed = {"style-src": styles, "script-src": scripts}
    parts = [" ".join([kind, *(map(_hash, texts) if texts else ["'none'"])]) for kind, texts in allowed.items()]
    return "; ".join(["default-src 'none'", "img-src data:", *parts, "base-uri 'none'", "form-action 'none'"])


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
