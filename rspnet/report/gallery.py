"""The gallery: some test videos with their nearest neighbours, to see what the features find alike."""

import numpy as np
from markupsafe import Markup

from rspnet.console import some
from rspnet.report.lines import Query, queries
from rspnet.report.record import Record
from rspnet.report.section import Section
from rspnet.report.videos import Videos, label_of

_SHOWN, _BRIEFLY, _NEAR = 12, 6, 5
_SEED = 0


def gallery(record: Record) -> Section | None:
    """Show some randomly drawn test videos with the five nearest to each; None if there are no neighbours."""
    found = queries(record)
    if not found:
        return None
    chosen = drawn(found, _BRIEFLY if record.in_brief else _SHOWN)
    videos = Videos(record)
    rows = Markup("\n").join(_row(videos, query) for query in chosen)
    said = f"{some(len(chosen), 'video')} of {len(found)}, drawn at random rather than chosen, each with the "
    said += "videos nearest to it by the cosine of their features."
    if all(query.label is not None for query in found):  # as in the evaluation, which has no recall otherwise
        right = sum(query.counted is not None and query.counted.label == query.label for query in found)
        among = " among those of other films" if any(query.counted != query.near[0] for query in found) else ""
        said += f" Of all {len(found)}, {right} have a video of their own class nearest{among} "
        said += f"({100 * right / len(found):.1f} %)."
    else:
        said += " Without labels it is not known which are right."
    html = Markup('<p>{}</p>\n<div class="gallery">{}</div>').format(said, rows)
    return Section("gallery", "Nearest neighbours", html)


def drawn(found: list[Query], number: int = _SHOWN) -> list[Query]:
    """Draw some queries at random, the same each time, in their order; a smaller number draws a subset of a larger."""
    places = np.random.default_rng(_SEED).permutation(len(found))[:number]
    return [found[place] for place in sorted(places.tolist())]


def _row(videos: Videos, query: Query) -> Markup:
    first = videos.card(query.video, Markup("query: <b>{}</b>").format(label_of(query.label)))
    cards = [
        videos.card(
            each.video,
            label_of(each.label),
            f"cosine {each.similarity:.3f}",
            right=None if query.label is None or each.label is None else query.label == each.label,
        )
        for each in query.near[:_NEAR]
    ]
    items = Markup("").join(Markup("<li>{}</li>").format(card) for card in cards)
    return Markup('<div class="query">{}<ol>{}</ol></div>').format(first, items)
