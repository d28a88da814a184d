"""The training run of a toy network, in the same loop as a stage's."""

import json
import os
import signal
from types import SimpleNamespace

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from rspnet.data.batches import TrainBatches
from rspnet.method.optim import Schedule
from rspnet.running.folder import Run as RunUnderWay
from rspnet.running.loop import TrainLoop
from rspnet.running.team import Team

VIDEOS, BATCH, EPOCHS = 13, 4, 3  # 3 steps an epoch; one video is left out of each


class Accelerator:
    """The part of accelerate's class that the loop uses, for one process or for one of several that all do the same."""

    device = torch.device("cpu")
    scaler = None
    log_with = ()
    process_index = 0

    def __init__(self, num_processes=1, others_failed=0):
        self.num_processes = num_processes
        self.others_failed = others_failed

    def unwrap_model(self, model, keep_torch_compile):
        return model

    def wait_for_everyone(self):
        pass

    def log(self, values, step):
        pass

    def gather(self, row):
        return row.repeat(self.num_processes, 1)

    def reduce(self, tensor, how):
        return tensor + self.others_failed if how == "sum" else tensor


class Others(Team):
    """A team whose main process reads `newest`, and in which another process is asked to stop in step `asked_at`."""

    def __init__(self, asked_at=None, newest=None):
        super().__init__()
        self.asked_at = asked_at
        self.newest = newest
        self.steps = 0

    def by_main(self, work):
        return self.newest

    def anyone(self, mine):
        return mine or self.steps == self.asked_at

    def check(self, mine):
        assert mine is None
        self.steps += 1  # the step that begins now


class Toy(Dataset):
    def __getitem__(self, request):
        epoch, place, row, _ = request
        values = torch.Generator().manual_seed(1000 * epoch + place)
        return {"x": torch.randn(5, generator=values), "failed": row if row < 4 else -1}


def toy_batches(sampler):
    return DataLoader(Toy(), batch_sampler=sampler)


class Failures:
    count = 0


class Slowest:
    def take(self):
        return {}


class ToySet:
    """Stands in for `rspnet.data.sets.TrainSet`."""

    clips_per_step = BATCH
    pids = ()

    def __init__(self, loader=None):
        self.sampler = TrainBatches(VIDEOS, BATCH, seed=3)
        self.loader = loader(self.sampler) if loader else toy_batches(self.sampler)
        self.failures = Failures()
        self.slowest = Slowest()

    def __len__(self):
        return len(self.sampler)

    def epoch(self, epoch, start):
        self.sampler.seek(epoch, start)
        for batch in self.loader:
            self.failures.count += int((batch["failed"] >= 0).sum())
            yield batch

    def close(self):
        self.closed = True


class Run:
    """A run that can be started again and again in one folder."""

    def __init__(self, folder, accelerator=None, team=None, top1=None, loss_at=None, at=None, loader=None, **settings):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.accelerator = accelerator or Accelerator()
        self.team = team or Team()
        self.top1 = top1  # of each epoch
        self.loss_at = loss_at or {}  # step -> a loss to report instead
        self.at = at or {}  # step -> what happens within it
        self.loader = loader
        self.place = None
        self.often = SimpleNamespace(**{"log_every": 2, "checkpoint_every": 100, "keep_epochs": 100} | settings)

    def __call__(self):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9)
        self.model.chance = {} if self.top1 is None else {"val_top1": 50.0}
        run = RunUnderWay(self.accelerator, self.team, {}, self.folder, {}, self.place)
        schedule = Schedule("multi_step", 0.1, EPOCHS, [1, 2])
        parts = {"schedule": schedule, "train_set": ToySet(self.loader), "often": self.often}
        self.loop = TrainLoop(run, self.model, self.optimizer, **parts)
        with self.loop as loop:
            for epoch in loop.epochs():
                for step, batch in loop.batches():
                    assert step == loop.state.step
                    self.at.get(step + 1, lambda: None)()
                    loss = self.model(batch["x"]).square().sum(1).sub(1).abs().mean()
                    loss.backward()
                    self.optimizer.step()
                    self.optimizer.zero_grad()
                    loss = torch.tensor(self.loss_at.get(loop.state.step + 1, loss.item()))
                    loop.step({"loss": loss, "double": 2 * loss})
                loop.end_epoch(None if self.top1 is None else {"top1": self.top1[epoch]})
        return self

    def log(self):
        lines = [json.loads(line) for line in (self.folder / "metrics.jsonl").read_text().splitlines()]
        times = ("data_time", "step_time", "clips_per_second", "seconds_left")
        return [{key: value for key, value in line.items() if key not in times} for line in lines]

    def steps(self):
        return sorted(int(path.name[5:]) for path in (self.folder / "checkpoints").glob("step_*"))

    def result(self):
        state = self.loop.state.state_dict()
        state.pop("seconds")
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "run": state}


def same(one, two):
    """Whether two nested states are equal to the bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == two.dtype and torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(value, two[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two


def ask(number=signal.SIGINT):
    return lambda: os.kill(os.getpid(), number)
