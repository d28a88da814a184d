"""Rules of the whole tree that a reader relies on: who imports whom, sizes, names."""

import ast
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
MODULES = {
    ".".join(path.relative_to(REPO / "rspnet").with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((REPO / "rspnet").rglob("*.py"))
    if path != REPO / "rspnet/__init__.py"
}
STAGES = {path.stem: path for path in sorted((REPO / "stages").glob("*.py"))}
PRODUCT = [REPO / "rspnet/__init__.py", *MODULES.values(), *STAGES.values(), *sorted(REPO.glob("*.py"))]

# What each module may import besides the standard library: modules of rspnet first, then packages. rspnet.errors is
# for all. "later" marks what must not be loaded with the module, only where it is needed.
NETWORK = " | numpy torch timm torchvision"
MAY_IMPORT = {
    # No torch: --help and a mistake in the configuration answer at once.
    "errors": "|",
    "texts": "|",
    "tree": "|",
    "registration": "|",
    "shipped": "|",
    "__main__": "rspnet shipped",
    "config": "console disk helptext parser_messages shipped | yaml jsonargparse",
    "command": "config console disk |",
    "parser_messages": "|",
    "helptext": "console | jsonargparse",
    "options": "|",
    "console": "| tqdm",
    "launch": "|",
    "runlog": "console disk | tqdm",
    "results": "console |",
    "rundir": "rspnet console disk launch lock machine memory results sources team | yaml",
    "sources": "console description disk later:index later:runindex |",
    "team": "| later:torch",
    "worker": "|",
    "pool": "worker |",
    # Neither torch nor av: 300,000 rows are handled without them.
    "sampling": "| numpy",
    "rows": "| pyarrow",
    "plainlist": "rows texts tree |",
    "indexfile": "disk plainlist rows texts | pyarrow",
    "index": "disk indexfile rows | pyarrow later:datasets",
    "lists": "texts tree |",
    "layouts": "index lists tree |",
    # Video files: no index and no torch.
    "orientation": "| av numpy",
    "times": "| av numpy",
    "bitstream": "|",
    "h26x": "bitstream |",
    "plan": "orientation | numpy",
    "packets": "bitstream plan | av numpy",
    "starts": "packets pixels plan | av numpy",
    "survey": "bitstream h26x orientation plan starts times | av numpy",
    "pixels": "orientation | av cv2 numpy",
    "damage": "packets | av",
    "inspection": "damage times orientation packets starts survey | av",
    "encode": "damage disk times inspection orientation packets plan survey | av numpy",
    "video": "times encode inspection packets pixels plan survey | av numpy",
    "synthetic": "console disk encode | numpy",
    "batches": "console | cv2 numpy torch datasets",
    "runindex": "index layouts tree |",
    "dataset": "batches sampling video | numpy torch datasets",
    "lengths": "dataset inspection console sampling | numpy",
    # The method: torch, and none of the others.
    "augment": NETWORK,
    "heads": NETWORK,
    "losses": NETWORK,
    "momentum": NETWORK,
    "optim": NETWORK,
    "neighbours": NETWORK,
    "accuracy": "neighbours | numpy torch evaluate datasets",
    "linear": "neighbours | numpy torch later:sklearn",
    "encoders": " ".join(name for name in MODULES if name.startswith("encoders")) + NETWORK,
    "encoders.encoder": NETWORK,
    **{f"encoders.{name}": "encoders.encoder" + NETWORK for name in ("c3d", "resnet", "r2plus1d", "s3dg")},
    "encoders.video_torchvision": "encoders.encoder" + NETWORK,
    # Encoders are handed to these.
    "pretext": "heads losses momentum sampling" + NETWORK,
    "classifier": "heads losses momentum later:clips" + NETWORK,
    "clips": "augment dataset video | torch",
    # What runs need: no stage and no option.
    "disk": "|",
    "machine": "console |",
    "memory": "|",
    "lock": "|",
    "description": "disk |",
    "entries": "|",
    "implied": "description options later:weightfile later:weights |",
    "weightfile": "description disk entries | numpy torch safetensors",
    "weights": "disk entries weightfile later:classifier later:encoders | torch safetensors",
    "checkpoint": "disk |",
    "finished": "checkpoint | torch yaml",
    "published": "weightfile later:encoders later:optim | torch",
    "convert": "description disk published weightfile weights later:classifier later:encoders | torch",
    "trainloop": "checkpoint console disk runlog team | torch",
    "predict": "batches console dataset disk team | torch datasets",
}


def imports(path):
    """(what, whether with the module) of every import: `index` for rspnet.index, `numpy` for numpy.linalg."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports are not used here"
            names = [node.module]
            if node.module in ("rspnet", "rspnet.encoders"):
                below = [f"{node.module}.{alias.name}" for alias in node.names]
                names = [name if name.removeprefix("rspnet.") in MODULES else node.module for name in below]
        for name in names:
            what = name.removeprefix("rspnet.") if name.startswith("rspnet") else name.split(".")[0]
            if what not in sys.stdlib_module_names:
                yield what, node in tree.body


@pytest.mark.parametrize("module", MODULES)
def test_who_imports_whom(module):
    assert module in MAY_IMPORT, "a new module: say above what it may import"
    allowed = MAY_IMPORT[module].replace("|", "errors").split()
    for what, with_the_module in imports(MODULES[module]):
        assert what in allowed or (f"later:{what}" in allowed and not with_the_module), f"{module} imports {what}"


@pytest.mark.parametrize("stage", STAGES)
def test_stages_import_no_stage_and_load_nothing_slow(stage):
    quick = {
        "command",
        "config",
        "console",
        "disk",
        "errors",
        "implied",
        "lock",
        "machine",
        "options",
        "rundir",
        "runlog",
    }
    for what, with_the_module in imports(STAGES[stage]):
        assert what in MODULES or what in ("torch", "accelerate"), f"{stage} imports {what}"
        assert not with_the_module or what in quick, f"{stage} loads {what} before it has read its options"


def test_accelerate_and_the_command_line_stay_outside_the_core():
    """Without them the core runs in a notebook or a plain test."""
    for module, path in MODULES.items():
        packages = {what for what, _ in imports(path)}
        assert "accelerate" not in packages, module
        assert "jsonargparse" not in packages or module in ("config", "helptext")


def test_files_stay_small_and_have_names():
    for path in PRODUCT:
        assert len(path.read_text().splitlines()) <= 400, f"{path} is too long to be one idea"
        assert path.stem not in ("utils", "util", "misc", "common", "helpers", "tools", "base"), path


def test_tests_mirror_what_they_test():
    tests = {path.stem for path in (REPO / "tests").rglob("test_*.py")}
    helpers = {
        "entries",
        "errors",
        "rows",
        "indexfile",
        "lists",
        "registration",
        "shipped",
        "__main__",
        "packets",
        "heads",
        "weightfile",
        "encoders",
        "finished",
    }  # tested through what uses them
    for module in MODULES:
        if "." not in module and module not in helpers:
            assert f"test_{module}" in tests, module
    assert {f"test_{stage}" for stage in STAGES} <= tests


def test_the_product_knows_nothing_of_where_it_was_made():
    text_files = [*PRODUCT, *REPO.glob("*.md"), *REPO.glob("*.toml"), *REPO.glob("*.txt"), REPO / "Makefile"]
    text_files += [*(REPO / "configs").rglob("*.yaml"), *(REPO / "accelerate_configs").glob("*.yaml")]
    for path in text_files:
        text = path.read_text()
        for word in ("../shared", "/work/", "/tmp/"):
            assert word not in text, f"{path} mentions {word}"
