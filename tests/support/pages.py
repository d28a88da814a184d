"""What the README and the pages beside it hold: code blocks, command lines, links and headings."""

import ast
import re
import shlex
import textwrap
from pathlib import Path

from tests.support import REPO

README = REPO / "README.md"
CONTRIBUTING = REPO / "CONTRIBUTING.md"
PAGES = [README, CONTRIBUTING, *sorted((REPO / "docs").glob("*.md"))]

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_OURS = re.compile(r"make \w|(python|torchrun|accelerate launch) \S|rspnet [a-z-]")


def blocks(page: Path, language: str) -> list[str]:
    """The contents of a page's code blocks in one language (bash, python, yaml, text)."""
    return [textwrap.dedent(code) for found, code in _FENCE.findall(page.read_text()) if found == language]


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return _FENCE.sub("", page.read_text())


def commands(page: Path) -> list[list[str]]:
    """Every command line of a page as words: of its bash blocks, and those of ours that stand within a sentence."""
    lines = [line for code in blocks(page, "bash") for line in code.replace("\\\n", " ").splitlines()]
    lines += [code for code in re.findall(r"`([^`]+)`", prose(page)) if _OURS.match(code)]
    return [words for line in lines for words in _simple(line) if words]


def commands_of_a_stage(path: Path) -> list[list[str]]:
    """The command lines at the head of a stage's file."""
    lines = re.findall(r"^ {4}(\S.*)$", ast.get_docstring(ast.parse(path.read_text())), re.MULTILINE)
    return [words for line in lines if _OURS.match(line) for words in _simple(line)]


def _simple(line: str) -> list[list[str]]:
    """A shell line as the simple commands that it is made of, without what goes where."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    words = iter(lexer)
    for word in words:
        if word in ("<", ">"):
            next(words)
        elif set(word) <= set("();|&"):
            found.append([])
        else:
            found[-1].append(word)
    return found


def headings(page: Path) -> list[str]:
    """The anchors that a page's headings have on GitHub."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]


def links(page: Path) -> list[str]:
    """Where a page's links point."""
    return re.findall(r"\]\(([^)\s]+)\)", prose(page))
