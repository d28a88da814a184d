"""The videos of a run by name, and cards that show one."""

from collections import Counter
from typing import Any

from markupsafe import Markup

from rspnet.data.index import columns
from rspnet.report.record import Record
from rspnet.terminal import visible


class Videos:
    """The videos of a run's index.

    Args:
        record: The run.
    """

    def __init__(self, record: Record) -> None:
        self._thumbnails, self._index = record.thumbnails, record.index
        self._places: dict[str, int] = {}
        if record.index is not None:
            names = columns(record.index, ["video"])["video"].to_pylist()
            times = Counter(names)  # videos that share a name are left out, because it is ambiguous
            self._places = {name: place for place, name in enumerate(names) if times[name] == 1}

    def row(self, name: str) -> dict[str, Any] | None:
        """Return a video's row; None if the index has none of that name, or several."""
        place = self._places.get(name)
        if place is None or self._index is None:
            return None
        return dict(self._index[place])

    def picture(self, name: str) -> Markup:
        """Return an element that shows a video."""
        return self._thumbnails.picture(self.row(name), name)

    def picture_class(self, name: str, *, is_made: bool = False) -> str:
        """Return the CSS class that has a video's picture; empty if there is none.

        Args:
            name: Name of the video.
            is_made: Use a picture that is in the page already, and make none.
        """
        row = self.row(name)
        return "" if row is None else self._thumbnails.name(row, is_made=is_made)

    def card(self, name: str, *lines: Markup | str, right: bool | None = None) -> Markup:
        """Return a card: a video with lines of text under it.

        Args:
            name: Name of the video.
            lines: Lines of text.
            right: Mark it as right or wrong, by a sign, a word and its frame; None for neither.
        """
        marks = {None: ("", ""), True: (" is-right", _mark("✓", "right")), False: (" is-wrong", _mark("✗", "wrong"))}
        kind, mark = marks[right]
        said = Markup("").join(Markup("<span>{}</span>").format(line) for line in lines)
        name_line = Markup('<span class="file" title="{0}">{0}</span>').format(visible(name))
        parts = Markup("{}<figcaption>{}{}{}</figcaption>").format(self.picture(name), mark, said, name_line)
        return Markup('<figure class="card{}">{}</figure>').format(kind, parts)


def _mark(sign: str, word: str) -> Markup:
    return Markup('<b class="mark"><span aria-hidden="true">{}</span> {}</b>').format(sign, word)


def label_of(label: str | None) -> str:
    """Return the name of a class with control characters made visible; ``no class`` for None."""
    return "no class" if label is None else visible(label)
