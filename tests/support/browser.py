"""A real browser without a window, where there is one."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def browser() -> Iterator["object"]:
    """A Chromium of playwright's, or of this machine's; the test is skipped where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as play:
        own = play.chromium.executable_path
        path = own if os.path.exists(own) else shutil.which("chromium") or shutil.which("google-chrome")
        if path is None:
            pytest.skip("there is no Chromium on this machine (playwright install chromium)")
        found = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()
