"""What a run's folder says of the run, and what is said where it does not."""

import json

import pytest

from rspnet.errors import CheckpointError
from rspnet.running.record import read_options, read_result

RESULT = {"stage": "finetune", "top1": 66.67, "top5": 100.0, "chance_top1": 10.0, "num_videos": 3, "best_epoch": 1}


def test_what_a_run_wrote(tmp_path):
    (tmp_path / "config.yaml").write_text("optim:\n  lr: 0.1\n", encoding="utf-8")
    (tmp_path / "result.json").write_text(json.dumps(RESULT), encoding="utf-8")
    assert read_options(tmp_path / "config.yaml", "") == {"optim": {"lr": 0.1}}
    assert read_result(tmp_path / "result.json") == RESULT


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "does not tell the run's options (found nothing)"),
        (b"- a", "does not tell the run's options (found ['a'])"),
        (
            b"a: [",
            "does not tell the run's options (line 1, column 5: expected the node content, but found '<stream end>')",
        ),
        (b"\xff", "cannot be read (not UTF-8 text)"),
        (None, "cannot be read (No such file or directory)"),
    ],
)
def test_no_options(tmp_path, content, said):
    refused(tmp_path / "config.yaml", content, said, lambda path: read_options(path, "mend it"), remedy="mend it")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no result of a run (it is empty)"),
        (b'{"x": 1}', "is no result of a run (it lacks stage)"),
        (b"[]", "is no result of a run (it holds values of the wrong type)"),
        (b'{"stage": "finetune", "top1": "a", "num_videos": 1}', "is no result of a run ("),
        (b"\xff", "cannot be read (not UTF-8 text)"),
        (b'{"stage": "finetune", "top1": NaN, "num_videos": 1}', "is no result of a run ("),
        (b"[" * 100_000, "is no result of a run (it is nested too deeply)"),
        (b'{"stage":\n5 6', "is no result of a run (invalid JSON at line 2, column 3)"),
    ],
)
def test_no_result(tmp_path, content, said):
    """What to do, who asks for it knows."""
    refused(tmp_path / "result.json", content, said, read_result)


def refused(path, content, said, read, *, remedy=""):
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: {said}")
    assert str(caught.value).endswith(remedy and f"; {remedy}")
    assert "\n" not in str(caught.value)
