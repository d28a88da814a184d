"""Few-shot classification of frozen features: logistic regression on n labelled videos of each class.

With 8 videos of each class and the seed 42 the draws and the classifier are those of mteb's classification tasks, which
include MVEB, its benchmark of video embeddings.
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
    """Draw training videos as mteb 2 does: each draw applies the same permutation to the order of the previous draw.

    Args:
        labels: (N,) class numbers of the videos.
        shots: Videos of each class; all videos of a class that has fewer.
        number: Number of draws.
        seed: Seed of the permutation.

    Returns:
        For each draw the positions of its videos.
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
    """Return for each draw the predicted class (M,) of each test video.

    As in mteb, features are neither standardised nor normalised, and the solver stops after 100 iterations.

    Args:
        train: (N, D) features of the videos to draw from.
        labels: (N,) their class numbers, of at least two classes.
        test: (M, D) features of the test videos.
        shots: As for `draws`.
    """
    from sklearn.exceptions import ConvergenceWarning  # takes a second
    from sklearn.linear_model import LogisticRegression

    found = []
    for places in draws(labels, shots):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)  # one video of each: wanted
            model = LogisticRegression(max_iter=_MAX_ITER).fit(train[places], labels[places])
        found.append(model.predict(test))
    return found
