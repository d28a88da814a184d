"""What a run's options change, against the recipe that its command named."""

import json

import yaml

from rspnet.report.recipe import changes, defaults, shown
from rspnet.report.record import Record
from tests.support import REPO
from tests.support.run_folders import write_run


def read(folder, *command, options=None):
    write_run(folder, "pretrain")
    (folder / "environment.json").write_text(json.dumps({"command": ["stages/pretrain.py", *command]}))
    if options is not None:
        (folder / "config.yaml").write_text(yaml.safe_dump(options))
    return Record.read(folder)


def nested(options):
    found = {}
    for name, value in options.items():
        section, _, key = name.partition(".")
        found |= {section: found.get(section, {}) | {key: value}} if key else {name: value}
    return found


def test_nothing_differs_from_the_defaults(tmp_path):
    for stage in ("pretrain", "finetune", "evaluate"):
        assert defaults(stage)
    found = changes(read(tmp_path / "p", options=nested(defaults("pretrain") | {"run_dir": "elsewhere"})))
    assert (found.against, found.rows) == ("the defaults", [])


def test_a_recipe_with_what_the_command_changed(tmp_path):
    recipe = yaml.safe_load((REPO / "configs/demo.yaml").read_text())
    known = defaults("pretrain") | {f"{part}.{name}": item for part, of in recipe.items() for name, item in of.items()}
    options = nested(known | {"optim.epochs": 3, "data.root": "videos"})
    for spelled in (
        ["--config", "configs/demo.yaml"],
        ["--config=demo.yaml"],
        ["--config", f"{REPO}/configs/demo.yaml"],
    ):
        found = changes(read(tmp_path / str(len(list(tmp_path.iterdir()))), *spelled, options=options))
        assert found.against == "the recipe demo.yaml"
        assert found.rows == [("data.root", "none", "videos"), ("optim.epochs", "88", "3")]


def test_later_recipes_win_however_they_are_spelled(tmp_path):
    options = nested(defaults("pretrain"))
    two = ["--config", "c3d.yaml"], ["--config=demo.yaml"]
    for words, against, network in (
        (two, "the recipe c3d.yaml and demo.yaml", []),  # the demo's network is the default
        (two[::-1], "the recipe demo.yaml and c3d.yaml", [("encoder.name", "c3d", "resnet18")]),
    ):
        found = changes(read(tmp_path / words[0][-1], *words[0], *words[1], options=options))
        assert found.against == against
        assert [row for row in found.rows if row[0] == "encoder.name"] == network


def test_a_section_that_is_a_file_of_its_own(tmp_path):
    found = changes(read(tmp_path / "p", "--config", "configs/c3d.yaml", options=nested(defaults("pretrain"))))
    rows = {name: (there, here) for name, there, here in found.rows}
    assert rows["data.root"] == ("data/kinetics400", "none")


def test_a_file_of_its_own(tmp_path):
    found = changes(read(tmp_path / "p", "--config", "my.yaml"))
    assert found.against == "the defaults; its command also named a file that does not come with rspnet"


def test_what_no_command_is(tmp_path):
    folder = write_run(tmp_path / "p", "pretrain")
    for command in (None, "text", [1, None, "--config"], {"a": 1}):
        (folder / "environment.json").write_text(json.dumps({"command": command}))
        assert changes(Record.read(folder)).against == "the defaults"


def test_values_as_a_command_has_them():
    assert [shown(value) for value in (None, True, 0.1, [2, 4], "é", {"a": None})] == [
        *("none", "true", "0.1", "[2, 4]", "é", '{"a": null}')
    ]
