"""Every published recipe is one of ours: each figure of the published code's configurations is compared.

tests/support/recipes.py says what is compared with what. Here are the exceptions, each with its reason; one that no
longer holds fails, and so does a figure or an option that nobody has thought of.
"""

import json
import re

import pytest

from rspnet.cli.config import parse
from rspnet.encoders import _SPECS
from stages import evaluate
from tests.support.recipes import (
    DATA,
    FOLDERS,
    REPO,
    commands,
    differences,
    flat,
    header,
    options,
    place,
    published,
    rows,
    translated,
)

ANY = object()

# Where ours is meant to differ: (kind, recipe or None for all, row of tests/support/recipes.py): published, ours, why.
WORKERS = "how many processes decode depends on the machine and never changes a result"
CENTRAL = "the gallery is described without chance, as the queries are"
DIFFERENT = {
    ("pretrain", None, "workers"): (4, None, WORKERS),
    ("pretrain", "resnet18", "workers"): (8, None, WORKERS),
    ("finetune", None, "workers"): (8, None, WORKERS),
    ("retrieval", None, "workers"): (8, None, WORKERS),
    ("retrieval", None, "gallery crop"): ([0.25, 1], None, CENTRAL),
    ("retrieval", None, "gallery flip"): (0.5, None, CENTRAL),
}

# Published figures that decide nothing here: the value they must have, and why no option of ours repeats them.
UNREAD = "nothing in the published code reads it"
PLATEAU = "belongs to a schedule that no recipe uses"
COUNTED = "the classes are counted where the videos are listed"
NAMING = "tells the published code how a file's entries are named; rspnet/weights/load.py looks at the entries"
LOADED = "a label: the published code loads the pretrained encoder under it"
ACCURACY = "of a network in evaluation mode: changes no accuracy"
COSINE = "multi_step alone has milestones"
UNTRAINED = "nothing is trained"
OFF = "already off"
IDLE = {
    "pretrain": {
        "augment_plus": (False, "another augmentation, off in every recipe"),
        "classes": (400, "pretraining reads no label"),
        "head": ("linear", "rspnet/method/heads.py has no other"),
        "left_out": (ANY, "a broken video ends the published run; ours names it and takes another"),
        "milestones": ([50, 100, 150], COSINE),
        "mlp": (False, UNREAD),
        "patience": (10, PLATEAU),
        "random_crop": (True, UNREAD),
        "third_weight": (1, UNREAD),
    },
    "finetune": {
        "classes": (ANY, COUNTED),
        "method": ("from-scratch", LOADED),
        "milestones": ([50, 100, 150], COSINE),
        "misplaced_milestones": ([20, 40], UNREAD),
        "misplaced_schedule": ("multi_step", UNREAD),
        "model_type": ("multitask", NAMING),
        "patience": (10, PLATEAU),
        "validation_batch_per_gpu": (ANY, ACCURACY),
        "validation_clips": (1, "stages/finetune.py validates on one clip, always"),
    },
    "retrieval": {
        "batch_per_gpu": (8, "the published gallery lacks what is left over of its batches; ours lacks nothing"),
        "brightness": (0, OFF),
        "classes": (101, COUNTED),
        "contrast": (0, OFF),
        "dampening": (0, UNTRAINED),
        "even_gallery": (True, "evaluation spreads all clips evenly"),
        "gray": (0, OFF),
        "hue": (0, OFF),
        "log_every": (10, UNTRAINED),
        "lr": (0.1, UNTRAINED),
        "method": ("from-scratch", LOADED),
        "milestones": ([50, 100, 150], UNTRAINED),
        "model_type": ("multitask", NAMING),
        "momentum": (0.9, UNTRAINED),
        "nesterov": (False, UNTRAINED),
        "patience": (10, PLATEAU),
        "saturation": (0, OFF),
        "schedule": ("cosine", UNTRAINED),
        "validation_batch_per_gpu": (8, ACCURACY),
        "validation_clips": (1, "of fine-tuning; retrieval takes the final test's"),
        "weight_decay": (0.0001, UNTRAINED),
    },
}

# Options of ours with no counterpart among the published figures.
PLACE = "where things lie"
BROKEN = "a broken video ends the published run"
SEED = "of the command line, not of a recipe"
SPEED = "speed or memory, and no result"
KEPT = "what is kept of a run besides its result"
OURS_ALONE = {
    "all": {
        "data.root": PLACE,
        "data.index": PLACE,
        "data.cache_gb": "bytes on a local disk",
        "run.compile": SPEED,
        "data.max_failures": BROKEN,
        "data.max_pixels": BROKEN,
        "data.time_limit": BROKEN,
        "run_dir": PLACE,
    },
    "pretrain": {
        "data.fold": "Kinetics has no folds",
        "estimate": "nothing is trained",
        "run.micro_batches": SPEED,
        **dict.fromkeys([f"monitor.{name}" for name in ("batch", "data", "every", "fold", "views")], KEPT),
        "run.checkpoint_every": KEPT,
        "run.seed": SEED,
        "run.trackers": KEPT,
        "weights": "the published pretraining begins with fresh weights",
    },
    "finetune": {
        "estimate": "nothing is trained",
        "run.micro_batches": "one part, as published on as many processes",
        "run.checkpoint_every": KEPT,
        "run.keep_epochs": KEPT,
        "run.seed": SEED,
        "run.trackers": KEPT,
        "subset.seed": "all videos are used",
        "weights": PLACE,
    },
    "retrieval": {
        "compare": "the network alone",
        "features": PLACE,
        "run.seed": SEED,
        "run.trackers": KEPT,
        "weights": PLACE,
    },
}

# Published files without a published result, hence without a config of ours.
UNPUBLISHED = {
    "moco-train-base": "what the others are built on",
    "resnet50": "neither a result nor a checkpoint of this network was published",
    "tsm-r18": "neither a result nor a checkpoint of this network was published",
}

RECIPES = [(kind, name) for kind in FOLDERS for name in DATA[kind] if name != "all" and name not in UNPUBLISHED]
VARIANTS = [(kind, name) for kind in FOLDERS for name in DATA["variants"][kind]]
CASES = RECIPES + VARIANTS
all_cases = pytest.mark.parametrize(("kind", "name"), CASES, ids=[f"{kind} {name}" for kind, name in CASES])


@all_cases
def test_recipe_is_the_published_one(kind, name):
    intended = {row: pair[:2] for (of, only, row), pair in DIFFERENT.items() if of == kind and only in (None, name)}
    assert differences(kind, published(kind, name), options(kind, name)) == intended


def other(value):
    """Another value of the same kind."""
    match value:
        case None:
            return 1
        case bool():
            return not value
        case int() | float():
            return 2 * value + 1
        case list():
            return [*value, other(value[-1]) if value else 1]
        case dict():
            return {other(key): item for key, item in value.items()}
        case str():
            others = {"cosine": "multi_step", "multi_step": "cosine", "c3d": "s3dg"}
            return str(int(value) + 1) if value.isdigit() else others.get(value, "c3d")


def without_effect(kind, name):
    """Published figures, and options of ours, that can be changed without a row of the comparison noticing."""
    theirs, ours = published(kind, name), options(kind, name)
    table = rows(kind, theirs, ours)
    return (
        {figure for figure in theirs if rows(kind, theirs | {figure: other(theirs[figure])}, ours) == table},
        {option for option in ours if rows(kind, theirs, ours | {option: other(ours[option])}) == table},
    )


@all_cases
def test_nothing_is_passed_over(kind, name):
    theirs = published(kind, name)
    figures, ours = without_effect(kind, name)
    known = {figure for figure in IDLE[kind] if figure in theirs}
    if theirs["schedule"] == "multi_step":
        known.discard("milestones")
    assert figures == known
    for figure in known:
        value, _ = IDLE[kind][figure]
        assert value is ANY or theirs[figure] == value, figure
    assert ours == OURS_ALONE["all"].keys() | OURS_ALONE[kind].keys()


def test_exceptions_are_needed_and_give_a_reason():
    assert all(len(entry[-1]) > 5 for table in (DIFFERENT, *IDLE.values()) for entry in table.values())
    assert {(kind, only) for kind, only, _ in DIFFERENT if only} <= set(CASES)
    for kind, table in IDLE.items():
        assert set(table) == {figure for of, name in CASES if of == kind for figure in without_effect(kind, name)[0]}


def test_every_file_of_the_published_code_is_accounted_for():
    files = {(kind, name) for kind in FOLDERS for name in DATA[kind]} - {(kind, "all") for kind in FOLDERS}
    assert files == set(RECIPES) | {("pretrain", name) for name in UNPUBLISHED}
    assert [sum(of == kind for of, _ in RECIPES) for kind in FOLDERS] == [4, 11, 2]
    assert DATA["pretrain"]["moco-train-base"] | {"workers": 8} == DATA["pretrain"]["resnet18"]
    for name in ("resnet50", "tsm-r18"):
        assert DATA["pretrain"][name]["encoder"] not in _SPECS


def test_every_command_of_every_config_is_one_of_these():
    """Those of other people's benchmarks are compared with theirs by tests/test_severe.py; two of ours are new."""
    others = ("data", "severe", "mveb")
    paths = sorted(path for path in (REPO / "configs").rglob("*.yaml") if path.parent.name not in others)
    ours = [str(path.relative_to(REPO)) for path in paths if path.stem not in ("demo", "small")]
    found = [(path, number) for path in ours for number in range(len(commands(path)))]
    assert found == sorted(place(kind, name) for kind, name in CASES)


@pytest.mark.parametrize("name", [name for kind, name in CASES if kind == "finetune"])
def test_fine_tuned_classifiers_are_tested_by_the_same_file(name):
    path, _ = place("finetune", name)
    tested = flat(vars(parse(evaluate.Config, ["--config", str(REPO / path)])))
    for option, value in options("finetune", name).items():
        section, _, field = option.partition(".")
        if section in ("clips", "encoder", "test", "data"):
            assert getattr(tested[section], field) == value, option


# The results


def results(kind, name):
    """The published percentages that a config's header names."""
    of = DATA["variants"][kind].get(name, {}).get("of", name)
    if kind != "pretrain":
        return DATA["results"][kind][of]
    return [
        number
        for table in ("finetune", "retrieval")
        for recipe, numbers in DATA["results"][table].items()
        if recipe.endswith(f"_{of}")
        for number in numbers
    ]


@all_cases
def test_headers_say_what_was_published(kind, name):
    text = header(place(kind, name)[0])
    assert results(kind, name)
    for number in results(kind, name):
        assert f"{number} %" in text or f"{number}/" in text, number
    if kind == "pretrain":
        hours, gpus = DATA["hours_and_gpus"][DATA["variants"][kind].get(name, {}).get("of", name)]
        assert f"Published: {hours} h on {gpus} V100;" in text


def test_the_page_says_what_was_published():
    text = (REPO / "docs/recipes.md").read_text()
    for kind, name in RECIPES:
        for number in results(kind, name):
            assert re.search(rf"[|,/] {number} [|,/]|[|] {number},", text), number
    assert "--pooling max" in text
    assert "configs/finetune/something_v2_c3d_paper.yaml" in text
    assert "configs/r2plus1d.yaml" in text


# The figures themselves, where the published code's files are at hand


def test_figures_are_those_of_the_published_files(shared):
    found = {}
    for path in sorted((shared / "facts/recipes").glob("*.json")):
        kind, name = path.stem.split("_", 1)
        found[kind, name.replace("smth_smth", "something_v2")] = translated(kind, json.loads(path.read_text()))
    frozen = {(kind, name): DATA[kind][name] for kind in FOLDERS for name in DATA[kind] if name != "all"}
    assert {case: DATA[case[0]]["all"] | own for case, own in frozen.items()} == found


COLUMNS = {"ucf101": 4, "hmdb51": 5, "something_v2": 6, "retrieval": 7, "cost": 8}
ROWS = {"c3d": "C3D", "resnet18": "ResNet-18 (3-D)", "r2plus1d": "R(2+1)D (4 blocks)", "s3dg": "S3D-G"}


def test_results_are_those_published(shared):
    text = (shared / "facts/published_method.md").read_text().split("## 11.")[1]
    table = [line.split("|") for line in text.splitlines() if line.startswith("| ")]

    def stated(encoder, column):
        cells = [line[COLUMNS[column]] for line in table if line[1].strip() == ROWS[encoder]]
        return [float(number) for cell in cells for number in re.findall(r"\d+\.\d+", cell)]

    for recipe, numbers in DATA["results"]["finetune"].items():
        dataset, encoder = recipe.rsplit("_", 1)
        assert stated(encoder, dataset) == numbers, recipe
    for recipe, numbers in DATA["results"]["retrieval"].items():
        assert stated(recipe.removeprefix("ucf101_"), "retrieval") == numbers, recipe
    for encoder, cost in DATA["hours_and_gpus"].items():
        (cell, *_) = [line[COLUMNS["cost"]] for line in table if line[1].strip() == ROWS[encoder]]
        assert [int(number) for number in re.findall(r"\b\d+\b", cell)] == cost, encoder
