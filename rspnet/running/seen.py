"""Which windows of a video count: those before the first that cannot be read, and the report on that one."""

from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Seen(Generic[T]):
    """What has come in for a video; iterating over it yields what counts, each window once.

    Processes that share a film read on behind a window that another of them cannot read; a single one would not.
    """

    def __init__(self) -> None:
        self._windows: dict[int, T] = {}
        self._reached = 0
        self._failures: dict[int, T] = {}
        self._total = 0

    def add(self, number: int, window: T, *, failed: bool, total: int = 0) -> None:
        """Add a window, or the report on one that cannot be read, in any order; the first of each number counts.

        Args:
            number: of the window.
            window: the window or report.
            failed: whether it is a report.
            total: number of windows of the video; 0 if unknown.
        """
        (self._failures if failed else self._windows).setdefault(number, window)
        self._total = total or self._total
        while self._reached in self._windows:
            self._reached += 1

    @property
    def is_whole(self) -> bool:
        """Whether nothing that counts can come any more."""
        return self._reached in self._failures or 0 < self._reached == self._total

    def __iter__(self) -> Iterator[T]:
        yield from (self._windows[number] for number in range(self._reached))
        if self._reached in self._failures:
            yield self._failures[self._reached]
