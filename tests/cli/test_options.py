"""The options of the stages: their limits, their help, and the configs that are shipped."""

import ast
import dataclasses
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rspnet.cli import monitoring, optimisation, options
from rspnet.cli.config import parse
from rspnet.errors import ConfigError
from stages import evaluate, finetune, pretrain, subset
from tests.support import REPO

STAGES = sorted(path.stem for path in (REPO / "stages").glob("*.py"))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("augment.gray=1.5", "augment.gray: 1.5; it must be between 0 and 1"),
        ("augment.hue=0.6", "augment.hue: 0.6; it must be between 0 and 0.5"),
        ("augment.crop_area=[0,1]", "augment.crop_area: [0.0, 1.0]; give the smallest and the largest part"),
        ("augment.crop_area=[0.5]", "augment.crop_area: [0.5]; give the smallest and the largest part"),
        ("clips.frame_rate=-1.5", "clips.frame_rate: -1.5; it must be more than 0 and at most 1000"),
        ("clips.views=3", "--clips.views: unknown option; "),
        ("clips.num_frames=0", "clips.num_frames: 0; it must be between 1 and 10000"),
        ("data.num_workers=-1", "data.num_workers: -1; it must be between 0 and 4096"),
        ("pretext.speeds=[]", "pretext.speeds: empty; "),
        ("pretext.speeds=[2,1]", "pretext.speeds: [2, 1]; it must be between 2 and 1000"),
        ("optim.lr=.nan", "optim.lr: nan; it must be more than 0"),
        ("optim.lr=0", "optim.lr: 0.0; it must be more than 0"),
        ("optim.weight_decay=.inf", "optim.weight_decay: inf; it must be between 0 and 1000000"),
        ("optim.epochs=0", "optim.epochs: 0; it must be between 1 and 1000000"),
        ("optim.passes=0", "optim.passes: 0; it must be between 1 and 10000"),
        ("optim.decay=0", "optim.decay: 0.0; it must be more than 0 and at most 1"),
        ("optim.milestones=[2,2]", "optim.milestones: [2, 2]; they must ascend"),
        ("optim.milestones=[0,2]", "optim.milestones: [0, 2]; it must be between 1 and 1000000"),
        ("run.log_every=0", "run.log_every: 0; it must be between 1 and 1000000000"),
        ("run.seed=-1", "run.seed: -1; it must be between 0 and 9223372036854775807"),
        ("run.seed=9223372036854775808", "run.seed: 9223372036854775808; it must be between 0 and "),
        ("clips.frame_rate=25000", "clips.frame_rate: 25000.0; it must be more than 0 and at most 1000"),
    ],
)
def test_values_that_can_never_be_right(option, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        parse(pretrain.Config, [f"--{option}"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--optim.schedule=multi_step", "optim.milestones: none, so that optim.schedule multi_step would never lower "),
        ("--optim.milestones=[50]", "optim.milestones: [50]; optim.schedule cosine has none: take multi_step, or "),
        (
            "--optim.decay=0.3",
            "optim.decay: 0.3; optim.schedule cosine has no milestones at which the rate would fall: ",
        ),
        (
            "--optim.optimizer=adam --optim.momentum=1",
            "optim.momentum: 1.0; for Adam it is the first beta, which must",
        ),
        ("--clips.sampling=cover --clips.stride=2", "clips.stride: 2; frames that cover the whole video "),
        (
            "--pretext.appearance_weight=0 --pretext.motion_weight=0",
            "pretext.appearance_weight and pretext.motion_weight are both 0: nothing would be learnt",
        ),
    ],
)
def test_options_that_do_not_go_together(arguments, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        parse(pretrain.Config, arguments.split())


def test_a_recipe_of_another_stage_is_refused_with_its_stage():
    told = "this is a config of fine-tuning or of an evaluation; stages/finetune.py and stages/evaluate.py take it"
    path = REPO / "configs/finetune/ucf101_c3d.yaml"
    with pytest.raises(ConfigError, match=rf"^{path}: clips\.views: {told}$"):
        parse(pretrain.Config, [f"--config={path}"])


def test_options_that_go_together_may_come_from_two_places(tmp_path):
    (tmp_path / "a.yaml").write_text("optim: {schedule: multi_step}")
    (tmp_path / "b.yaml").write_text("optim: {milestones: [3, 5]}")
    files = [f"--config={tmp_path / name}" for name in ("a.yaml", "b.yaml")]
    assert parse(pretrain.Config, files).optim.milestones == [3, 5]
    config = parse(pretrain.Config, [*files, "--optim.schedule", "cosine", "--optim.milestones", "[]"])
    assert (config.optim.schedule, config.optim.milestones) == ("cosine", [])


@pytest.mark.parametrize(
    ("stage", "arguments", "message"),
    [
        (
            evaluate,
            "--weights=runs/c3d --run.seed=1",
            "run.seed: 1; only fresh weights and probed clips are drawn: leave it out",
        ),
        (evaluate, "--weights=none --run.seed=-1", "run.seed: -1; it must be between 0 and 9223372036854775807"),
        (subset, "a b --num_classes=2 --seed=1", "seed: 1; only --by random draws"),
        (subset, "a b --classes=names.txt --by=random", "by: random; with --classes the file names the classes"),
    ],
)
def test_options_of_a_stage_that_would_do_nothing(stage, arguments, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        parse(stage.Config, arguments.split())


# What is shipped


def _config_class(stage):
    return importlib.import_module(f"stages.{stage}").Config


def _shipped(pattern):
    paths = sorted((REPO / "configs").glob(pattern))
    assert paths
    return [str(path.relative_to(REPO)) for path in paths]


PAIRS = [
    *((path, pretrain.Config) for path in _shipped("*.yaml")),
    *((path, kind) for path in _shipped("finetune/*.yaml") for kind in (finetune.Config, evaluate.Config)),
    *((path, evaluate.Config) for path in _shipped("retrieval/*.yaml")),
]


@pytest.mark.parametrize(("path", "config_class"), PAIRS, ids=[f"{path}-{kind.__module__}" for path, kind in PAIRS])
def test_shipped_config_is_valid(path, config_class):
    got = parse(config_class, ["--config", str(REPO / path)])
    assert got.data.root or "demo" in path or "small" in path  # of anybody's videos
    text = (REPO / path).read_text()
    for command in re.findall(r"^# .*(stages/\w+\.py.*)", text, re.MULTILINE):
        assert (REPO / command.split()[0]).is_file()
        assert f"--config {path} " in command or command.startswith(("stages/synthetic.py ", "stages/transcode.py "))


@pytest.mark.parametrize("path", _shipped("data/*.yaml"))
def test_shipped_data_section_is_valid(path):
    assert parse(pretrain.Config, ["--data", str(REPO / path)]).data.root == f"data/{Path(path).stem}"


def _classes(path):
    """The dataclasses of a file, as syntax."""
    return [
        node
        for node in ast.parse(Path(path).read_text()).body
        if isinstance(node, ast.ClassDef) and "dataclass" in map(ast.unparse, node.decorator_list)
    ]


@pytest.mark.parametrize(
    "path",
    [
        "rspnet/cli/options.py",
        "rspnet/cli/monitoring.py",
        "rspnet/cli/optimisation.py",
        *(f"stages/{stage}.py" for stage in STAGES),
    ],
)
def test_every_option_has_a_text_under_it(path):
    for node in _classes(REPO / path):
        for statement, following in zip(node.body, [*node.body[1:], None]):
            option = ast.unparse(statement)
            if isinstance(statement, ast.AnnAssign) and "options." not in option and "ClassVar" not in option:
                assert isinstance(following, ast.Expr), f"{node.name}: {option}"
                assert len(following.value.value) > 5, f"{node.name}: {option}"


def _options(config_class, prefix=""):
    for item in dataclasses.fields(config_class):
        if dataclasses.is_dataclass(item.type):
            yield from _options(item.type, f"{prefix}{item.name}.")
        else:
            yield f"{prefix}{item.name}"


@pytest.mark.parametrize("stage", STAGES)
def test_help_shows_every_text(stage, capsys):
    with pytest.raises(SystemExit) as left:
        parse(_config_class(stage), ["--help"])
    assert left.value.code == 0
    shown = re.sub(r"\s", "", capsys.readouterr().out)
    module = importlib.import_module(f"stages.{stage}")
    assert re.sub(r"\s", "", module.__doc__) in shown
    sections = {module.Config, *(item.type for item in dataclasses.fields(module.Config))}
    for source in (options, monitoring, optimisation, module):
        for node in _classes(source.__file__):
            if any(
                issubclass(section, getattr(source, node.name)) for section in sections if isinstance(section, type)
            ):
                texts = [part.value.value for part in node.body[1:] if isinstance(part, ast.Expr)]
                assert all(re.sub(r"\s", "", text) in shown for text in texts), texts


def test_options_are_decided_on():
    """To add, rename or drop an option, change tests/recorded/options.txt by hand as well."""
    found = [f"{stage} {name}" for stage in STAGES for name in sorted(_options(_config_class(stage)))]
    assert found == (REPO / "tests/recorded/options.txt").read_text().splitlines()


def test_help_and_mistakes_answer_without_torch():
    """And without what only Linux has."""
    program = (
        "import runpy, sys\n"
        "from tests.support import mac\n"
        "mac.take_away()\n"
        "for stage in sys.argv[1:]:\n"
        "    for argument in ('--help', '--no_such_option'):\n"
        "        sys.argv = [f'stages/{stage}.py', argument]\n"
        "        try:\n"
        "            runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "        except SystemExit as left:\n"
        "            assert left.code == (0 if argument == '--help' else 2), (stage, argument, left.code)\n"
        "        slow = sys.modules.keys() & {'torch', 'av', 'datasets', 'accelerate', 'timm', 'evaluate'}\n"
        "        assert not slow, (stage, slow)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, *STAGES], cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert [line.split(".py: ")[0] for line in lines] == STAGES
    assert all("--no_such_option: unknown option" in line for line in lines)
