"""A shell that asks how a command of rspnet goes on is answered: here bash, as `<TAB>` makes it ask."""

import os
import shutil
import subprocess
import sys

import pytest

from rspnet.cli import shipped
from tests.support import REPO

ASK = """
cd "$1"; shift
for line; do
    COMP_LINE=$line COMP_POINT=${#line} COMP_TYPE=9 COMPREPLY=()
    _python_argcomplete rspnet 2>&1
    printf '%s\\n' "${COMPREPLY[*]}"
done
"""


@pytest.fixture
def answers(tmp_path):
    """Asks bash what may come after each of some lines, in a folder with films/ and weights.pt, where torch is not."""
    argcomplete = pytest.importorskip("argcomplete", reason="argcomplete is not installed")
    programs, traps, folder = (tmp_path / name for name in ("bin", "traps", "folder"))
    for path in (programs, traps, folder, folder / "films"):
        path.mkdir()
    (folder / "weights.pt").touch()
    for name in ("torch", "av", "accelerate", "datasets"):
        (traps / f"{name}.py").write_text("raise SystemExit('takes seconds to load')")
    rspnet = programs / "rspnet"
    rspnet.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rspnet "$@"\n')
    rspnet.chmod(0o755)
    environ = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": f"{traps}:{REPO}"}

    def ask(*lines):
        script = argcomplete.shellcode(["rspnet"]) + ASK
        words = [shutil.which("bash"), "-c", script, "bash", str(folder), *lines]
        done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=120)
        assert done.stderr == ""
        return dict(zip(lines, (set(line.split()) for line in done.stdout.splitlines()), strict=True))

    return ask


def test_stages_options_choices_and_files(answers):
    expected = {
        "rspnet ": {*shipped.stages()},
        "rspnet --path accelerate_configs/c": {"accelerate_configs/cpu.yaml"},
        "rspnet pretrain --pretext.sp": {"--pretext.speeds"},
        "rspnet pretrain --encoder.name r3": {"r3d_18"},
        "rspnet pretrain --optim.lr 3 --config resn": {"resnet18.yaml"},
        "rspnet extract films/ weights.pt --step 1 --weights w": {"weights.pt"},
        "rspnet finetune --frozen ": {"true", "false"},
        "rspnet nothing --": set(),
    }
    assert answers(*expected) == expected
