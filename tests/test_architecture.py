"""Rules of the whole tree that a reader relies on: who imports whom, sizes, names, what a stage may hold."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import REPO
from tests.support.measures import functions

MODULES = [path for path in sorted((REPO / "rspnet").rglob("*.py")) if path.name != "__init__.py"]
STAGES = sorted((REPO / "stages").glob("*.py"))
PRODUCT = [REPO / "rspnet/__init__.py", *MODULES, *STAGES, *sorted(REPO.glob("*.py"))]
TESTED_THROUGH_OTHERS = {
    "data/drawn": "tests/data/test_augment.py",
    "data/jitter": "tests/data/test_augment.py",
    "data/parts": "tests/data/test_films.py",
    "__main__": "tests/cli/test_shipped.py",
    "cli/optimisation": "tests/cli/test_options.py",
    "clipspec": "tests/encoders/test_encoders.py",
    "data/cache": "tests/data/test_index.py",
    "data/few": "tests/test_severe.py",
    "data/indexfile": "tests/data/test_index.py",
    "data/lists": "tests/data/test_layouts.py",
    "data/picked": "tests/data/test_clip_dataset.py",
    "data/picker": "tests/data/test_clip_dataset.py",
    "evaluation/found": "tests/evaluation/test_protocols.py",
    "evaluation/kept": "tests/stages/test_extract.py",
    "evaluation/predictions": "tests/stages/test_predict.py",
    "running/merging": "tests/stages/test_merge.py",
    "running/parts": "tests/stages/test_merge.py",
    "running/tensorboard": "tests/running/test_trackers.py",
    "running/tracked": "tests/running/test_trackers.py",
    "running/viewing": "tests/stages/test_predict.py",
    "errors": "tests/cli/test_command.py",
    "report/section": "tests/report/test_page.py",
    "registration": "tests/encoders/test_encoders.py",
    "running/appended": "tests/running/test_journal.py",
    "running/findings": "tests/stages/test_evaluate.py",
    "running/finished": "tests/stages/test_published_runs.py",
    "running/looking": "tests/stages/test_evaluate.py",
    "video/decoding": "tests/video/test_damage.py",
    "video/feed": "tests/video/test_reader.py",
    "video/headers": "tests/video/test_survey.py",
    "video/matroska": "tests/video/test_damage.py",
    "video/packets": "tests/video/test_reader.py",
    "video/schedule": "tests/video/test_writer.py",
    "weights/exported": "tests/weights/test_export.py",
    "weights/entries": "tests/weights/test_load.py",
    "weights/read": "tests/weights/test_load.py",
}


def test_who_imports_whom():
    """The contracts in pyproject.toml, which CONTRIBUTING.md puts in words."""
    done = subprocess.run([Path(sys.executable).with_name("lint-imports")], cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("stage", STAGES, ids=lambda path: path.stem)
def test_a_stage_loads_nothing_slow_before_it_has_read_its_options(stage):
    program = f"import sys, stages.{stage.stem}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPO, capture_output=True, text=True, check=True)
    slow = {"torch", "accelerate", "av", "cv2", "datasets", "pyarrow", "timm", "evaluate", "sklearn"}
    assert not slow & set(done.stdout.split())


@pytest.mark.parametrize("stage", STAGES, ids=lambda path: path.stem)
def test_a_stage_holds_no_formula(stage):
    """It wires; what is computed has a name and a test of its own in a room. Types may be joined by |."""
    tree = ast.parse(stage.read_text())
    arithmetic = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.MatMult)
    found = [node for node in ast.walk(tree) if isinstance(node, ast.BinOp | ast.AugAssign)]
    assert [ast.unparse(node) for node in found if isinstance(node.op, arithmetic)] == []


def test_files_stay_small_and_have_names():
    for path in PRODUCT:
        assert len(path.read_text().splitlines()) <= 400, f"{path} is too long to be one idea"
        assert path.stem not in ("utils", "util", "misc", "common", "helpers", "tools", "base"), path


def test_functions_stay_small_and_narrow():
    """RSPNet takes the paper's hyperparameters by their names; Python itself hands a warning on by place."""
    allowed = {"width": {"rspnet/method/pretext.py __init__"}, "by_place": {"rspnet/console.py show"}}
    for function in functions([*MODULES, *STAGES]):
        place = f"{function.path.relative_to(REPO)} {function.name}"
        assert function.code_lines <= 60, f"{place}: {function.code_lines} lines of code"
        assert function.width <= 8 or place in allowed["width"], f"{place}: {function.width} parameters"
        assert function.by_place <= 3 or place in allowed["by_place"], f"{place}: {function.by_place} by place"


def test_tests_mirror_what_they_test():
    for module in MODULES:
        name = module.relative_to(REPO / "rspnet").with_suffix("").as_posix()
        room, _, stem = name.rpartition("/")
        own = REPO / "tests" / room / f"test_{stem}.py"
        if room != "encoders":  # which are tested all alike
            other = TESTED_THROUGH_OTHERS.get(name)
            assert own.is_file() != (other is not None), f"{own}: write it, or say through what it is tested"
            assert other is None or (REPO / other).is_file(), other
    for stage in STAGES:
        tests = "weights/test_convert" if stage.stem == "convert" else f"stages/test_{stage.stem}"
        tests = "data/test_synthetic" if stage.stem == "synthetic" else tests
        assert (REPO / "tests" / f"{tests}.py").is_file(), stage


def test_the_product_knows_nothing_of_where_it_was_made():
    text_files = [*PRODUCT, *REPO.glob("*.md"), *REPO.glob("*.toml"), *REPO.glob("*.txt"), REPO / "Makefile"]
    text_files += [*(REPO / "configs").rglob("*.yaml"), *(REPO / "accelerate_configs").glob("*.yaml")]
    for path in text_files:
        text = path.read_text()
        for word in ("../shared", "/work/", "/tmp/"):
            assert word not in text, f"{path} mentions {word}"
