"""Extract code blocks, command lines, links and headings from the README and the other pages."""

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
    """Return the contents of a page's code blocks in one language (bash, python, yaml, text)."""
    return [textwrap.dedent(code) for found, code in _FENCE.findall(page.read_text()) if found == language]


def prose(page: Path) -> str:
    """Return a page without its code blocks."""
    return _FENCE.sub("", page.read_text())


def commands(page: Path) -> list[list[str]]:
    """Return all command lines of a page, split into words: those in bash blocks, and ours in inline code."""
    lines = [line for code in blocks(page, "bash") for line in code.replace("\\\n", " ").splitlines()]
    lines += [code for code in re.findall(r"`([^`]+)`", prose(page)) if _OURS.match(code)]
    return [words for line in lines for words in _simple(line) if words]


def commands_of_a_stage(path: Path) -> list[list[str]]:
    """Return the command lines in the docstring of a stage's file, split into words."""
    lines = re.findall(r"^ {4}(\S.*)$", ast.get_docstring(ast.parse(path.read_text())), re.MULTILINE)
    return [words for line in lines if _OURS.match(line) for words in _simple(line)]


def _simple(line: str) -> list[list[str]]:
    """Split a shell line into its simple commands, without redirections."""
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
    """Return the anchors that GitHub gives to a page's headings."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]


def links(page: Path) -> list[str]:
    """Return the targets of a page's links."""
    return re.findall(r"\]\(([^)\s]+)\)", prose(page))
