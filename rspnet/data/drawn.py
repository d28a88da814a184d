"""What was drawn for the colours of clips, and how an accelerator is told of it."""

from dataclasses import dataclass
from itertools import permutations

import torch

from rspnet.data.jitter import turns_of

# What every clip of a batch goes through where that is one graph, as places in JITTER: each order of the four is a part
# of it, read from left to right, and an operation that a clip does not need at a place changes nothing there (its
# factor is 1). What costs most stands in it least: the hue once, the contrast twice.
COURSE = (0, 2, 0, 1, 0, 2, 0, 3, 0, 2, 0, 1, 0, 2, 0)


@dataclass(frozen=True)
class Draws:
    """What was drawn for each of N clips, on the CPU.

    Attributes:
        gray: (N,) bool, whether the clip turns grey.
        factors: (N, 4) float32, columns as ``JITTER``: three factors (1 changes nothing) and the hue's shift in turns
            of the colour circle (0 changes nothing).
        order: (N, 4) int64, which operation comes first, second, third and last, as places in ``JITTER``.
        flip: (N,) bool, whether the clip is mirrored left to right.
    """

    gray: torch.Tensor
    factors: torch.Tensor
    order: torch.Tensor
    flip: torch.Tensor

    def __len__(self) -> int:
        return len(self.flip)

    def __getitem__(self, rows: slice) -> "Draws":
        return Draws(self.gray[rows], self.factors[rows], self.order[rows], self.flip[rows])

    def table(self) -> torch.Tensor:
        """All that one graph needs to know, in one piece: a row per clip, columns as `COURSE`, and five more.

        Those are 1 for a clip that turns grey, 1 for one that is mirrored, and three of `rspnet.data.jitter.turns_of`.
        """
        places = _PLACES[tuple(self.order.unbind(1))]
        course = torch.ones(len(self), len(COURSE)).scatter_(1, places, self.factors.gather(1, self.order))
        marks = torch.stack([self.gray, self.flip], 1).float()
        return torch.cat([course, marks, turns_of(self.factors[:, 3:])], dim=1)


def _all_places() -> torch.Tensor:
    """(4, 4, 4, 4, 4): where in `COURSE` the operations of each order come first."""
    found = torch.zeros(4, 4, 4, 4, 4, dtype=torch.long)
    for order in permutations(range(4)):
        place = -1
        for number, operation in enumerate(order):
            place = COURSE.index(operation, place + 1)
            found[order][number] = place
    return found


_PLACES = _all_places()
