"""Fetches remote videos to a cache on this machine's disk, where they stay at least while they are read.

The cache is a folder that all processes of the machine share, whatever their run or stage. Its files are always
complete and named after their URL and size. When the cache exceeds its limit, the files unused for longest are removed.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rspnet.data.cache import cache_folder
from rspnet.data.remote import is_remote, path_of, persistent, system
from rspnet.disk import make_folder, whole
from rspnet.errors import ConfigError, DiskError, VideoError
from rspnet.lock import exclusive, locked, shared
from rspnet.temporary import sweep
from rspnet.video.opening import TimeLimitError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_LIMIT = "RSPNET_CACHE_BYTES"  # an environment variable, so that reading processes inherit it however they are started
_USUAL = 50e9
_CHUNK = 2**23  # bytes of a large file that are requested at a time, and requested again if the server fails
_AT_ONCE = 8  # files that a process fetches at the same time
_OFTEN = 2**26  # bytes that a process fetches before it checks the size of the cache again


def bound(gigabytes: float) -> None:
    """Set the limit of the cache, for this process and those that it starts."""
    os.environ[_LIMIT] = str(int(gigabytes * 1e9))


class MissingError(VideoError):
    """A server does not have the video."""


@contextmanager
def fetched(row: dict[str, Any]) -> Iterator[str]:
    """Yield the local path of a row's video, fetched if it is remote; the file stays while the block lasts.

    Args:
        row: with ``root``, ``video`` and ``bytes``, the size that it should have or None.

    Raises:
        VideoError: it is not there, has another size by now, or its server does not answer.
        ConfigError: its server denies access, or the cache is another user's.
        DiskError: the cache's disk is full, read-only or broken.
    """
    url = path_of(row["root"], row["video"])
    if not is_remote(url):
        yield url
        return
    with ExitStack() as stack:
        path = _held(url, row.get("bytes") or None, stack)
        try:
            yield str(path)
        except VideoError as error:
            raise type(error)(told(str(error), row)) from None


def told(text: str, row: dict[str, Any]) -> str:
    """Return a message about a row's video with its URL in place of its path in the cache."""
    url = path_of(row["root"], row["video"])
    return text.replace(str(_path(url, row.get("bytes") or None)), url) if is_remote(url) else text


def is_at_hand(row: dict[str, Any]) -> bool:
    """Whether a row's video can be read without a server: it is local, or has been fetched."""
    url = path_of(row["root"], row["video"])
    return not is_remote(url) or _path(url, row.get("bytes") or None).exists()


def is_missing(row: dict[str, Any], error: VideoError) -> bool:
    """Whether a row's video could not be read because it is not there."""
    if is_remote(row["root"]):
        return isinstance(error, MissingError)
    return not os.path.exists(os.path.join(row["root"], row["video"]))


def status_of(row: dict[str, Any], error: VideoError) -> str:
    """Return the status of a row's video that could not be read: timeout, missing or broken."""
    if isinstance(error, TimeLimitError):
        return "timeout"
    return "missing" if is_missing(row, error) else "broken"


def expect(rows: Iterable[dict[str, Any]]) -> None:
    """Start to fetch the remote ones of videos that will be read soon, in their order."""
    for row in rows:
        if is_remote(row["root"]):
            _Fetching.begin(path_of(row["root"], row["video"]), row.get("bytes") or None)


def _held(url: str, size: int | None, stack: ExitStack) -> Path:
    """Return the cached file of a URL, fetched if need be, with a lock on it that `stack` holds so that it stays."""
    path = _path(url, size)
    while True:
        with suppress(FileNotFoundError):
            try:
                file = stack.enter_context(open(path, "rb"))  # noqa: SIM115 - closed with the stack
            except PermissionError:
                said = "is another user's, and cannot be read; choose another place with HF_DATASETS_CACHE or HF_HOME"
                raise ConfigError(f"{path}: {said}") from None
            with suppress(BlockingIOError):  # it is just being removed
                stack.enter_context(shared(file.fileno()))
                if path.exists():
                    with suppress(PermissionError):  # it is another user's
                        os.utime(path)
                    return path
        _Fetching.begin(url, size).result()


class _Fetching:
    """The files that this process is fetching at the moment, each once."""

    pid = 0
    lock = threading.Lock()
    turns: threading.BoundedSemaphore
    begun: dict[Path, "Future[None]"]
    new = _OFTEN  # bytes fetched since the size of the cache was checked

    @classmethod
    def begin(cls, url: str, size: int | None) -> "Future[None]":
        """Start to fetch a file, unless it is there or on its way."""
        if cls.pid != os.getpid():  # also after a fork, which does not copy threads
            cls.pid, cls.lock, cls.begun, cls.new = os.getpid(), threading.Lock(), {}, _OFTEN
            cls.turns = threading.BoundedSemaphore(_AT_ONCE)
        path = _path(url, size)
        with cls.lock:
            for done in [key for key, future in cls.begun.items() if future.done()]:
                del cls.begun[done]
            if path not in cls.begun:
                cls.begun[path] = Future()
                # Not threads of concurrent.futures: a program waits for those when it ends.
                arguments = (partial(cls._fetch, url, size, path), cls.begun[path])
                threading.Thread(target=cls._run, args=arguments, name="fetch", daemon=True).start()
            return cls.begun[path]

    @classmethod
    def _run(cls, work: Callable[[], None], future: "Future[None]") -> None:
        try:
            with cls.turns:
                work()
            future.set_result(None)
        except BaseException as error:
            future.set_exception(error)

    @classmethod
    def _fetch(cls, url: str, size: int | None, path: Path) -> None:
        if path.exists():
            return
        if cls.new >= _OFTEN:
            cls.new = 0
            make_room()
        try:
            cls.new += _download(url, size, path)
        except DiskError as error:
            make_room(0.5)
            try:
                cls.new += _download(url, size, path)
            except DiskError:
                raise DiskError(f"{error}; or lower data.cache_gb, or give another HF_DATASETS_CACHE") from None


def _download(url: str, size: int | None, path: Path) -> int:
    """Fetch a file, completely or not at all; returns its size in bytes."""
    fs, where = system(url)
    try:
        there = persistent(lambda: fs.info(where), url).get("size")
        if size is not None and there not in (size, None):
            raise VideoError(f"{url}: has {there} bytes, not {size} as its index says; verify it again")
        expected = size if there is None else int(there)
        with whole(path) as part, open(part, "wb") as file:
            for data in _pieces(fs, where, url=url, size=expected):
                file.write(data)
            found = file.tell()
        return found
    except FileNotFoundError:
        raise MissingError(f"{url}: no such file on its server; drop it") from None


def _pieces(fs: "AbstractFileSystem", where: str, *, url: str, size: int | None) -> Iterator[bytes]:
    """Yield the contents of a file; a large one in pieces, so that after a failure only the rest is requested again."""
    at = 0
    while size is None or at < size:
        end = None if size is None or size <= _CHUNK else min(at + _CHUNK, size)

        def ask(at: int = at, end: int | None = end) -> bytes:
            data: bytes = fs.cat_file(where) if end is None else fs.cat_file(where, start=at, end=end)
            wanted = size if end is None else end - at
            if size is not None and len(data) == size:  # some servers ignore the range and send the whole file
                return data[at:]
            if wanted is not None and len(data) != wanted:
                raise OSError(f"{len(data)} bytes came of {wanted}")
            return data

        data = persistent(ask, url)
        yield data
        at += len(data)
        if size is None:
            return


def make_room(part: float = 0.95) -> None:
    """Remove the files unused for longest, if the cache exceeds its limit and no other process is doing so.

    Args:
        part: fraction of the limit to shrink to; if it is 0.9 or less, also a cache that does not exceed the limit.
    """
    folder = _folder()
    limit = float(os.environ.get(_LIMIT) or _USUAL)
    make_folder(folder, "choose another place with HF_DATASETS_CACHE or HF_HOME")
    with suppress(BlockingIOError, OSError), locked(folder):
        files = []
        for each in os.scandir(folder):
            if each.is_dir():
                sweep(each.path)
                files += [(entry.stat(), entry.path) for entry in os.scandir(each.path) if entry.name[0] != "."]
        total = sum(facts.st_size for facts, _ in files)
        if total <= limit * (1 if part > 0.9 else part):
            return
        for facts, path in sorted(files, key=lambda each: each[0].st_mtime):
            if total <= limit * part:
                return
            with suppress(OSError), open(path, "r+b") as file, exclusive(file.fileno()):  # nobody reads it
                os.unlink(path)
                total -= facts.st_size


def _path(url: str, size: int | None) -> Path:
    """Return the path of a URL's file in the cache."""
    name = hashlib.sha256(f"{size} {url}".encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return _folder() / name[:2] / (name[2:] + os.path.splitext(url)[1][:10])


def _folder() -> Path:
    return cache_folder() / "videos"
