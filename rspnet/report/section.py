"""A section of the report."""

from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True)
class Section:
    """A part of the page, under its own heading.

    Attributes:
        name: Its anchor; lower case letters and hyphens, unique on a page.
        title: The heading.
        html: Its content, with all text from outside escaped. Headings in it begin with h3.
        note: A sentence before the content: what is wrong, or, if `html` is empty, why there is nothing.
    """

    name: str
    title: str
    html: Markup
    note: str = ""
