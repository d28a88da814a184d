"""What happens beside a training leaves random numbers and modes as they were."""

import random
from contextlib import suppress

import numpy as np
import torch
from torch import nn

from rspnet.running.undisturbed import undisturbed


def drawn():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_random_numbers_go_on_as_if_nothing_had_been():
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = drawn()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    with suppress(OSError), undisturbed():
        drawn()
        torch.manual_seed(9)
        raise OSError
    assert drawn() == expected


def test_every_part_has_its_mode_again():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Sequential(nn.Dropout()))
    model[0].eval()
    with undisturbed(model):
        model.eval()
        model[1].train()
    assert [part.training for part in model.modules()] == [True, False, True, True]
