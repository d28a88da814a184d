"""A part of the report: what it is called, and what stands in it."""

from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True)
class Section:
    """A part of the page, under a heading of its own.

    Attributes:
        name: What links call it; lower case letters and hyphens, none twice on a page.
        title: The heading.
        html: What stands under it; every text from outside is escaped in it. Its own headings begin with h3.
        note: A sentence that stands first: what is wrong, or, where `html` is empty, why there is nothing.
    """

    name: str
    title: str
    html: Markup
    note: str = ""
