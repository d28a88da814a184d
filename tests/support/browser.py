"""A headless browser, if there is one."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def browser() -> Iterator["object"]:
    """Playwright's Chromium, or this machine's; the test is skipped if there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as play:
        own = play.chromium.executable_path
        path = own if os.path.exists(own) else shutil.which("chromium") or shutil.which("google-chrome")
        if path is None:
            pytest.skip("there is no Chromium on this machine (playwright install chromium)")
        found = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()
