"""What comes with the package is found, by the command `rspnet` too; and what is built holds all of it."""

import ast
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import rspnet
from rspnet import __main__
from rspnet.cli import shipped
from rspnet.cli.config import parse
from rspnet.errors import ConfigError
from stages import pretrain
from tests.support import REPO

FOLDERS = ("stages", "configs", "accelerate_configs")


def command(monkeypatch, capsys, *arguments):
    """Status, stdout and stderr of `rspnet ARGUMENTS`."""
    monkeypatch.setattr(sys, "argv", ["rspnet", *arguments])
    with pytest.raises(SystemExit) as left:
        __main__.main()
    return (left.value.code, *capsys.readouterr())


def test_help_names_every_stage_with_its_first_line(monkeypatch, capsys):
    status, out, err = command(monkeypatch, capsys, "--help")
    assert (status, err) == (0, "")
    for path in (REPO / "stages").glob("*.py"):
        first = path.read_text().splitlines()[0].removeprefix('"""')
        assert f"\n  {path.stem:10s} {first}\n" in out
    assert max(map(len, out.splitlines())) <= 120
    assert command(monkeypatch, capsys) == (0, out, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pretrian"], "pretrian: no such stage; did you mean pretrain?"),
        (["learn"], "learn: no such stage; see rspnet --help"),
        (["--config", "c3d.yaml"], "--config: no such stage; see rspnet --help"),
        (["--path"], "--path: takes the name of one stage or recipe; see rspnet --help"),
        (["--path", "configs/c3.yaml"], "configs/c3.yaml: no stage or recipe that comes with rspnet; did you mean "),
        (["--path", "../setup.cfg"], "../setup.cfg: no stage or recipe that comes with rspnet; see rspnet --help"),
    ],
)
def test_a_wrong_name_is_answered_in_one_line(monkeypatch, capsys, arguments, message):
    status, out, err = command(monkeypatch, capsys, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith(f"rspnet: {message}")
    assert err.count("\n") == 1


def test_version(monkeypatch, capsys):
    assert command(monkeypatch, capsys, "--version") == (0, f"rspnet {rspnet.__version__}\n", "")


def test_a_stage_is_run_as_its_file_is(monkeypatch, capsys, motions):
    status, out, err = command(monkeypatch, capsys, "verify", str(motions))
    assert (status, err.splitlines()[0]) == (0, "23 videos (23 ok); 0.01 hours are ok")
    assert {json.loads(line)["status"] for line in out.splitlines()} == {"ok"}
    status, out, err = command(monkeypatch, capsys, "verify", str(motions), "--dept", "probe")
    assert (status, out) == (2, "")
    assert err == "verify.py: --dept: unknown option; did you mean --depth?\n"


def test_names_of_what_is_shipped(monkeypatch, capsys):
    for path in [
        path for folder in FOLDERS for path in (REPO / folder).rglob("*.*") if path.suffix in (".py", ".yaml")
    ]:
        name = path.relative_to(REPO).as_posix()
        assert shipped.find(name) == path
        if path.suffix == ".py":
            assert shipped.find(path.stem) == path
        if name.startswith("configs/"):
            assert shipped.find(name.removeprefix("configs/")) == path
    for name in ("", ".", "configs", "rspnet/errors.py", "stages/../rspnet/errors.py", "configs/../pyproject.toml"):
        assert shipped.find(name) is None, name
    status, out, _ = command(monkeypatch, capsys, "--path", "accelerate_configs/cpu.yaml")
    assert (status, out) == (0, f"{REPO / 'accelerate_configs/cpu.yaml'}\n")


def test_a_recipe_is_found_by_its_name_where_there_is_no_such_file(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    expected = parse(pretrain.Config, ["--config", str(REPO / "configs/c3d.yaml")])
    assert capsys.readouterr().err == ""
    for name in ("c3d.yaml", "configs/c3d.yaml"):
        assert parse(pretrain.Config, ["--config", name]) == expected
        assert (
            capsys.readouterr().err == f"--config {name}: the one that comes with rspnet, {REPO / 'configs/c3d.yaml'}\n"
        )
    for argv in (["--data", "data/ucf101.yaml"], ["--data=data/ucf101.yaml"], ["--data", "configs/data/ucf101.yaml"]):
        assert parse(pretrain.Config, argv).data.layout == "ucf101"
        assert capsys.readouterr().err.startswith(
            f"--data {argv[-1].removeprefix('--data=')}: the one that comes with "
        )
    with pytest.raises(ConfigError, match=r"^no such file: data/ucf10\.yaml$"):
        parse(pretrain.Config, ["--data", "data/ucf10.yaml"])
    with pytest.raises(ConfigError, match=r"^--config: no such file: resnet81\.yaml; did you mean resnet18\.yaml\?$"):
        parse(pretrain.Config, ["--config", "resnet81.yaml"])
    with pytest.raises(ConfigError, match=r"^--config: no such file: pretrain$"):
        parse(pretrain.Config, ["--config", "pretrain"])
    Path("c3d.yaml").write_text("optim: {epochs: 3}")
    assert parse(pretrain.Config, ["--config", "c3d.yaml"]).optim.epochs == 3
    assert capsys.readouterr().err == ""


def test_what_is_pinned_is_what_is_asked_for():
    """`make test-newest` installs what pyproject.toml asks for, the other targets what requirements.txt pins."""
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    asked = {
        each.name: each for each in map(Requirement, project["dependencies"] + project["optional-dependencies"]["dev"])
    }
    lines = (line.partition("#")[0].strip() for line in (REPO / "requirements.txt").read_text().splitlines())
    pinned = {each.name: each for each in map(Requirement, filter(lambda line: line and line != "-e .", lines))}
    assert pinned.keys() == asked.keys()
    for name, each in pinned.items():
        (pin,) = each.specifier
        assert (pin.operator, each.extras) == ("==", asked[name].extras)
        assert asked[name].specifier.contains(pin.version)


def test_every_folder_with_something_to_ship_is_listed():
    packages = tomllib.loads((REPO / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    files = [path for folder in ("rspnet", *FOLDERS) for path in (REPO / folder).rglob("*") if path.is_file()]
    folders = {path.parent.relative_to(REPO) for path in files if path.suffix in (".py", ".yaml")}
    names = {".".join(folder.parts) for folder in folders}
    assert {name if name.startswith("rspnet") else f"rspnet.{name}" for name in names} == set(packages)


def alone():
    """What is started with these variables does not see the checkout."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def test_public_names_are_where_editors_are_told():
    tree = ast.parse((REPO / "rspnet/__init__.py").read_text())
    guarded = next(node.body for node in tree.body if isinstance(node, ast.If))
    told = {alias.name: node.module for node in guarded for alias in node.names}
    assert told == rspnet._HOME
    assert set(told) < set(rspnet.__all__) <= set(dir(rspnet))
    for name in rspnet.__all__:
        assert callable(getattr(rspnet, name))


def test_one_version_everywhere():
    assert f"\nversion: {rspnet.__version__}\n" in (REPO / "CITATION.cff").read_text()
    assert f"\n## {rspnet.__version__} " in (REPO / "CHANGELOG.md").read_text()


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder of an environment that has the wheel, made of the source distribution, and what this one has besides.

    It lies in somebody's repository.
    """
    folder = tmp_path_factory.mktemp("installed")
    left_out = shutil.ignore_patterns(".*", "__pycache__", "runs", "build", "dist", "*.egg-info")
    shutil.copytree(REPO, folder / "source", ignore=left_out)
    build = [sys.executable, "-m", "build", "--no-isolation", str(folder / "source"), "--outdir", str(folder / "dist")]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin/python"), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", *map(str, (folder / "dist").glob("*.whl"))], check=True, env=alone())
    # Of a folder on the path the .pth files do not count, and so no editable rspnet.
    site = environment / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    (site / "besides.pth").write_text(sysconfig.get_path("purelib"))
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "somebody's own work"], check=True)
    return environment


@pytest.mark.slow
def test_the_wheel_holds_everything_and_runs(installed, motions, tmp_path):
    site = installed / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    for folder in ("rspnet", *FOLDERS):
        inside = site if folder == "rspnet" else site / "rspnet"
        for path in (REPO / folder).rglob("*"):
            if path.suffix in (".py", ".yaml", ".typed"):
                assert (inside / path.relative_to(REPO)).read_bytes() == path.read_bytes()
    assert (REPO / "LICENSE").read_bytes() == next(site.glob("rspnet-*/licenses/LICENSE")).read_bytes()

    (tmp_path / "evaluate.py").write_text("raise SystemExit('not the package of that name')")
    environ = alone() | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}

    def run(program, *arguments):
        words = [str(installed / "bin" / program), *map(str, arguments)]
        done = subprocess.run(words, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("python", "-c", "import rspnet; print(rspnet.__file__)") == f"{site / 'rspnet/__init__.py'}\n"
    assert run("rspnet", "--path", "pretrain") == f"{site / 'rspnet/stages/pretrain.py'}\n"
    run("rspnet", "verify", motions, "--depth", "decode", "--out", "videos.jsonl")
    clips = ("--clips.num_frames", 8, "--clips.size", 48, "--encoder.width", 16, "--data.index", "videos.jsonl")
    launch = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", 2, "-m", "rspnet")
    sizes = ("--optim.total_batch", 6, "--optim.epochs", 1, "--pretext.queue_length", 6, "--pretext.bn_groups", 2)
    out = run("python", *launch, "pretrain", "--config", "demo.yaml", *clips, *sizes, "--run_dir", "run")
    assert json.loads(out.splitlines()[-1])["steps"] == 3
    assert json.loads((tmp_path / "run/environment.json").read_text())["git_commit"] is None
    tested = ("--config", "finetune/demo.yaml", *clips, "--weights", "run", "--protocol", "knn")
    for program, *arguments in (("rspnet", "evaluate"), ("python", "-m", "rspnet", "evaluate")):
        out = run(program, *arguments, *tested, "--run_dir", f"knn_{program}")
        assert json.loads(out.splitlines()[-1])["num_videos"] == 5
    some = sorted(motions.rglob("*.mp4"))[:2]
    made = run("rspnet", "extract", *some, "--weights", "run", "--out", "features.parquet")
    assert json.loads(made.splitlines()[-1])["num_windows"] == 2
    shown = run("rspnet", "visualize", *some, "--weights", "run", "--out", "maps")
    assert json.loads(shown.splitlines()[-1])["num_failed"] == 0
    run("rspnet", "export", "run", "exported")
    again = run("rspnet", "extract", *some, "--weights", "exported", "--out", "again.parquet")
    assert json.loads(again.splitlines()[-1])["num_windows"] == 2
