"""Windows through a network: full batches, each clip once, whatever shares its batch."""

import random

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from rspnet import create_encoder
from rspnet.data.parts import Span
from rspnet.evaluation.forward import Forward, windows
from rspnet.evaluation.predict import ViewFeatures
from rspnet.running.team import Team


class Sums(nn.Module):
    """Sum and largest pixel of each clip; notes how many it is given."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def forward(self, views):
        self.sizes.append(tuple(views.shape[:2]))
        pixels = views.flatten(2)
        return torch.stack([pixels.sum(2), pixels.amax(2)], dim=2).mean(1)


@pytest.fixture(scope="module")
def accelerator():
    return Accelerator(cpu=True)


def forward(network, accelerator):
    return Forward(network, lambda clips: clips.permute(0, 4, 1, 2, 3).float(), accelerator=accelerator, team=Team())


def part(row, first, clips, number, *, total, status="ok"):
    spans = [Span(None, None, place, place + 1) for place in range(first, first + number)]
    return {
        "clips": [clips],
        "row": row,
        "lane": 0,
        "first": first,
        "spans": spans,
        "size": number,
        "total": total,
        "status": status,
        "reason": "" if status == "ok" else f"row {row} broke",
    }


@pytest.mark.parametrize("seed", range(20))
def test_every_window_has_the_mean_of_its_clips(seed, accelerator):
    rng, torch_rng = random.Random(seed), torch.Generator().manual_seed(seed)
    expected, parts = [], []
    for row in range(rng.randint(1, 6)):
        views, first, length = rng.randint(1, 3), 0, rng.randint(0, 9)
        breaks = rng.random() < 0.3 or not length
        while first < length or breaks:
            number = min(rng.randint(1, 4), length - first)
            clips = torch.randint(0, 256, (number * views, 2, 3, 3, 3), dtype=torch.uint8, generator=torch_rng)
            last = first + number == length
            status = "broken" if breaks and last else "ok"
            parts.append(part(row, first, clips, number, total=length, status=status))
            for place in range(number):
                own = clips[place * views : (place + 1) * views].flatten(1).float()
                expected.append((row, first + place, "ok", [own.sum(1).mean().item(), own.amax(1).mean().item()]))
            first += number
            if status != "ok":
                expected.append((row, length, "broken", []))
                break
    network, size = Sums(), rng.randint(1, 7)
    found = list(windows(forward(network, accelerator), parts, size))
    ours = [(each.row, each.number, each.status, each.value.tolist()) for each in found]
    assert [each[:3] for each in ours] == [each[:3] for each in expected]
    assert all(one[3] == pytest.approx(two[3], rel=1e-5) for one, two in zip(ours, expected))
    assert all((each.span is None) == (each.status != "ok") == bool(each.reason) for each in found)
    clips = sum(len(each["clips"][0]) for each in parts)
    assert network.sizes == [(size, 1)] * -(-clips // size)


@pytest.mark.parametrize("name", ["c3d", "resnet18", "r2plus1d", "s3dg"])
def test_a_feature_hangs_on_no_other_clip(name, accelerator):
    torch.manual_seed(0)
    run = forward(ViewFeatures(create_encoder(name, width=8)), accelerator)
    side = 64 if name != "c3d" else 48
    clips = torch.randint(0, 256, (8, 16, side, side, 3), dtype=torch.uint8)
    together = run([clips], 8)
    for order in ([6, 0, 7, 3, 1, 2, 5, 4], [3], [2, 4]):
        assert torch.equal(run([clips[order]], 8), together[order])
