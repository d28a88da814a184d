"""The files below a data set's root: videos, recognised by name, without the litter of operating systems."""

import logging
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator

from rspnet.errors import ConfigError

_VIDEO_NAMES = "mp4 m4v mov avi divx mkv webm ogv mpg mpeg mpe vob ts m2ts mts wmv asf flv f4v 3gp 3g2 gif"
VIDEO_SUFFIXES = tuple(f".{name}" for name in _VIDEO_NAMES.split())
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm")
SUBSET_MARK = "subset.json"
"""A folder below the root that holds this file is a subset (stages/subset.py) of other folders; it is not entered."""

# Besides hidden files: from macOS, from Windows, and from network disks by Synology, QNAP and NetApp.
_LITTER = {"__macosx", "icon\r", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "recycler"}
_LITTER |= {"system volume information", "@eadir", "#recycle", "#snapshot", "@recycle", "~snapshot"}

_SPLIT_WORDS = {"train": "train", "training": "train", "trainset": "train", "val": "val", "valid": "val"}
_SPLIT_WORDS |= {"validate": "val", "validation": "val", "valset": "val"}
_SPLIT_WORDS |= {"test": "test", "testing": "test", "testset": "test"}
_BESIDE_SPLITS = re.compile(r"videos?|clips?|data|set|split|\d+p?x?\d*|")

_log = logging.getLogger(__name__)


def split_of(name: str) -> str | None:
    """Return the split that a folder or file is named after, None if none: ``Train``, ``validation``, ``train_256``."""
    words = re.split(r"[\W_]+", name.casefold())
    splits = [_SPLIT_WORDS[word] for word in words if word in _SPLIT_WORDS]
    others = [word for word in words if word not in _SPLIT_WORDS and not _BESIDE_SPLITS.fullmatch(word)]
    return splits[0] if len(splits) == 1 and not others else None


def no_folder(path: str | os.PathLike[str]) -> str | None:
    """Describe why a path is not a folder that can be used, or return None if it is one."""
    try:
        return None if stat.S_ISDIR(os.stat(path).st_mode) else "not a folder"
    except (FileNotFoundError, NotADirectoryError):
        return "no such folder"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


class Tree:
    """The files below a root. Links are followed; hidden files and litter are left out.

    Args:
        root: a folder.

    Attributes:
        ignored: suffix -> number of files that are not named like videos.
        closed: folder that cannot be listed -> why.

    Raises:
        ConfigError: there is no such folder.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = os.path.abspath(root)
        self.ignored: Counter[str] = Counter()
        self.closed: dict[str, str] = {}
        if what := no_folder(self.root):
            raise ConfigError(f"{self.root}: {what}; give the root of a data set")

    def entries(self, folder: str = "") -> list[os.DirEntry[str]]:
        """Return the entries of a folder below the root; none if it is a subset of others, or cannot be listed.

        Raises:
            ConfigError: the root itself cannot be listed.
        """
        path = os.path.join(self.root, folder)
        try:
            with os.scandir(path) as scanned:
                entries = list(scanned)
        except OSError as error:
            if not folder:
                raise ConfigError(f"{path}: cannot be listed ({error.strerror}); check its permissions") from None
            self.closed[folder] = error.strerror or str(error)
            return []
        if folder and any(entry.name == SUBSET_MARK for entry in entries):
            return []
        return [entry for entry in entries if entry.name[0] != "." and entry.name.casefold() not in _LITTER]

    def videos(self, folder: str = "") -> Iterator[str]:
        """Yield the paths, relative to the root, of the files below a folder that are named like videos."""
        stack: list[tuple[str, tuple[tuple[int, int], ...]]] = [(folder, ())]
        while stack:
            folder, above = stack.pop()
            try:
                status = os.stat(os.path.join(self.root, folder))
            except OSError as error:
                self.closed[folder] = error.strerror or str(error)
                continue
            identity = (status.st_dev, status.st_ino)
            if identity in above:
                continue  # a symbolic link that leads back
            for entry in self.entries(folder):
                path = f"{folder}/{entry.name}" if folder else entry.name
                if is_folder(entry):
                    stack.append((path, (*above, identity)))
                elif _is_named_like_a_video(entry):
                    yield path
                else:
                    self.ignored[os.path.splitext(entry.name)[1].lower()] += 1

    def instead(self) -> str:
        """Describe the files found where no video was: ``, only 200 .jpg files (pictures)``; empty if none."""
        if not self.ignored:
            return ""
        kinds = ", ".join(f"{count} {suffix or 'nameless'}" for suffix, count in self.ignored.most_common(3))
        pictures = " (pictures)" if self.ignored.most_common(1)[0][0] in PICTURE_SUFFIXES else ""
        return f", only {kinds} file{'' if self.ignored.total() == 1 else 's'}{pictures}"

    def warn_of_closed(self) -> None:
        """Warn of folders that could not be listed."""
        if self.closed:
            folder, reason = min(self.closed.items())
            what = "a folder that is" if len(self.closed) == 1 else f"{len(self.closed)} folders that are"
            _log.warning("%s: left out %s closed to this user: %s (%s)", self.root, what, folder, reason)


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder, or a link to one that is accessible."""
    try:
        return entry.is_dir()
    except OSError:  # a link into a closed folder, or to itself
        return False


def _is_named_like_a_video(entry: os.DirEntry[str]) -> bool:
    suffix = os.path.splitext(entry.name)[1].lower()
    if suffix in (".ts", ".mts"):
        return not (os.path.isfile(entry.path) and _is_text(entry.path))  # opening a pipe would wait for ever
    return suffix in VIDEO_SUFFIXES


def _is_text(path: str) -> bool:
    """Return whether a file is text, and so a TypeScript program instead of an MPEG transport stream."""
    if not os.path.isfile(path):
        return False  # such as a pipe, which would block
    try:
        with open(path, "rb") as file:
            start = file.read(512)
    except OSError:
        return False
    return bool(start) and not any(byte < 9 or 13 < byte < 27 for byte in start)
