"""What a run cannot begin with."""

import pytest
import torch

from rspnet.encoders import convolution
from rspnet.errors import ConfigError
from rspnet.running import launch
from rspnet.running.launch import check_accumulation, check_launch, check_precision


def test_processes_that_did_not_find_each_other_are_refused(monkeypatch):
    check_launch(1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    check_launch(2)
    with pytest.raises(ConfigError, match=r"2 processes were started, but each sees 1; .*ACCELERATE_USE_CPU=true"):
        check_launch(1)


@pytest.mark.parametrize(
    ("has", "right", "told"),
    [
        (False, True, "this CPU has no AMX or no AVX512-BF16, .* untested"),
        (True, False, "this torch computes wrong gradients of 3-D convolutions with it on this CPU"),
    ],
)
def test_no_training_with_wrong_gradients(monkeypatch, has, right, told):
    monkeypatch.setattr(convolution, "has_bf16", lambda: has)
    monkeypatch.setattr(convolution, "bf16_is_right", lambda: right)
    check_precision("cpu", "no")
    check_precision("cuda", "bf16")
    check_precision("cpu", "fp16")  # which accelerate computes in float32 there
    with pytest.raises(ConfigError, match=rf"^mixed precision bf16: {told}; launch with --mixed_precision no$"):
        check_precision("cpu", "bf16")


def test_training_in_bf16_where_it_is_right(monkeypatch):
    monkeypatch.setattr(convolution, "has_bf16", lambda: True)
    monkeypatch.setattr(convolution, "bf16_is_right", lambda: True)
    check_precision("cpu", "bf16")


@pytest.mark.parametrize("steps", ["4", "0", "many"])
def test_accumulation_is_refused(monkeypatch, steps):
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1")
    check_accumulation()
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", steps)
    with pytest.raises(ConfigError, match=rf"^ACCELERATE_GRADIENT_ACCUMULATION_STEPS={steps}: .*micro_batches"):
        check_accumulation()


class Accelerator:
    """Of one process."""

    num_processes, device, mixed_precision = 1, torch.device("cpu"), "bf16"

    def __init__(self, **options):
        self.options = options


def test_what_a_stage_can_work_with(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    prepared = []
    monkeypatch.setattr(launch, "keep_freed_memory", lambda: prepared.append(True))
    monkeypatch.setattr("accelerate.Accelerator", Accelerator)
    assert launch.start(trains=False, run_dir="x").options == {"log_with": None, "project_dir": "x"}
    assert prepared == [True]
    monkeypatch.setattr(convolution, "has_bf16", lambda: False)
    with pytest.raises(ConfigError, match="mixed precision bf16: this CPU"):
        launch.start(trains=True, run_dir="x")
    monkeypatch.setattr(Accelerator, "mixed_precision", "no")
    found = launch.start(trains=True, run_dir="x", trackers=["tensorboard"])
    assert found.options == {"log_with": ["tensorboard"], "project_dir": "x"}
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="2 processes were started, but each sees 1"):
        launch.start(trains=False, run_dir="x")
