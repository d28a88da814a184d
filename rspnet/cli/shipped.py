"""The stages and the recipes that come with the package: beside it in a checkout, inside it where it is installed."""

import difflib
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent
FOLDERS = ("stages", "configs", "accelerate_configs")
"""Folders of these files."""


def stages() -> dict[str, Path]:
    """Return the file of every stage, by the stage's name."""
    return {path.stem: path for path in sorted(home("stages").glob("*.py"))}


def find(name: str) -> Path | None:
    """Return where a file that comes with rspnet lies, or None.

    Args:
        name: a stage, or a file by its path in a checkout, where ``configs/`` may be left out: ``pretrain``,
            ``c3d.yaml``, ``finetune/ucf101_c3d.yaml``, ``accelerate_configs/cpu.yaml``.
    """
    if name in stages():
        return stages()[name]
    for path in (Path(name), Path("configs", name)):
        if path.parts and path.parts[0] in FOLDERS and ".." not in path.parts:
            file = home(path.parts[0]).joinpath(*path.parts[1:])
            if file.is_file():
                return file
    return None


def close_to(name: str, *folders: str) -> str | None:
    """Return the name most similar to one that `find` does not know; None if none is similar.

    Args:
        name: the unknown name.
        folders: those of `FOLDERS` to search.
    """
    return next(iter(difflib.get_close_matches(name, names(*folders), n=1, cutoff=0.75)), None)


def names(*folders: str) -> list[str]:
    """Return all names that `find` knows for the files in some of `FOLDERS`; recipes have two each."""
    known = [*stages()] if "stages" in folders else []
    for folder in folders:
        files = [path.relative_to(home(folder)).as_posix() for path in sorted(home(folder).rglob("*.yaml"))]
        known += [f"{folder}/{file}" for file in files]
        known += files if folder == "configs" else []
    return known


def home(name: str) -> Path:
    """Return the path of one of `FOLDERS`."""
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name
