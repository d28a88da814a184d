"""Numbers that say how good a network or its features are; all percentages are 0-100.

Q queries, M gallery entries, D values per feature, K neighbours. Of equal scores the lower class number, or the earlier
gallery entry, always ranks first (a stable descending sort), so a result depends neither on the device nor on how the
work was cut up. Importing this module takes seconds (the evaluate package): stages import it late.
"""

import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import datasets
import evaluate
import numpy as np
import torch
from torch.nn import functional

# Similarities held at once, 32 MiB in float64.
_CHUNK = 1 << 22


def top_classes(logits: torch.Tensor, k: int = 5) -> torch.Tensor:
    """Rank the classes of each sample, best first, as ``TopK`` takes them; of equal logits the lower class is better.

    Args:
        logits: (N, classes).
        k: How many to keep; all where there are fewer classes.

    Returns:
        (N, min(k, classes)) int64 class numbers.

    Raises:
        ValueError: a logit is NaN, so there is no ranking.
    """
    if logits.isnan().any():
        raise ValueError("logits hold NaN: the network has diverged, or its weights or input are damaged")
    return _largest(logits, min(k, logits.shape[1]))[1]


class TopK(evaluate.Metric):
    """Top-1 and top-5 accuracy, kept as a handful of class numbers per sample; needs no network and no cache folder.

    ``add_batch(predictions=top_classes(logits), references=labels)`` per batch, then ``compute()`` gives
    {"top1", "top5"} in percent. With fewer than five classes top5 looks at all of them. A sample counts as right by
    the place of its class in the ranking, so of tied classes ``top_classes`` has decided. To be fed by one process,
    with what was gathered from all: each sample once.
    """

    def __init__(self):
        # The folder is made but stays empty; the default one lies in the home folder, which may be read-only.
        super().__init__(keep_in_memory=True, cache_dir=str(Path(tempfile.gettempdir()) / "rspnet"))

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Top-1 and top-5 accuracy in percent.",
            citation="",
            inputs_description="predictions: class numbers, best first, for each sample; references: the right class.",
            features=datasets.Features(
                {"predictions": datasets.Sequence(datasets.Value("int64")), "references": datasets.Value("int64")}
            ),
        )

    def compute(self, *, predictions=None, references=None, **kwargs) -> dict[str, float]:
        """Return {"top1", "top5"} in percent over all that was added, and start afresh.

        Raises:
            ValueError: nothing was added.
        """
        if predictions is None and len(self) == 0:
            raise ValueError("no accuracy can be computed: no predictions were added")
        return super().compute(predictions=predictions, references=references, **kwargs)

    def _compute(self, predictions: Sequence, references: Sequence) -> dict[str, float]:
        hits = np.asarray(predictions) == np.asarray(references)[:, None]
        return {f"top{k}": 100 * float(hits[:, :k].any(axis=1).mean()) for k in (1, 5)}


def neighbours(
    query: torch.Tensor, gallery: torch.Tensor, k: int, exclude_self: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the k gallery entries of largest cosine similarity to each query.

    Computed in float64 and rounded to float32 before ranking, so that equal entries are equal wherever they lie in the
    gallery, and the ranking is the same on every device. Of equal similarities the earlier entry is nearer. A feature
    of nothing but zeros has similarity 0 to all.

    Args:
        query: (Q, D) features of any length.
        gallery: (M, D) features.
        k: How many; all where the gallery holds fewer.
        exclude_self: The gallery is the query set itself, and no entry is its own neighbour.

    Returns:
        Gallery places (Q, K) int64, nearest first, and their similarities (Q, K) float32.

    Raises:
        ValueError: a feature is not finite, the shapes do not match, or there is nothing to find.
    """
    if query.ndim != 2 or gallery.ndim != 2 or query.shape[1] != gallery.shape[1]:
        raise ValueError(f"features must be (Q, D) and (M, D), not {tuple(query.shape)} and {tuple(gallery.shape)}")
    if exclude_self and len(query) != len(gallery):
        raise ValueError(
            f"exclude_self needs the gallery to be the queries: {len(gallery)} entries, {len(query)} queries"
        )
    k = min(k, len(gallery) - exclude_self)
    if k < 1:
        raise ValueError(f"no neighbour can be found among {len(gallery)} gallery entries")
    query, gallery = (_unit(features) for features in (query, gallery))
    places = torch.empty((len(query), k), dtype=torch.int64, device=query.device)
    similarities = torch.empty((len(query), k), dtype=torch.float32, device=query.device)
    for part in _parts(len(query), max(1, _CHUNK // len(gallery))):
        scores = (query[part] @ gallery.T).float()
        if exclude_self:
            scores.diagonal(offset=part.start).fill_(-torch.inf)
        similarities[part], places[part] = _largest(scores, k)
    return places, similarities


def retrieval(
    query_features: torch.Tensor,
    query_labels: torch.Tensor,
    gallery_features: torch.Tensor,
    gallery_labels: torch.Tensor,
    ks: Sequence[int] = (1, 5, 10, 20, 50),
) -> dict[int, float]:
    """Return the recall at each k: how many queries have one of their own class among their k nearest (cosine).

    The published protocol: test videos as queries, training videos as gallery. Where the gallery holds fewer than k
    entries, all of them count. Of entries that tie for the last place the earlier ones are among the k.

    Args:
        query_features: (Q, D).
        query_labels: (Q,) class numbers.
        gallery_features: (M, D).
        gallery_labels: (M,) class numbers.
        ks: Numbers of neighbours.

    Returns:
        {k: percent of the queries}.
    """
    places, _ = neighbours(query_features, gallery_features, max(ks))
    hits = gallery_labels.to(places.device)[places] == query_labels.to(places.device)[:, None]
    return {k: _percent(hits[:, :k].any(dim=1)) for k in ks}


def knn(
    query_features: torch.Tensor,
    gallery_features: torch.Tensor,
    gallery_labels: torch.Tensor,
    num_classes: int,
    k: int = 20,
    temperature: float = 0.07,
) -> torch.Tensor:
    """Classify by a weighted vote of the k nearest gallery entries.

    Each neighbour gives its class exp(similarity / temperature): Wu et al., "Unsupervised Feature Learning via
    Non-Parametric Instance Discrimination", 2018, section 3.4, with its temperature. They take 200 neighbours from
    ImageNet's 1300 per class; 20 suits data sets of about a hundred videos per class. Of entries that tie for the last
    place the earlier ones vote.

    Returns:
        (Q, num_classes) float32 logits: the logarithm of each class's share of the vote, so that their softmax is the
        shares; -inf for a class that has no vote.
    """
    places, similarities = neighbours(query_features, gallery_features, k)
    votes = ((similarities - similarities[:, :1]).double() / temperature).exp()
    scores = torch.zeros((len(places), num_classes), dtype=torch.float64, device=places.device)
    scores.scatter_add_(1, gallery_labels.to(places.device)[places], votes)
    return (scores / scores.sum(dim=1, keepdim=True)).log().float()


def linear_probe(
    train_features: torch.Tensor,
    train_labels: torch.Tensor,
    test_features: torch.Tensor,
    num_classes: int,
    l2: float | None = None,
) -> torch.Tensor:
    """Classify by multinomial logistic regression on frozen features, solved to convergence.

    Features are standardised by the training set's mean and deviation, so that one penalty suits networks of any
    feature scale. Minimises mean cross-entropy + l2 / 2 * |weights|^2 (biases are free) by L-BFGS over the whole set
    in float64: convex, no draws, no step size.

    Args:
        train_features: (N, D).
        train_labels: (N,) class numbers.
        test_features: (M, D).
        num_classes: Number of classes.
        l2: The penalty. None takes D / N: the most probable weights if each is thought to be normal with variance
            1 / D beforehand, so that a typical clip's logits have unit variance. Nothing to tune on the test set.

    Returns:
        (M, num_classes) float32 logits of the test features.

    Raises:
        ValueError: the penalty is not positive (separable features would have no solution), or a feature is not finite.
    """
    if l2 is None:
        l2 = train_features.shape[1] / len(train_features)
    if l2 <= 0:
        raise ValueError(f"the probe's l2 penalty must be positive, not {l2}")
    train, test = _finite(train_features).double(), _finite(test_features).double()
    mean, std = train.mean(dim=0), train.std(dim=0, correction=0)
    std = torch.where(std > 0, std, 1)
    train, test = (train - mean) / std, (test - mean) / std
    labels = train_labels.to(train.device)
    weight = train.new_zeros((num_classes, train.shape[1])).requires_grad_()
    bias = train.new_zeros(num_classes).requires_grad_()
    solver = torch.optim.LBFGS(
        [weight, bias],
        max_iter=2000,
        history_size=20,
        tolerance_grad=1e-7,
        tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )

    def objective() -> torch.Tensor:
        solver.zero_grad()
        loss = functional.cross_entropy(functional.linear(train, weight, bias), labels)
        loss = loss + l2 / 2 * weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        solver.step(objective)
        objective()
    slope = max(float(weight.grad.abs().max()), float(bias.grad.abs().max()))
    if slope > 1e-5:
        warnings.warn(f"the linear probe did not converge: its largest slope is still {slope:.1e}", stacklevel=2)
    return functional.linear(test, weight.detach(), bias.detach()).float()


def chance_recall(
    query_labels: torch.Tensor, gallery_labels: torch.Tensor, ks: Sequence[int] = (1, 5, 10, 20, 50)
) -> dict[int, float]:
    """Return the recall at each k that a random ranking of the gallery has on average.

    A query whose class holds n of the M entries misses with probability C(M - n, k) / C(M, k), which is the product of
    (M - n - i) / (M - i) over i < k.

    Returns:
        {k: percent}; at k = 1 also the accuracy of naming the class of a random gallery entry.
    """
    size = len(gallery_labels)
    labels = int(max(query_labels.max(), gallery_labels.max())) + 1
    same = torch.bincount(gallery_labels, minlength=labels)[query_labels].double()
    drawn = torch.arange(min(max(ks), size), device=same.device)
    misses = ((size - same[:, None] - drawn).clamp(min=0) / (size - drawn)).cumprod(dim=1).mean(dim=0)
    return {k: 100 * (1 - float(misses[min(k, size) - 1])) for k in ks}


def chance_top(num_classes: int) -> dict[str, float]:
    """Return the top-1 and top-5 accuracy, in percent, of guessing among the classes at random."""
    return {f"top{k}": 100 * min(k, num_classes) / num_classes for k in (1, 5)}


def _largest(scores: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Like ``scores.topk(k)``, which leaves open which of equal scores it takes, in what order: the earlier first."""
    values, places = scores.topk(k)
    places, order = places.sort(dim=1)
    values, order = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    places = places.gather(1, order)
    # Rows where more than one choice has the same values: some equal to the last taken were left behind.
    unsure = (scores >= values[:, -1:]).sum(dim=1) > k
    if unsure.any():
        tied_values, tied_places = scores[unsure].sort(dim=1, descending=True, stable=True)
        values[unsure], places[unsure] = tied_values[:, :k], tied_places[:, :k]
    return values, places


def _unit(features: torch.Tensor) -> torch.Tensor:
    return functional.normalize(_finite(features).double(), dim=1, eps=1e-300)  # below any length that float32 can have


def _finite(features: torch.Tensor) -> torch.Tensor:
    if not features.isfinite().all():
        raise ValueError("features hold NaN or infinity: the network has diverged, or its weights or input are damaged")
    return features


def _parts(total: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, total)) for start in range(0, total, size))


def _percent(hits: torch.Tensor) -> float:
    return 100 * int(hits.sum()) / len(hits)
