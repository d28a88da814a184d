"""Whether features fall into the classes by themselves: k-means, as mteb's clustering tasks measure it."""

import random
import warnings

import numpy as np
import numpy.typing as npt

DRAWS = 10
SEED = 42
_SIZE = 16_384  # videos in a draw, with replacement
_BATCH = 512


def v_measures(
    features: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], *, size: int = _SIZE
) -> tuple[list[float], list[float]]:
    """Cluster draws of the videos into as many clusters as there are classes, and compare with these.

    With the default size it is what mteb 2 computes with the seed 42, MVEB's: the same draws, and the same clusters.

    Args:
        features: (N, D).
        labels: (N,) class numbers.
        size: Videos of a draw, with replacement.

    Returns:
        The v-measure of each draw (Rosenberg and Hirschberg 2007), percent; and what it would be if the classes of the
        videos were dealt out at random, with which many clusters of few videos get points, too.
    """
    from sklearn.cluster import MiniBatchKMeans  # takes a second
    from sklearn.metrics.cluster import v_measure_score

    draw, deal = random.Random(SEED), np.random.default_rng(SEED)
    model = MiniBatchKMeans(len(np.unique(labels)), batch_size=_BATCH, init="k-means++", n_init=1, random_state=SEED)
    found, chance = [], []
    for _ in range(DRAWS):
        places = np.array(draw.choices(range(len(features)), k=size))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # features that are all the same have fewer clusters
            clusters = model.fit_predict(features[places])
        dealt = deal.permutation(labels)
        found.append(100 * float(v_measure_score(labels[places], clusters)))
        chance.append(100 * float(v_measure_score(dealt[places], clusters)))
    return found, chance
