"""How far a classifier gets on frozen features with a few labels: logistic regression on n videos of each class.

With 8 of each and the seed 42 it is what mteb's classification tasks measure (among them those of MVEB, its benchmark
of video embeddings): the same draws, and the same classifier.
"""

import warnings
from collections import Counter

import numpy as np
import numpy.typing as npt

DRAWS = 10
SEED = 42
_MAX_ITER = 100

Places = npt.NDArray[np.int64]


def draws(labels: npt.NDArray[np.int64], shots: int, *, number: int = DRAWS, seed: int = SEED) -> list[Places]:
    """Draw videos to learn from, as mteb 2 does: each draw shuffles the last one's order by the same permutation.

    Args:
        labels: (N,) of the videos.
        shots: Videos of each class; all of a class that has fewer.
        number: Of draws.
        seed: Of the permutation.

    Returns:
        For each draw the places of its videos.
    """
    order, found = list(range(len(labels))), []
    for _ in range(number):
        np.random.RandomState(seed).shuffle(order)
        taken: Counter[int] = Counter()
        places = []
        for place in order:
            if taken[labels[place]] < shots:
                taken[labels[place]] += 1
                places.append(place)
        found.append(np.array(places))
    return found


def few_shot_classes(
    train: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], test: npt.NDArray[np.float32], *, shots: int
) -> list[npt.NDArray[np.int64]]:
    """Return for each draw the class (M,) that is said of each test video.

    Features are taken as they are, and the solver stops after 100 iterations, as in mteb.

    Args:
        train: (N, D) features to draw from.
        labels: (N,) their class numbers, of at least two classes.
        test: (M, D).
        shots: As for `draws`.
    """
    from sklearn.exceptions import ConvergenceWarning  # takes a second
    from sklearn.linear_model import LogisticRegression

    found = []
    for places in draws(labels, shots):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)  # one video of each is meant
            model = LogisticRegression(max_iter=_MAX_ITER).fit(train[places], labels[places])
        found.append(model.predict(test))
    return found
