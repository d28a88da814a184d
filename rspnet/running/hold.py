"""A folder that processes of several runs write to: one by itself, or several side by side, one of which is the last.

Also where they are on machines that share a network disk: the lock is that of a file in it, since a folder's own does
not reach other machines.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

from rspnet.disk import make_folder, refusal
from rspnet.errors import ConfigError
from rspnet.lock import exclusive, is_still, shared

LOCK = "lock"
"""The file's name."""

_WAIT, _LOOK = 60.0, 0.05  # seconds for another process to begin or to end its work; between two looks


class Hold:
    """What a process has of a folder.

    Args:
        folder: its path; it is made when it is held.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held = ExitStack()

    def alone(self) -> None:
        """Have it for this process.

        Raises:
            BlockingIOError: others have it, or it is gone.
        """
        self._take(exclusive)

    def beside(self, begin: Callable[[], None], has_begun: Callable[[], bool]) -> None:
        """Have it beside others, when one of them has begun what they do there.

        Args:
            begin: what the first one does, by itself.
            has_begun: whether that has been done.

        Raises:
            ConfigError: another process keeps it for itself.
        """
        until = time.monotonic() + _WAIT
        while True:
            make_folder(self.folder, "choose another --out")
            with suppress(BlockingIOError):
                self.alone()
                if not has_begun():
                    begin()
            with suppress(BlockingIOError):
                self._take(shared)
                if has_begun():
                    return
            if time.monotonic() > until:
                raise ConfigError(f"{self.folder}: another process is at it; wait for it")
            time.sleep(_LOOK)

    def release(self) -> None:
        """Leave it to others."""
        self._held.close()

    def _take(self, how: Callable[[int], AbstractContextManager[object]]) -> None:
        self.release()
        with ExitStack() as stack:
            descriptor = stack.enter_context(_opened(self.folder / LOCK))
            stack.enter_context(how(descriptor))
            if not is_still(self.folder / LOCK, descriptor):  # whoever had it took it away
                raise BlockingIOError
            self._held = stack.pop_all()


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except FileNotFoundError:  # with its folder
        raise BlockingIOError from None
    except OSError as error:
        raise refusal(path.parent, error) from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)
