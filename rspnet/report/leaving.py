"""The report that a run leaves in its folder: made last, and never a reason for the run to fail."""

from pathlib import Path

from rspnet.console import say

NAME = "report.html"
"""Name of the file."""


def leave(run_dir: Path) -> None:
    """Write a brief report into a run's folder, or say why there is none; called by the main process only."""
    try:
        from rspnet.report.page import write

        failed = write([run_dir], run_dir / NAME, in_brief=True)
    except Exception as error:
        why = " ".join(str(error).split())[:200]
        say(f"no {NAME} ({type(error).__name__}: {why}); the run is not affected, and stages/report.py may make it")
        return
    for line in failed:
        say(f"{NAME}: without {line}")
