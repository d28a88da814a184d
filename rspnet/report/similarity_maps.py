"""Similarity maps of two clips of a video, as strips that stages/visualize.py has written into the run's folder."""

import shlex
from base64 import b64encode
from io import BytesIO
from pathlib import Path

from markupsafe import Markup
from PIL import Image

from rspnet.console import some
from rspnet.report.record import Record
from rspnet.report.section import Section
from rspnet.terminal import visible

_FOLDER = "maps"
_SHOWN = 4
_WIDTH = 960  # pixels
_LARGEST = 20_000_000  # pixels of a strip; those of stages/visualize.py have about a million
_BYTES = 150_000  # of a strip in the page; it is compressed more strongly if it would be larger
_QUALITIES = (70, 45, 20)  # of WebP
_LOOKED_AT = 10_000  # files


def similarity_maps(record: Record) -> Section | None:
    """Show strips of similarity maps; for a pretraining without any, say how to make them; else None."""
    name, title = "similarity-maps", "Where clips are alike"
    folder = record.run_dir / _FOLDER
    strips = found_strips(folder)
    pictures = [(path, uri) for path in strips if (uri := picture(path)) is not None][:_SHOWN]
    if not pictures:
        return Section(name, title, Markup(""), _how(record)) if record.stage == "pretrain" else None
    said = "Two clips of a video, and below each where the motion head (RSP) and the appearance head (A-VID) find what "
    said += "makes them alike: the lighter, the more. A head that has learnt motion is light where something moves."
    if len(strips) > len(pictures):
        said += f" {len(pictures)} of {some(len(strips), 'strip')} in the folder {_FOLDER} of the run."
    shown = Markup("\n").join(
        Markup(
            '<figure class="strip"><img src="{}" alt="Similarity maps of {}"><figcaption>{}</figcaption></figure>'
        ).format(uri, *[visible(path.relative_to(folder).as_posix())] * 2)
        for path, uri in pictures
    )
    return Section(name, title, Markup("<p>{}</p>\n{}").format(said, shown))


def found_strips(folder: Path) -> list[Path]:
    """Return the strips in a folder and below it, in the order of their names."""
    if not folder.is_dir():
        return []
    named = (path for path in folder.rglob("*.maps.*") if path.suffix in (".webp", ".png"))
    return sorted(path for path, _ in zip(named, range(_LOOKED_AT)) if path.is_file())


def picture(path: Path) -> str | None:
    """Return a strip as a data URI, no wider than a page; None if the file is no picture or too large."""
    try:
        with Image.open(path, formats=("WEBP", "PNG")) as opened:
            if opened.width * opened.height > _LARGEST:
                return None
            image = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # what Pillow raises for damaged files
        return None
    if image.width > _WIDTH:
        image = image.resize((_WIDTH, max(1, round(image.height * _WIDTH / image.width))), Image.Resampling.LANCZOS)
    for quality in _QUALITIES:
        file = BytesIO()
        image.save(file, "WEBP", quality=quality, method=4)
        if file.tell() <= _BYTES:
            return f"data:image/webp;base64,{b64encode(file.getvalue()).decode()}"
    return None


def _how(record: Record) -> str:
    run_dir = shlex.quote(str(record.run_dir))
    command = (
        f"python stages/visualize.py VIDEOS --weights {run_dir} --out {shlex.quote(str(record.run_dir / _FOLDER))}"
    )
    return f"None are in the run's folder. To have them here: {visible(command)}, then write the report again."
