"""Whether clusters of features match the classes, without training on them: k-means, as in mteb's clustering tasks."""

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
    """Cluster draws of the videos into as many clusters as there are classes, and compare them with the classes.

    With the default size this gives the same draws and clusters as mteb 2 with its seed 42, which MVEB uses.

    Args:
        features: (N, D).
        labels: (N,) class numbers.
        size: Videos of a draw, with replacement.

    Returns:
        The v-measure of each draw in percent (Rosenberg and Hirschberg 2007), and the v-measure by chance: with the
        classes permuted among the videos. It is well above 0 for many clusters of few videos.
    """
    from sklearn.cluster import MiniBatchKMeans  # takes a second
    from sklearn.metrics.cluster import v_measure_score

    draw, deal = random.Random(SEED), np.random.default_rng(SEED)
    model = MiniBatchKMeans(len(np.unique(labels)), batch_size=_BATCH, init="k-means++", n_init=1, random_state=SEED)
    found, chance = [], []
    for _ in range(DRAWS):
        places = np.array(draw.choices(range(len(features)), k=size))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # identical features give fewer clusters
            clusters = model.fit_predict(features[places])
        dealt = deal.permutation(labels)
        found.append(100 * float(v_measure_score(labels[places], clusters)))
        chance.append(100 * float(v_measure_score(dealt[places], clusters)))
    return found, chance
