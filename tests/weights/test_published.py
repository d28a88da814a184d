"""A run in the published code's terms: names and order as recorded, the schedule where torch's own would be."""

from types import SimpleNamespace

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, MultiStepLR

from rspnet.encoders import create_encoder
from rspnet.method import optim
from rspnet.method.classifier import Classifier
from rspnet.weights import published
from tests.support import tiny
from tests.support.exact import assert_same
from tests.support.published_files import KINDS, PUBLISHED, laid_out, read_layout

OPTIM = {
    "epochs": 30,
    "total_batch": 128,
    "lr": 0.1,
    "lr_batch": 64,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "decay": 0.1,
}


@pytest.mark.parametrize("epoch", [1, 7, 30])
@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("cosine", {"milestones": []}),
        ("multi_step", {"milestones": [5, 20]}),
        ("multi_step", {"milestones": [5, 20], "decay": 0.3}),
    ],
)
def test_schedule_is_where_torch_would_be(kind, more, epoch):
    """As many steps of the scheduler as epochs, by the published settings or with another factor."""
    sgd = torch.optim.SGD([torch.zeros(1)], lr=0.2, momentum=0.9, dampening=0.0, weight_decay=1e-4)
    cosine = kind == "cosine"
    gamma = more.get("decay", 0.1)
    stepped = CosineAnnealingLR(sgd, 30, eta_min=0.2 / 1000) if cosine else MultiStepLR(sgd, more["milestones"], gamma)
    for _ in range(epoch):
        sgd.step()
        stepped.step()
    group, state = published._schedule({**OPTIM, "schedule": kind, **more}, epoch)
    (theirs,), expected = sgd.state_dict()["param_groups"], stepped.state_dict()
    assert (group["lr"], state["_last_lr"]) == (pytest.approx(theirs["lr"]), pytest.approx(expected["_last_lr"]))
    if cosine:
        assert state["eta_min"] == pytest.approx(expected["eta_min"])
        state["eta_min"] = expected["eta_min"]
    # Apart from rounding in the rate: the same, types and order included.
    assert_same(group | {"lr": 0.0}, theirs | {"lr": 0.0})
    assert_same(state | {"_last_lr": []}, expected | {"_last_lr": []})


@pytest.mark.parametrize("kind", KINDS)
def test_schedule_has_the_recorded_form(shared, kind):
    recorded = laid_out(read_layout(shared, "c3d", kind), lambda key, shape, dtype: torch.zeros(()))
    (group,), scheduler = recorded["optimizer"]["param_groups"], recorded["scheduler"]
    (lr,) = scheduler["base_lrs"]
    settings = {"lr": lr, "lr_batch": None, "epochs": scheduler["T_max"], "schedule": "cosine", "milestones": []}
    ours, state = published._schedule(OPTIM | settings, recorded["epoch"])
    assert ours["lr"] == pytest.approx(group["lr"], rel=1e-12)
    assert_same(ours | {"lr": 0.0, "params": []}, group | {"lr": 0.0, "params": []})
    assert state["eta_min"] == pytest.approx(scheduler["eta_min"], rel=1e-12)
    rounded = {"_last_lr": [], "eta_min": 0.0}
    assert_same(state | rounded, scheduler | rounded)


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("kind", KINDS)
def test_entries_and_parameters_are_as_recorded(shared, name, kind):
    """Of a whole network of ours (without memory): every key, shape, type and number of the published file."""
    layout, file = read_layout(shared, name, kind), SimpleNamespace(arch=name, path="run")
    with torch.device("meta"):
        if kind.startswith("pretrain"):
            module, trained = tiny.rspnet(create_encoder(name)), "query_encoder."
            names = published._pretraining_names(file)
        else:
            module, names, trained = Classifier(create_encoder(name), 101), published._classifier_names(file), ""
    state = module.state_dict()
    model = published._model(file, state, names)
    rows = [[key, list(value.shape), str(value.dtype).removeprefix("torch.")] for key, value in model.items()]
    assert rows == layout["state_dict"]
    assert [key for key in model if published._is_parameter(key)] == layout["optimizer_param_names"]

    saved = optim.sgd(module, 0.1, momentum=0.9, weight_decay=1e-4).state_dict()
    ours = [key for key in state if published._is_parameter(key) and key.startswith(trained)]
    saved["state"] = {number: {"momentum_buffer": key} for number, key in enumerate(ours)}
    optimizer = published._optimizer(saved, ours, names, group={})
    recorded = layout["toplevel"]["optimizer"]
    assert list(optimizer["state"]) == recorded["state"]["keys"]
    for number, entry in optimizer["state"].items():
        assert names[layout["optimizer_param_names"][number]] == entry["momentum_buffer"]
    assert len(optimizer["param_groups"][0]["params"]) == recorded["param_groups"]["items"][0]["items"]["params"]["len"]
