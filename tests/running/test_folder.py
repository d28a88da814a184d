"""Who may write to a run's folder, what lies in it, and that its work is done once."""

import contextlib
import dataclasses
import fcntl
import json
import shutil
import subprocess
import sys

import pytest
import torch

from rspnet.data.index import fingerprint, load
from rspnet.errors import CheckpointError, ConfigError, DiskError, LostError
from rspnet.running import folder, place
from rspnet.running.folder import open_run, run_once
from tests.support import REPO
from tests.support.published_files import small

CONFIG = {
    "run_dir": "x",
    "data": {"root": "a", "index": None, "layout": "auto", "fold": 1, "num_workers": 4, "cache_gb": 1.0},
    "optim": {"lr": 0.1},
    "run": {"seed": 3, "log_every": 10},
    "protocol": "classify",
}


OTHERS = {"top5": 100.0, "chance_top1": 10.0, "num_videos": 3, "best_epoch": 1}


@dataclasses.dataclass
class Config:
    run_dir: str
    data: dict
    optim: dict
    run: dict
    protocol: str
    weights: str


def opened(folder, **changes):
    """Open and leave a run; changes by `section__name`."""
    config = changed(**changes)
    with open_run(folder, config, json.dumps(config)):
        return json.loads((folder / "config.yaml").read_text())


def changed(**changes):
    config = json.loads(json.dumps(CONFIG))
    for name, value in changes.items():
        section, key = name.split("__")
        config[section][key] = value
    return config


def test_new_folder_gets_its_config(tmp_path):
    folder = tmp_path / "a" / "run"
    assert opened(folder) == CONFIG
    assert opened(folder) == CONFIG


@pytest.fixture
def once(tmp_path, videos):
    """Do a run on the `videos`: `once(result)` returns what `run_once` does, `once()` must find it done."""

    def run(result=None, weights="none", **changes):
        config = Config(**changed(**{"data__root": str(videos)} | changes), weights=str(weights))
        begun = []

        def work(given, run):
            begun.append(run)
            assert given is config
            assert run.keep_videos() == tmp_path / "run/index.parquet"
            run.write_lines("predictions.jsonl", [{"video": "ä"}])
            return result | run.facts

        found = run_once(tmp_path / "run", config, work, start=Accelerator)
        assert len(begun) == (0 if result is None else 1)
        return found

    return run


class Accelerator:
    """Of one process."""

    num_processes, device, mixed_precision = 1, torch.device("cpu"), "bf16"
    ended = 0

    def __init__(self, **options):
        self.options = options

    def end_training(self):
        Accelerator.ended += 1


def test_the_work_is_done_once(tmp_path, once, videos, capsys):
    found = {"stage": "evaluate", "protocol": "classify", "top1": 200 / 3} | OTHERS
    result = once(found)
    ended = Accelerator.ended
    facts = {"weights_sha256": None, "fold": 1, "seed": 3, "precision": "no", "processes": 1, "device": "cpu"}
    index = load(tmp_path / "run/index.parquet")
    assert result == found | {"top1": 66.67, "data_fingerprint": fingerprint(index)} | facts
    assert once() == result
    assert Accelerator.ended == ended > 0
    out, err = capsys.readouterr()
    assert [json.loads(line) for line in out.splitlines()] == [result, result]
    words = "classify: top-1 66.7 % of 3 test videos (chance 10), top-5 100.0 %; best epoch 1"
    again = f"{tmp_path}/run: this was done before; remove the folder to do it again"
    where = (f"test: {tmp_path}/run/predictions.jsonl", f"written to {tmp_path}/run")
    assert err.splitlines() == [words, *where, again, words, *where]
    assert json.loads((tmp_path / "run/result.json").read_text()) == result
    environment = json.loads((tmp_path / "run/environment.json").read_text())
    assert environment["versions"].keys() >= {"torch", "accelerate", "av", "rspnet"}
    assert environment["sources"] == {name: result[name] for name in environment["sources"]}


def test_what_is_refused_at_once_leaves_no_folder(tmp_path, once):
    for changes in ({"data__root": str(tmp_path / "nowhere")}, {"weights": tmp_path / "gone.pth"}):
        with pytest.raises((ConfigError, CheckpointError), match=r"no such (folder|file or folder); "):
            once({}, **changes)
        assert not (tmp_path / "run").exists()


def test_weights_that_were_replaced_while_the_run_began(tmp_path, once, videos):
    path, state = tmp_path / "model.pth", small("resnet18").state_dict()
    torch.save(state, path)
    config = Config(**changed(data__root=str(videos)), weights=str(path))

    def work(_, run):
        assert run.read_weights().path == path
        torch.save({name: value + 1 for name, value in state.items()}, path)
        run.read_weights()

    with pytest.raises(CheckpointError, match=r"model\.pth: was replaced while this run began; give the same command"):
        run_once(tmp_path / "run", config, work, start=Accelerator)
    assert once({"stage": "evaluate", "protocol": "classify", "top1": 1.0} | OTHERS, weights=path)  # given again


def test_what_an_earlier_command_left_is_none_of_this_runs_files(tmp_path, once, videos):
    """That one had other options, and was ended by a full disk after it had written some of its files."""

    def full(_, run):
        run.write_lines("neighbours_retrieval.jsonl", [{"video": "b"}])
        raise DiskError("features.parquet: its disk is full")

    config = Config(**changed(data__root=str(videos)), weights="none")
    with pytest.raises(DiskError):
        run_once(tmp_path / "run", dataclasses.replace(config, protocol="retrieval,knn"), full, start=Accelerator)
    (tmp_path / "run/mine.txt").touch()
    once({"stage": "evaluate", "protocol": "classify", "top1": 1.0} | OTHERS)
    assert json.loads((tmp_path / "run/manifest.json").read_text())["files"].keys() == {
        *("environment.json", "predictions.jsonl", "result.json")
    }
    assert not list((tmp_path / "run").glob("neighbours*"))
    assert (tmp_path / "run/mine.txt").exists()


@pytest.mark.parametrize("lose", [shutil.rmtree, lambda path: path.rename(path.with_name("other"))])
@pytest.mark.parametrize("writes", [True, False])
def test_a_folder_that_is_lost_on_the_way_is_said_and_not_made_anew(tmp_path, videos, lose, writes):
    config = Config(**changed(data__root=str(videos)), weights="none")

    def work(_, run):
        run.keep_videos()
        lose(run.run_dir)
        if writes:
            run.write_lines("predictions.jsonl", [])
        return {"stage": "evaluate"}

    with pytest.raises(LostError, match=f"^{tmp_path}/run: was removed or renamed while this wrote to it; ") as caught:
        run_once(tmp_path / "run", config, work, start=Accelerator)
    assert caught.value.exit_status == 1
    assert not (tmp_path / "run").exists()


def test_a_lost_folder_whose_name_another_has_is_left_to_that(tmp_path, videos):
    config = Config(**changed(data__root=str(videos)), weights="none")

    def work(_, run):
        run.run_dir.rename(tmp_path / "other")
        run.run_dir.mkdir()
        (run.run_dir / "config.yaml").write_text("of another")
        return {"stage": "evaluate"}

    with pytest.raises(LostError):
        run_once(tmp_path / "run", config, work, start=Accelerator)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.yaml"]


def test_work_that_fails_leaves_no_result(tmp_path, once, videos, capsys):
    config = Config(**changed(data__root=str(videos)), weights="none")
    with pytest.raises(ZeroDivisionError):
        run_once(tmp_path / "run", config, lambda config, run: 1 / 0, start=Accelerator)
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "run/result.json").exists()


def test_other_options_are_refused_once_there_is_something_to_protect(tmp_path):
    opened(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(ConfigError) as caught:
        opened(tmp_path, optim__lr=0.2)
    text = "choose another --run_dir, or remove the folder to start again"
    assert str(caught.value) == f"{tmp_path}: holds a run with optim.lr=0.1, not 0.2; {text}"
    with pytest.raises(ConfigError, match=r"holds a run with optim\.epochs=None, not 3; "):
        opened(tmp_path, optim__epochs=3)
    # What changes no result may differ; the folder keeps what the run began with.
    assert opened(tmp_path, data__num_workers=0, run__log_every=1) == CONFIG
    tmp_path.rename(tmp_path.with_name("moved"))
    with open_run(tmp_path.with_name("moved"), CONFIG | {"run_dir": "y"}, ""):
        pass


@pytest.mark.parametrize(
    ("before", "stage"), [({"pretext": {"speeds": [2]}}, "pretrain"), ({"protocol": "knn"}, "evaluate")]
)
def test_another_stages_run_is_refused_without_the_advice_to_remove_it(before, stage, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "config.yaml").write_text(json.dumps(CONFIG | before))
    config = CONFIG | {"frozen": False, "augment": {"brightness": 0.0}}
    with pytest.raises(ConfigError) as caught, open_run(tmp_path, config, ""):
        pass
    assert str(caught.value) == f"{tmp_path}: holds another kind of run ({stage}); choose another --run_dir"


def test_a_run_that_never_got_anywhere_begins_anew(tmp_path):
    """Neither a mistyped data.root nor videos that were not right must block the folder for the corrected command."""
    opened(tmp_path, data__root="typo")
    (tmp_path / "index.parquet").touch()
    assert opened(tmp_path) == CONFIG
    assert not (tmp_path / "index.parquet").exists()
    (tmp_path / "index.parquet").touch()
    assert opened(tmp_path) == CONFIG
    assert not (tmp_path / "index.parquet").exists()
    (tmp_path / "index.parquet").touch()
    (tmp_path / "result.json").write_text("{}")
    opened(tmp_path, data__num_workers=1)
    assert (tmp_path / "index.parquet").exists()
    opened(tmp_path, data__root="b")  # not its name counts, but what is there: tests/running/test_sources.py
    with pytest.raises(ConfigError, match=r"optim\.lr=0.1, not 1"):
        opened(tmp_path, optim__lr=1)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file/run: cannot be made .*choose another --run_dir"):
        opened(tmp_path / "file" / "run")


def test_somebody_elses_folder_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ConfigError, match="is not empty, and not a run folder; choose another --run_dir"):
        opened(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_somebody_elses_config_and_index_are_not_replaced(tmp_path):
    """Put there for the run, which is to begin in the same folder; asked twice, it is as it was."""
    files = {"config.yaml": "optim:\n  lr: 0.1  # mine\n", "index.parquet": "mine"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    for _ in range(2):
        with pytest.raises(ConfigError, match="is not empty, and not a run folder; choose another --run_dir"):
            opened(tmp_path)
        assert {path.name: path.read_text() for path in tmp_path.iterdir()} == files


@pytest.mark.parametrize("text", ["", "a: ["])
def test_a_config_that_does_not_tell_the_options(tmp_path, text):
    opened(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.yaml: does not tell the run's options .* remove the folder to"):
        opened(tmp_path)


DAMAGES = {
    "gone": None,
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "zeros": lambda content: bytes(len(content)),
    "another number": lambda content: content.replace(b"2", b"7").replace(b"v", b"w"),
    "longer": lambda content: content + b"\n",
    "no result": lambda content: b'{"x": 1}',
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["result.json", "predictions.jsonl", "manifest.json"])
def test_a_result_that_is_damaged_is_made_again(tmp_path, once, capsys, name, damage):
    found = {"stage": "evaluate", "protocol": "classify", "top1": 2.0} | OTHERS
    result = once(found)
    path, change = tmp_path / "run" / name, DAMAGES[damage]
    before = path.read_bytes()
    path.unlink() if change is None else path.write_bytes(change(before))
    if (name, damage) in (("result.json", "gone"), ("manifest.json", "longer")):  # not finished; the same content
        return
    assert once(found) == result
    assert path.read_bytes() == before
    assert once() == result
    (told,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith(f"{tmp_path}/run/")]
    assert told.endswith("; it is made again")


def test_a_record_that_is_damaged_is_named_at_every_look(tmp_path, once, capsys):
    """It cannot be made again, and no number depends on it."""
    result = once({"stage": "evaluate", "protocol": "classify", "top1": 2.0} | OTHERS)
    path = tmp_path / "run/environment.json"
    path.write_text(path.read_text().replace('"cpus": ', '"cpus": 1'))
    for _ in range(2):
        assert once() == result
        assert f"{path}: is not as the run left it, and cannot be made again; copy it" in capsys.readouterr().err


def test_a_folder_that_was_copied_is_called_by_its_new_name(tmp_path, once):
    once({"stage": "evaluate", "protocol": "classify", "run_dir": "elsewhere/run", "top1": 2.0} | OTHERS)
    assert once()["run_dir"] == str(tmp_path / "run")


def test_a_command_that_is_refused_in_the_end_leaves_no_folder(tmp_path, videos):
    """Nor those above it; what was there before stays."""

    def refuse(config, run):
        run.keep_videos()
        raise CheckpointError("has no classifier")

    config = Config(**changed(data__root=str(videos)), weights="none")
    (tmp_path / "there").mkdir()
    for run_dir in ("there/a/b", "there"):
        with pytest.raises(CheckpointError, match="has no classifier"):
            run_once(tmp_path / run_dir, config, refuse, start=Accelerator)
        assert not (tmp_path / "there/a").exists()
    assert (tmp_path / "there").is_dir()


def test_a_run_that_is_refused_once_it_has_something_to_lose_stays(tmp_path):
    with pytest.raises(CheckpointError), open_run(tmp_path / "run", CONFIG, "{}"):  # noqa: PT012
        (tmp_path / "run/checkpoints").mkdir()
        raise CheckpointError("too many")
    assert (tmp_path / "run/config.yaml").exists()


def test_a_run_copied_without_its_hidden_files_goes_on(tmp_path):
    opened(tmp_path)
    (tmp_path / ".lock").unlink()
    (tmp_path / "checkpoints").mkdir()
    assert opened(tmp_path) == CONFIG


def test_second_process_is_refused_while_the_first_lives(tmp_path):
    program = (
        "import sys, pathlib\n"
        "from rspnet.running.folder import open_run\n"
        "with open_run(pathlib.Path(sys.argv[1]), {}, '{}'):\n"
        "    print('open', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "open\n"
        with pytest.raises(ConfigError, match=rf"{tmp_path}: process {first.pid} on .* is writing to this run; wait"):
            opened(tmp_path)
        first.kill()  # no farewell: the lock goes with the process
        first.wait(10)
        assert opened(tmp_path) == CONFIG


def test_of_two_at_once_the_second_takes_no_folder_away(tmp_path, monkeypatch):
    """Although it made the folder, in which the first began."""
    path, make_folder = tmp_path / "a/run", folder.make_folder
    with contextlib.ExitStack() as stack:

        def make(made, remedy):
            make_folder(made, remedy)
            monkeypatch.undo()
            stack.enter_context(open_run(path, CONFIG, json.dumps(CONFIG)))

        monkeypatch.setattr(folder, "make_folder", make)
        with pytest.raises(ConfigError, match="is writing to this run"):
            opened(path)
        assert (path / "config.yaml").exists()
        with pytest.raises(ConfigError, match="is writing to this run"):
            opened(path)
    assert opened(path) == CONFIG


def test_a_folder_that_another_has_just_removed_is_not_made_again(tmp_path, monkeypatch):
    """That one had made it, and was refused; this one waits for its lock, which is of a file that is gone."""

    def exclusive(descriptor):
        shutil.rmtree(tmp_path / "run")
        return lock(descriptor)

    lock = place.exclusive
    monkeypatch.setattr(place, "exclusive", exclusive)
    with pytest.raises(LostError, match=r"run: was removed or renamed while this wrote to it"):
        opened(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_lock_is_let_go_after_an_error(tmp_path):
    with pytest.raises(KeyError), open_run(tmp_path, CONFIG, "{}"):
        raise KeyError
    with (tmp_path / ".lock").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(ConfigError, match="is writing to this run"):
            opened(tmp_path)
