"""Maps of the videos' features in two dimensions: by their principal components, and by t-SNE."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from rspnet.console import some
from rspnet.report import points
from rspnet.report.confusion import data
from rspnet.report.record import Record
from rspnet.report.section import Section
from rspnet.report.tables import details, table
from rspnet.report.videos import Videos, label_of
from rspnet.terminal import visible

Floats = npt.NDArray[np.floating[Any]]

_MOST = 3000
"""Most videos that are drawn."""
_PICTURES = 400
"""Most of these that have a picture."""
_LISTED = 400
_SEED = 0
_FEWEST = 6  # videos for t-SNE
_PERPLEXITY = 30.0


@dataclass(frozen=True)
class Cloud:
    """Features of the N videos on the map.

    Attributes:
        videos: Names of the videos.
        labels: Their classes.
        values: Features (N, D), each normalised to length one.
        total: Number of videos with a feature, of which N were drawn at random if there are too many.
    """

    videos: list[str]
    labels: list[str | None]
    values: Floats
    total: int


def feature_map(record: Record) -> Section | None:
    """Show the videos as points, with similar features near one another; None if the run has no features."""
    name, title = "map", "Map of the features"
    if record.features is None:
        return None
    cloud = cloud_of(record)
    if cloud is None:
        note = (
            "The features in the run's folder are not of whole videos, or of fewer than two: there is nothing to map."
        )
        return Section(name, title, Markup(""), note)
    main, shares = main_directions(cloud.values)
    drawn = {f"Main directions (PCA): {100 * shares[0]:.0f} and {100 * shares[1]:.0f} % of the spread": main}
    flat = None if record.in_brief else laid_flat(cloud.values)
    if flat is not None:
        drawn["Neighbourhoods (t-SNE)"] = flat
    said = f"Each point is a video, {some(len(cloud.videos), 'video')}"
    said += f" of {cloud.total}, drawn at random" if cloud.total > len(cloud.videos) else ""
    said += "; its features are normalised to length one. Near points are alike. "
    if flat is not None:
        said += "In the second drawing only nearness means something: how far groups are apart, and how large they "
        said += "are, does not. "
    said += "Point at a video, touch it, or move with the arrow keys, to see it."
    return Section(name, title, Markup("<p>{}</p>\n{}").format(said, _maps(record, cloud, drawn)))


def cloud_of(record: Record) -> Cloud | None:
    """Return the features of the run's videos, a fixed random subset if they are many.

    None if they are not features of whole videos, or of fewer than two.
    """
    found = record.features
    if found is None or not found.are_of_videos:
        return None
    good = np.flatnonzero(np.isfinite(found.values).all(axis=1))
    total = len(good)
    if total > _MOST:
        good = np.sort(np.random.default_rng(_SEED).permutation(good)[:_MOST])
    if total < 2 or not found.values.shape[1]:
        return None
    values = found.values[good].astype(np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    rows = found.rows.select(["video", "label"]).take(good.tolist()).to_pydict()
    return Cloud(rows["video"], rows["label"], values / np.where(lengths > 0, lengths, 1), total)


def main_directions(values: Floats) -> tuple[Floats, tuple[float, float]]:
    """Return coordinates (N, 2) along the first two principal components, and each one's share of the variance."""
    places, shares = np.zeros((len(values), 2)), [0.0, 0.0]
    if np.ptp(values, axis=0).any():
        from scipy.linalg import eigh  # takes a part of a second to import

        centred = values - values.mean(0)
        is_wide = values.shape[1] > len(values)
        products = centred @ centred.T if is_wide else centred.T @ centred
        count, size = min(2, *values.shape), len(products)
        sizes, vectors = eigh(products, subset_by_index=(size - count, size - 1))
        sizes, vectors = np.maximum(sizes[::-1], 0), vectors[:, ::-1]
        places[:, :count] = vectors * np.sqrt(sizes) if is_wide else centred @ vectors
        shares[:count] = (sizes / products.trace()).tolist()
    # The sign of a component is arbitrary: make the coordinate of the outermost point positive.
    places *= np.where(places[np.abs(places).argmax(0), [0, 1]] < 0, -1, 1)
    return places, (shares[0], shares[1])


def laid_flat(values: Floats) -> Floats | None:
    """Return coordinates (N, 2) by t-SNE with a fixed seed; None if the videos are too few, or all alike."""
    if len(values) < _FEWEST or not np.ptp(values, axis=0).any():
        return None
    from sklearn.manifold import TSNE  # takes a second to import

    init = "pca" if values.shape[1] > 1 else "random"
    flat = TSNE(2, perplexity=min(_PERPLEXITY, (len(values) - 1) / 3), init=init, random_state=_SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sklearn divides by zero if videos are the same
        places: Floats = flat.fit_transform(values)
    return places if np.isfinite(places).all() else None


def _maps(record: Record, cloud: Cloud, drawn: dict[str, Floats]) -> Markup:
    marks = points.marks_of(cloud.labels)
    fitted = {title: points.fitted(places) for title, places in drawn.items()}
    figures = Markup("\n").join(
        Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(
            points.drawing(places, cloud.labels, marks, title=title), title
        )
        for title, places in fitted.items()
    )
    videos, pictured = Videos(record), _pictured(0 if record.in_brief else len(cloud.videos))
    facts = {
        "videos": [
            [visible(video), label_of(label), videos.picture_class(video, is_made=place not in pictured)]
            for place, (video, label) in enumerate(zip(cloud.videos, cloud.labels))
        ],
        "places": [places.ravel().tolist() for places in fitted.values()],
    }
    card = Markup('<div class="told" aria-live="polite" hidden><span class="thumb blank"></span><p></p></div>')
    legend = points.legend(cloud.labels, marks, [visible(name) for name in marks])
    parts = (figures, card, legend, _listed(cloud, fitted), data(facts))
    return Markup('<div class="maps"><div class="pair">{}</div>{}{}{}{}</div>').format(*parts)


def _pictured(number: int) -> set[int]:
    """Return the places of the videos that get a picture: all, or `_PICTURES` evenly spaced ones if they are more."""
    return set(np.unique(np.linspace(0, number - 1, min(number, _PICTURES)).round().astype(int)).tolist())


def _listed(cloud: Cloud, fitted: dict[str, Floats]) -> Markup:
    """List the videos with their coordinates on the first map."""
    places = next(iter(fitted.values()))[:_LISTED].tolist()
    rows = [
        (visible(video), label_of(label), f"{x:g}", f"{y:g}")
        for video, label, (x, y) in zip(cloud.videos, cloud.labels, places)
    ]
    number = len(rows)
    title = f"The first {number} of {len(cloud.videos)} videos" if number < len(cloud.videos) else "The videos"
    head = ["video", "class", "from the left", "from the top"]
    return details(title, table(head, rows, label=title))
