"""The augmentation drawn for a batch of clips, and its encoding as one table for an accelerator."""

from dataclasses import dataclass
from itertools import permutations

import torch

from rspnet.data.jitter import turns_of

# The operations that every clip of a batch goes through in the compiled graph, as places in JITTER. Every order of the
# four operations is a subsequence of it; where a clip does not need an operation, its factor is 1, which changes
# nothing. The most expensive ones come least often: hue once, contrast twice.
COURSE = (0, 2, 0, 1, 0, 2, 0, 3, 0, 2, 0, 1, 0, 2, 0)


@dataclass(frozen=True)
class Draws:
    """The augmentation drawn for each of N clips, on the CPU.

    Attributes:
        gray: (N,) bool, whether the clip is turned grey.
        factors: (N, 4) float32, columns as in ``JITTER``: three factors (1 changes nothing) and the hue's shift as a
            fraction of the colour circle (0 changes nothing).
        order: (N, 4) int64, the order of the operations, as places in ``JITTER``.
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
        """Return all draws as one float table for `Augment.together`: (N, len(COURSE) + 5).

        The columns are the factors at the places of `COURSE`, then 1 if the clip is turned grey, 1 if it is mirrored,
        and the three numbers of `rspnet.data.jitter.turns_of`.
        """
        places = _PLACES[tuple(self.order.unbind(1))]
        course = torch.ones(len(self), len(COURSE)).scatter_(1, places, self.factors.gather(1, self.order))
        marks = torch.stack([self.gray, self.flip], 1).float()
        return torch.cat([course, marks, turns_of(self.factors[:, 3:])], dim=1)


def _all_places() -> torch.Tensor:
    """Return (4, 4, 4, 4, 4): for each order of the operations (first four axes), their places in `COURSE`."""
    found = torch.zeros(4, 4, 4, 4, 4, dtype=torch.long)
    for order in permutations(range(4)):
        place = -1
        for number, operation in enumerate(order):
            place = COURSE.index(operation, place + 1)
            found[order][number] = place
    return found


_PLACES = _all_places()
