"""The health of the contrastive task: its numbers over the run, and a sentence for each fault found."""

from markupsafe import Markup

from rspnet.method.health import verdict
from rspnet.report.charts import grid
from rspnet.report.curves import Chart, Course, drawn
from rspnet.report.record import Record
from rspnet.report.section import Section

_CHARTS = (
    Chart("Queue filled with keys", {"queue_fill": "of it"}, "%"),
    Chart("Similarity, by the temperature", {"positive_similarity": "own video", "negative_similarity": "others"}),
    Chart("Margins met", {"margins_met": "RSP"}, "%"),
    Chart("Nearer to its own speed by", {"motion_gap": "RSP"}),
    Chart("Spread of the embeddings (0: collapsed, 1: all of it)", {"spread": "spread"}),
    Chart("Effective rank of the embeddings", {"effective_rank": "directions"}),
)


def health(record: Record) -> Section | None:
    """Show the health of a pretraining; None for other runs."""
    if record.stage != "pretrain":
        return None
    title = "Health of the contrastive task"
    course = Course.of(record)
    charts = [drawn(chart, course, {}) for chart in _CHARTS]
    if not any(charts):
        return Section("health", title, Markup(""), "Nothing to judge it by: the run has not logged these numbers.")
    faults = wrong(record)
    if not faults:
        return Section("health", title, grid(charts), "These numbers show nothing wrong.")
    told = Markup("").join(Markup("<li>{}</li>").format(fault) for fault in faults)
    return Section("health", title, Markup('<ul class="wrong">{}</ul>{}').format(told, grid(charts)))


def wrong(record: Record) -> list[str]:
    """Return what is wrong with a pretraining, a sentence for each fault."""
    return [f"{fault[0].upper()}{fault[1:]}." for fault in verdict(record.metrics, record.options("pretext"))]
