"""The most confident errors, which show wrong labels, overlapping classes, or that something else was learnt."""

from markupsafe import Markup

from rspnet.console import some
from rspnet.report.lines import Guess, judged
from rspnet.report.record import Record
from rspnet.report.section import Section
from rspnet.report.videos import Videos, label_of

_SHOWN = 12


def errors(record: Record) -> Section | None:
    """Show the most confident errors, with true and predicted class; None if no probabilities are known."""
    name, title = "errors", "Most confident errors"
    found = judged(record)
    if found is None or not found.guesses[0].probabilities:
        return None
    wrong = surest(found.guesses)
    if not wrong:
        return Section(name, title, Markup(""), f"No error among {some(len(found.guesses), 'test video')}.")
    videos = Videos(record)
    cards = Markup("\n").join(_card(videos, guess) for guess in wrong[:_SHOWN])
    said = f"{len(wrong)} of {some(len(found.guesses), 'test video')} are classified wrongly by {found.by}"
    said += f"; these {_SHOWN} with the most confidence." if len(wrong) > _SHOWN else ", the most confident first."
    said += " Check whether the label is right, whether the classes can be told apart, and what else the videos share."
    return Section(name, title, Markup('<p>{}</p>\n<div class="cards">{}</div>').format(said, cards))


def surest(guesses: list[Guess]) -> list[Guess]:
    """Return the wrong guesses, most confident first; ties keep their order."""
    return sorted((guess for guess in guesses if not guess.is_right), key=lambda guess: -guess.probabilities[0])


def _card(videos: Videos, guess: Guess) -> Markup:
    taken = Markup("taken for <b>{}</b> ({:.0f} %)").format(label_of(guess.classes[0]), 100 * guess.probabilities[0])
    place = guess.classes.index(guess.label) if guess.label in guess.classes else None
    if place is None:
        after = f"not among the first {len(guess.classes)}"
    else:
        after = f"{100 * guess.probabilities[place]:.0f} %, place {place + 1}"
    return videos.card(guess.video, Markup("is <b>{}</b> ({})").format(label_of(guess.label), after), taken)
