"""The `rspnet` command: runs any stage by its name, wherever the package is installed.

``rspnet pretrain --config c3d.yaml`` does without a checkout what ``python stages/pretrain.py --config
configs/c3d.yaml`` does in one; for several processes, use ``accelerate launch -m rspnet pretrain --config c3d.yaml``.
"""

if __name__ == "__main__":  # before the slow imports
    from rspnet.signals import end_at_once

    end_at_once()

import ast
import os
import runpy
import sys
from pathlib import Path
from typing import NoReturn

from rspnet import __version__
from rspnet.cli import completion, shipped
from rspnet.signals import end_at_once

_HELP = """\
usage: rspnet STAGE [--config FILE] [--option VALUE ...]
       rspnet --path NAME | --version | --help

Video representations from unlabelled video by relative speed perception. The stages, each explained by
`rspnet STAGE --help`:

{stages}

A recipe that comes with rspnet is found by its name: --config c3d.yaml, --config finetune/ucf101_c3d.yaml.
--path NAME prints the path of a recipe or a stage. The recipes: {configs}

On several processes: accelerate launch -m rspnet STAGE ..., or torchrun -m rspnet STAGE ...; for the former,
--config_file $(rspnet --path accelerate_configs/multi_gpu.yaml) and its neighbours come with rspnet too.
"""


def main() -> NoReturn:
    """Run the stage that the command line names. Exit with the stage's status, or 2 if there is no such stage."""
    end_at_once()
    name, *arguments = sys.argv[1:] or ["--help"]
    if completion.is_asked_for():
        name = completion.stage_named() or completion.answer_without_stage()
    if name in ("--help", "-h"):
        print(_help())
    elif name == "--version":
        print(f"rspnet {__version__}")
    elif name == "--path":
        print(_path(arguments))
    elif name in shipped.stages():
        path = str(shipped.stages()[name])
        sys.argv[:] = [path, *arguments]
        runpy.run_path(path, run_name="__main__")
    else:
        _refuse(name, "no such stage", "stages")
    sys.exit(0)


def _help() -> str:
    texts = {name: ast.get_docstring(ast.parse(path.read_text())) or name for name, path in shipped.stages().items()}
    stages = "\n".join(f"  {name:10s} {text.splitlines()[0]}" for name, text in texts.items())
    return _HELP.format(stages=stages, configs=shipped.home("configs"))


def _path(names: list[str]) -> Path:
    if len(names) != 1:
        _refuse("--path", "takes the name of one stage or recipe")
    return shipped.find(names[0]) or _refuse(names[0], "no stage or recipe that comes with rspnet", *shipped.FOLDERS)


def _refuse(name: str, why: str, *folders: str) -> NoReturn:
    close = shipped.close_to(name, *folders)
    print(f"rspnet: {name}: {why}; {f'did you mean {close}?' if close else 'see rspnet --help'}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    # `python -m` puts the working folder first in sys.path, where an evaluate.py would hide the package of that name.
    # The entry is kept if rspnet itself is imported from there.
    if not sys.flags.safe_path and os.path.realpath(sys.path[0]) != str(Path(__file__).resolve().parent.parent):
        del sys.path[0]
    main()
