"""Stages and steps on a GPU that is not there (tests/support/pretend.py): devices agree, and the host waits for none.

All run one after the other in a process of their own; each is looked at by itself.
"""

import json
import os
import traceback

import pytest
import torch
from accelerate.state import AcceleratorState, PartialState

from rspnet.cli import options
from tests.support import pretend, tiny
from tests.support.ranks import run_alone

FRAMES, SIZE, VIDEOS = 8, 48, 4

LOG_AND_CHECKPOINT = {"_means", "_save"}
OUTSIDE_STEPS = {"prepare", "_load", "load_best", "save_network", "_count_failed", "joined"}
"""What goes to the device before the first step and comes from it after an epoch's last."""


def settings(name):
    optim = options.Optim(epochs=1, total_batch=6, lr=0.001)
    run = options.TrainingRun(seed=1, log_every=2, checkpoint_every=2, trackers=[])
    return {"encoder": options.Encoder(name, width=4), "optim": optim, "run": run}


def pretrain(folder, videos):
    """Stopped after a step, and gone on with, in bf16, with a measurement at the end of the epoch."""
    from rspnet.running.loop import TrainLoop
    from stages.pretrain import main

    changes = settings("c3d")
    monitor = options.Monitor(data=str(videos), batch=4)
    config, ask = tiny.pretrain(videos, folder, monitor=monitor, **changes), TrainLoop.step

    def stopping(loop, terms):
        loop._asked = loop.state.step == 0
        ask(loop, terms)

    TrainLoop.step = stopping
    with pytest.raises(KeyboardInterrupt):
        main(config)
    TrainLoop.step = ask
    assert main(config)["device"] == pretend.NAME


def finetune(folder, videos):
    from stages.finetune import main

    changes = settings("resnet18")
    assert main(tiny.finetune(videos, folder, **changes))["num_videos"] == 5


def steps(folder, name, number=1, world_size=1):
    """Steps of pretraining, as one process of some."""
    from rspnet.data.augment import Augment
    from rspnet.data.sampling import shown_frames
    from rspnet.encoders import create_encoder
    from rspnet.method import optim
    from rspnet.method.draws import StepDraws
    from rspnet.running import launch
    from rspnet.running.state import RunState

    accelerator, encoder, state = launch.start(True, folder), create_encoder(name, width=4), RunState()
    model = tiny.rspnet(encoder, num_frames=FRAMES, queue_length=2 * VIDEOS * world_size)
    optimizer, _ = optim.recipe(model, options.Optim())
    model, optimizer = accelerator.prepare(model, optimizer)
    if world_size > 1:
        model.register_comm_hook(None, averaged)
    augment = Augment.to_feed(encoder.clip, **vars(options.Augment()))
    draws = StepDraws(0, VIDEOS * world_size, [2], bn_groups=world_size, world_size=world_size)
    for step in range(number):
        frames = (FRAMES, len(shown_frames(FRAMES, (1, 2))))
        clips = [torch.zeros(VIDEOS, length, SIZE, SIZE, 3, dtype=torch.uint8).pin_memory() for length in frames]
        seeds = torch.arange(2 * VIDEOS).view(VIDEOS, 2)
        query, key = augment.views({"clips": clips, "seeds": seeds}, accelerator.device)
        out = model(query, key, draws[step])
        accelerator.backward(out["loss"])
        optimizer.step()
        optimizer.zero_grad()
        state.add({name: out[name] for name in ("loss", "avid_top1")})
    assert next(model.parameters()).device.type == pretend.NAME


def averaged(_, bucket):
    """What comes of a bucket of gradients: the others have none to add."""
    done = torch.futures.Future()
    done.set_result(bucket.buffer())
    return done


def one_of_64(folder, videos):
    import torch.distributed as dist
    from torch.testing._internal.distributed.fake_pg import FakeStore

    os.environ.update(WORLD_SIZE="64", RANK="0", LOCAL_RANK="0", MASTER_ADDR="unused")
    torch.nn.parallel.distributed._verify_param_shape_across_processes = lambda *_: None  # the others say nothing
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=64)
    PartialState(cpu=True)  # else it looks for CUDA; the device is that of the environment all the same
    steps(folder, "c3d", world_size=64)


def faults(folder, videos):
    """What a GPU would fail at or wait for."""
    there, here = torch.zeros(3, device=pretend.NAME), torch.arange(3)
    with pytest.raises(RuntimeError, match="device"):
        there + here
    with pytest.raises(RuntimeError, match="nonzero"):
        there[there > 0]
    assert (there + torch.tensor(1.0)).device.type == pretend.NAME  # a number goes along with the launch
    with pytest.raises(AssertionError, match="nobody waits for"):
        there.to("cpu", non_blocking=True)
    there[here], here.to(there.device), there.sum().item(), bool(there.any()), there.cpu()
    torch.tensor([1.0], device=there.device)
    torch.empty(pretend.PAGEABLE + 1, dtype=torch.uint8).to(there.device, non_blocking=True)
    here.to(there.device, non_blocking=True)


JOBS = {
    "faults": (faults, "no"),
    "pretrain": (pretrain, "bf16"),
    "finetune": (finetune, "no"),
    "r2plus1d": (lambda folder, videos: steps(folder, "r2plus1d"), "no"),
    "s3dg": (lambda folder, videos: steps(folder, "s3dg"), "bf16"),
    "one of 64": (one_of_64, "bf16"),
}


def in_a_process(folder, videos):
    kept = pretend.begin()
    found = {}
    for name, (job, precision) in JOBS.items():
        AcceleratorState._reset_state(reset_partial_state=True)
        os.environ["ACCELERATE_MIXED_PRECISION"] = precision
        error = ""
        with pretend.pretending() as told:
            try:
                job(folder / name, videos)
            except Exception:
                error = traceback.format_exc()
        waits = [wait for wait in told.waits if not {*LOG_AND_CHECKPOINT, *OUTSIDE_STEPS} & set(wait.within)]
        waits = [f"{wait.where}: {wait.what}" for wait in waits]
        found[name] = {"error": error, "waits": waits, "launches": dict(told.launches)}
    del kept
    (folder / "found.json").write_text(json.dumps(found))


@pytest.fixture(scope="module")
def found(tmp_path_factory, motions):
    folder = tmp_path_factory.mktemp("pretend")
    assert run_alone(folder, in_a_process, folder, motions) == 0, (folder / "0.err").read_text()
    return json.loads((folder / "found.json").read_text())


def test_what_a_gpu_would_wait_for_is_told_with_its_line(found):
    assert not found["faults"]["error"]
    lines = [line.partition(": ")[0] for line in found["faults"]["waits"]]
    assert len(lines) == 7
    assert {line.partition(":")[0] for line in lines} == {"tests/stages/test_on_a_gpu.py"}
    assert len(set(lines)) == 3


@pytest.mark.parametrize("job", [name for name in JOBS if name != "faults"])
def test_the_host_waits_for_nothing_in_a_step(found, job):
    """Nor is a tensor on another device than it should be, nor a shape known only when others are computed."""
    assert not found[job]["error"], found[job]["error"]
    assert found[job]["waits"] == []
    assert found[job]["launches"]["convolution"] > 0
