"""Nearest neighbours of features: retrieval and a kNN classifier; all percentages are 0-100.

Q queries, M gallery entries, D values per feature, K neighbours. Of equal similarities the earlier gallery entry always
ranks first (a stable descending sort), so a result depends neither on the device nor on how the work is divided.
"""

from collections.abc import Iterator, Sequence

import torch
from torch.nn import functional

# Similarities held at once, 32 MiB in float64.
_CHUNK = 1 << 22


def neighbours(
    query: torch.Tensor,
    gallery: torch.Tensor,
    k: int,
    *,
    exclude_self: bool = False,
    groups: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the k gallery entries of largest cosine similarity to each query.

    Computed in float64 and rounded to float32 before ranking, so that equal entries have equal similarities wherever
    they are in the gallery, and the ranking is the same on every device. Of equal similarities the earlier entry comes
    first. A feature of zeros has similarity 0 to all.

    Args:
        query: (Q, D) features of any length.
        gallery: (M, D) features.
        k: Number of neighbours; all entries if the gallery has fewer.
        exclude_self: The gallery is the query set itself, and no entry is its own neighbour.
        groups: (Q,) numbers, for a gallery that is the query set: no entry of a query's own group is its neighbour.

    Returns:
        Positions in the gallery (Q, K) int64, nearest first, and their similarities (Q, K) float32, which are -inf for
        excluded entries that fill up the K if there are not enough others.

    Raises:
        ValueError: A feature is not finite, the shapes do not match, or the gallery has no entry besides the query.
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
        if groups is not None:
            scores.masked_fill_(groups[part, None] == groups, -torch.inf)
        similarities[part], places[part] = largest(scores, k)
    return places, similarities


def recall(
    query_features: torch.Tensor,
    query_labels: torch.Tensor,
    *,
    gallery_features: torch.Tensor,
    gallery_labels: torch.Tensor,
    ks: Sequence[int] = (1, 5, 10, 20, 50),
) -> dict[int, float]:
    """Return the recall at each k: the share of queries with an entry of their class among the k nearest (cosine).

    In the published protocol test videos are the queries and training videos the gallery. If the gallery has fewer than
    k entries, all of them count. Of entries that tie for the last place the earlier ones are among the k.

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
    found = hits(places, query_labels, gallery_labels=gallery_labels, ks=ks)
    return {k: percent_of(each) for k, each in found.items()}


def hits(
    places: torch.Tensor, query_labels: torch.Tensor, *, gallery_labels: torch.Tensor, ks: Sequence[int]
) -> dict[int, torch.Tensor]:
    """Return for each k which queries (Q,) have an entry of their own class among the first k of `places` (Q, K)."""
    same = gallery_labels.to(places.device)[places] == query_labels.to(places.device)[:, None]
    return {k: same[:, :k].any(dim=1) for k in ks}


def knn_votes(
    query_features: torch.Tensor,
    gallery_features: torch.Tensor,
    gallery_labels: torch.Tensor,
    *,
    num_classes: int,
    k: int = 20,
    temperature: float = 0.07,
) -> torch.Tensor:
    """Classify by a weighted vote of the k nearest gallery entries.

    Each neighbour votes for its class with weight exp(similarity / temperature): Wu et al., "Unsupervised Feature
    Learning via Non-Parametric Instance Discrimination", 2018, section 3.4, with its temperature. They take 200
    neighbours from ImageNet's 1300 per class; 20 suits data sets of about a hundred videos per class. Of entries that
    tie for the last place the earlier ones vote.

    Returns:
        (Q, num_classes) float32 logits: the logarithm of each class's share of the votes, so that their softmax gives
        the shares; -inf for a class without votes.
    """
    places, similarities = neighbours(query_features, gallery_features, k)
    votes = ((similarities - similarities[:, :1]).double() / temperature).exp()
    scores = torch.zeros((len(places), num_classes), dtype=torch.float64, device=places.device)
    scores.scatter_add_(1, gallery_labels.to(places.device)[places], votes)
    return (scores / scores.sum(dim=1, keepdim=True)).log().float()


def chance_recall(
    query_labels: torch.Tensor,
    gallery_labels: torch.Tensor,
    ks: Sequence[int] = (1, 5, 10, 20, 50),
    *,
    groups: torch.Tensor | None = None,
) -> dict[int, float]:
    """Return the expected recall at each k of a random ranking of the gallery.

    A query whose class holds n of the M entries misses with probability C(M - n, k) / C(M, k), which is the product of
    (M - n - i) / (M - i) over i < k.

    Args:
        query_labels: (Q,) class numbers.
        gallery_labels: (M,) class numbers.
        ks: Numbers of neighbours.
        groups: (Q,) numbers, for a gallery that is the query set: it lacks each query's own group.

    Returns:
        {k: percent}; the one at k = 1 is also the accuracy of predicting the class of a random gallery entry.
    """
    labels = int(max(query_labels.max(), gallery_labels.max())) + 1
    sizes = torch.full((len(query_labels), 1), float(len(gallery_labels)), dtype=torch.float64)
    same = torch.bincount(gallery_labels, minlength=labels)[query_labels].double()[:, None]
    if groups is not None:
        alike = groups * labels + query_labels
        sizes -= torch.bincount(groups)[groups][:, None]
        same -= torch.bincount(alike)[alike][:, None]
    drawn = torch.arange(min(max(ks), len(gallery_labels)))
    shares = (sizes - same - drawn).clamp(min=0) / (sizes - drawn).clamp(min=1)
    misses = shares.where(drawn < sizes, 1.0).cumprod(dim=1).mean(dim=0)
    return {k: 100 * (1 - float(misses[min(k, len(drawn)) - 1])) for k in ks}


def largest(scores: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the k largest scores of each row: like ``scores.topk(k)``, but equal scores keep their order.

    Returns:
        The scores, largest first, and their positions, both (N, k).
    """
    values, places = scores.topk(k)
    places, order = places.sort(dim=1)
    values, order = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    places = places.gather(1, order)
    # Rows where the choice was ambiguous: some scores equal to the last one taken were left out.
    unsure = (scores >= values[:, -1:]).sum(dim=1) > k
    if unsure.any():
        tied_values, tied_places = scores[unsure].sort(dim=1, descending=True, stable=True)
        values[unsure], places[unsure] = tied_values[:, :k], tied_places[:, :k]
    return values, places


def finite(features: torch.Tensor) -> torch.Tensor:
    """Return the features if they are finite.

    Raises:
        ValueError: One is NaN or infinite.
    """
    if not features.isfinite().all():
        raise ValueError("features hold NaN or infinity: the network has diverged, or its weights or input are damaged")
    return features


def _unit(features: torch.Tensor) -> torch.Tensor:
    return functional.normalize(finite(features).double(), dim=1, eps=1e-300)  # smaller than any float32 length


def _parts(total: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, total)) for start in range(0, total, size))


def percent_of(hits: torch.Tensor) -> float:
    """Return how many of them are true, in percent."""
    return 100 * int(hits.sum()) / len(hits)
