"""The report that a run leaves in its folder: made when all else is done, and never a reason to end with an error."""

from pathlib import Path

from rspnet.console import say

NAME = "report.html"
"""Of the file."""


def leave(run_dir: Path) -> None:
    """Leave a report in a run's folder, in a second or two, or say why there is none; for the main process."""
    try:
        from rspnet.report.page import write

        failed = write([run_dir], run_dir / NAME, in_brief=True)
    except Exception as error:
        why = " ".join(str(error).split())[:200]
        say(f"no {NAME}, which changes nothing else ({type(error).__name__}: {why}); stages/report.py may make it")
        return
    for line in failed:
        say(f"{NAME}: without {line}")
