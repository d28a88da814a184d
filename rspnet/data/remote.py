"""Remote data sets, at any URL that fsspec reads (s3://, gs://, hf://, https://, memory://).

A row's root may be such a URL. Its videos are read from a cache on this machine's disk, see fetched.py.
"""

import logging
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, unquote

from rspnet.console import say
from rspnet.errors import ConfigError, VideoError
from rspnet.shortage import lacking

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

T = TypeVar("T")

PATIENCE = 150.0
"""Seconds for which a request to a server is retried: the server may be down for a minute or two."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 20.0
_LATER = (408, 425, 429)  # status of a server that wants to be asked again later
_WEB = ("http://", "https://")
_TEXTS = (".txt", ".json", ".csv")
_LARGEST_TEXT = 100_000_000  # bytes of a data set's list


def is_remote(place: str | os.PathLike[str] | None) -> bool:
    """Return whether a root is a URL; ``file://`` counts as one until `absolute` has made a path of it."""
    return isinstance(place, str) and _SCHEME.match(place) is not None


def absolute(root: str | os.PathLike[str]) -> str:
    """Return a root that does not depend on the current folder: a URL, or an absolute path."""
    root = os.fspath(root)
    if root.startswith("file://"):
        return os.path.abspath(unquote(root.removeprefix("file://").removeprefix("localhost")))
    return root.rstrip("/") if is_remote(root) else os.path.abspath(root)


def path_of(root: str, video: str) -> str:
    """Return the path or URL of a video; in a web URL special characters of the video's name are percent-encoded."""
    if not is_remote(root):
        return os.path.join(root, video)
    inside, mark, archive = root.partition("::")  # zip://FOLDER::https://host/videos.zip
    name = quote(video) if root.startswith(_WEB) else video
    return f"{inside}{'' if inside.endswith('/') else '/'}{name}".rstrip("/") + mark + archive if name else root


def system(url: str) -> "tuple[AbstractFileSystem, str]":
    """Return the file system that reads a URL, and the URL as a path of that file system.

    Raises:
        ConfigError: no file system reads it, a package is missing, or it cannot be reached.
    """
    from fsspec.core import url_to_fs

    try:
        found: tuple[AbstractFileSystem, str] = url_to_fs(url)
    except ImportError as error:
        raise ConfigError(f"{url}: {_words(error)}; pip install it where rspnet is installed") from None
    except ValueError as error:
        raise ConfigError(f"{url}: {_words(error)}; name a folder, or a URL that fsspec reads") from None
    except Exception as error:  # from any of fsspec's libraries
        raise ConfigError(f"{url}: cannot be reached ({_words(error)}); {_remedy(error)}") from None
    return found


def persistent(ask: Callable[[], T], url: str, patience: float | None = None) -> T:
    """Repeat a request to a server until it succeeds, with growing pauses, for some minutes at most.

    Args:
        ask: sends the request and returns the answer.
        url: that the request is about, for messages.
        patience: seconds; `PATIENCE` if None.

    Raises:
        FileNotFoundError: the server has no such file.
        ConfigError: the server denies access.
        VideoError: the server does not answer, or refuses the request.
        OSError, MemoryError: this machine lacks file handles or memory.
    """
    began, wait, times = time.monotonic(), _FIRST_WAIT, 0
    while True:
        times += 1
        try:
            return ask()
        except Exception as caught:  # each library has its own errors
            error = _reason(caught)
            if isinstance(error, FileNotFoundError) or lacking(error):
                raise error from None
            if _is_refusal(error):
                raise ConfigError(f"{url}: may not be read ({_words(error)}); {_remedy(error)}") from None
            if 400 <= _status(error) < 500 and _status(error) not in _LATER:
                raise VideoError(f"{url}: is refused by its server ({_words(error)}); drop it") from None
            if time.monotonic() + wait - began > (PATIENCE if patience is None else patience):
                tried = f"tried {times} times in {time.monotonic() - began:.0f} s"
                raise VideoError(f"{url}: cannot be fetched ({_words(error)}; {tried}); {_remedy(error)}") from None
            if times == 3:
                say(f"{url}: {_words(error)}; retrying", everywhere=True)
        time.sleep(wait)
        wait = min(2 * wait, _LONGEST_WAIT)


@contextmanager
def mirrored(root: str) -> Iterator[tuple[Path, dict[str, int | None]]]:
    """Mirror a remote folder's names in a local one for as long as the block lasts; also give its files' sizes, bytes.

    Lists and other texts of moderate size have their content; other files are empty.

    Args:
        root: a URL.

    Raises:
        ConfigError: it cannot be listed, or is empty.
    """
    files = _listed(root)
    fs, _ = system(root)
    with tempfile.TemporaryDirectory(prefix="rspnet-remote-") as folder:
        for name, size in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            text = b""
            if name.lower().endswith(_TEXTS) and (size or 0) <= _LARGEST_TEXT:
                text = asked(partial(fs.cat_file, system(path_of(root, name))[1]), root)
            path.write_bytes(text)
        with _called(folder, root):
            yield Path(folder), files


@contextmanager
def copied(url: str) -> Iterator[str]:
    """Give the path of a fresh local copy of a remote file, which exists for as long as the block lasts.

    Raises:
        ConfigError: the file does not exist, or cannot be fetched.
    """
    fs, where = system(url)
    with tempfile.TemporaryDirectory(prefix="rspnet-remote-") as folder:
        path = Path(folder, url.rpartition("/")[2])
        path.write_bytes(
            asked(lambda: fs.cat_file(where), url, "no such file on its server; check that the URL is right")
        )
        yield str(path)


@contextmanager
def _called(folder: str, root: str) -> Iterator[None]:
    """Make warnings about a local folder name the URL that it mirrors."""

    def rename(record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                str(each).replace(folder, root) if isinstance(each, str) else each for each in record.args
            )
        return True

    loggers = [logging.getLogger(f"rspnet.data.{name}") for name in ("layouts", "lists", "plainlist", "tree")]
    for logger in loggers:
        logger.addFilter(rename)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(rename)


_NO_FOLDER = "no such folder, or it cannot be listed; name another one, or give an index"


def asked(ask: Callable[[], T], url: str, missing: str = _NO_FOLDER) -> T:
    """Return a server's answer as `persistent` does, but raise ConfigError for all that the server fails to do.

    Args:
        ask: as for `persistent`.
        url: likewise.
        missing: the message if the URL does not exist: what that means, and what to do.

    Raises:
        ConfigError: the server does not answer, denies access, or has no such URL.
    """
    try:
        return persistent(ask, url)
    except FileNotFoundError:
        raise ConfigError(f"{url}: {missing}") from None
    except VideoError as error:
        raise ConfigError(str(error)) from None


def size_of(root: str, video: str) -> int | None:
    """Return the size of a remote video in bytes, 0 if its server does not give it; None if there is no such video.

    Raises:
        ConfigError: its server denies access, or does not answer.
    """
    fs, where = system(path_of(root, video))
    try:
        return int(persistent(lambda: fs.info(where), path_of(root, video)).get("size") or 0)
    except FileNotFoundError:
        return None
    except VideoError as error:
        raise ConfigError(str(error)) from None


def _listed(root: str) -> dict[str, int | None]:
    """Return path relative to the URL -> size (None if not listed) of all files below a URL.

    Lists folder by folder, and none may fail: fsspec's own `find` leaves out folders that a server does not answer for.
    """
    fs, top = system(root)
    is_web = root.startswith(_WEB)
    files, folders = dict[str, int | None](), [(top, "")]
    while folders:
        place, above = folders.pop()
        entries: list[dict[str, Any]] = asked(partial(fs.ls, place, detail=True), path_of(root, above))
        for entry in entries:
            last = str(entry["name"]).rstrip("/").rpartition("/")[2]
            if not last or (is_web and re.search(r"[?#]", last)):  # a link of the page itself, to sort it
                continue
            name = f"{above}/{unquote(last) if is_web else last}".lstrip("/")
            if entry["type"] == "directory":
                folders.append((str(entry["name"]), name))
            else:
                files[name] = entry.get("size")
    if not files:
        raise ConfigError(f"{root}: nothing is there, or it cannot be listed; name a folder, or give an index of it")
    return files


def _reason(error: Exception) -> Exception:
    """Return the cause of a FileNotFoundError, if it has another one: fsspec raises that also if a server is down."""
    cause = error.__cause__
    if isinstance(error, FileNotFoundError) and isinstance(cause, Exception) and _status(cause) != 404:
        return cause
    return error


def _status(error: Exception) -> int:
    """Return the HTTP status of an error, 0 if it has none."""
    status = getattr(error, "status", None) or getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else 0


def _is_refusal(error: Exception) -> bool:
    """Return whether an error means that access is denied or not implemented, so that retrying would not help."""
    named = re.search(r"Credential|AccessDenied|Forbidden|Unauthorized|Gated|InvalidAccessKey", repr(error))
    return isinstance(error, PermissionError | NotImplementedError) or _status(error) in (401, 403) or named is not None


def _remedy(error: Exception) -> str:
    if _is_refusal(error):
        return "give this machine credentials as that library expects them (environment, or its file), or another URL"
    return "check that the URL is right and its server is up, then give the same command again"


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
