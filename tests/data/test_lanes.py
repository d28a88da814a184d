"""Who reads what: every window once, however many read, and in whatever order they answer."""

import random

import pytest

from rspnet.data.lanes import Lanes
from rspnet.data.parts import PartRequest

SIZE = 4  # windows in a part


def answer(request, totals, breaks):
    """As a data set does."""
    row, first, stop, lane, plan = request
    total = totals[row]
    end = min(stop or total, total, first + SIZE)
    good = min(end, breaks.get(row, total))
    status = "ok" if (good == end and row not in breaks) or end <= breaks.get(row, 0) else "broken"
    spans = [None] * max(0, good - first)
    known = dict(size=SIZE, total=total, plan=f"how to read {row}" if plan is None else None)
    return dict(row=row, lane=lane, first=first, spans=spans, status=status, clips=[]) | known


def go_through(lanes, totals, breaks, *, ahead):
    """Requests in the order in which they are made; answered in that order, so many behind."""
    asked, waiting, requests = [], [], iter(lanes)
    while True:
        while len(waiting) < ahead and (request := next(requests, None)) is not None:
            waiting.append(request)
        if not waiting:
            return asked
        if request := waiting.pop(0):
            asked.append((request[0], answer(request[0], totals, breaks)))
            lanes.answered(asked[-1][1])


def test_a_lane_stays_with_a_video():
    lanes = Lanes([5, 6, 7], {6: [(4, 5)]})
    lanes.turns(1)
    asked = go_through(lanes, {5: 9, 6: 5, 7: 1}, {}, ahead=2)
    assert [request for request, _ in asked] == [
        PartRequest(5, 0, None, 0),
        PartRequest(6, 4, 5, 1),
        PartRequest(5, 4, 9, 0, "how to read 5"),
        PartRequest(7, 0, None, 1),
        PartRequest(5, 8, 9, 0, "how to read 5"),
    ]
    assert len(lanes) == 3


def test_one_with_nothing_to_read_takes_half_of_a_film():
    lanes = Lanes([0], parts=10)
    lanes.turns(1)
    asked = [request for request, _ in go_through(lanes, {0: 41}, {}, ahead=2)]
    assert asked[:4] == [
        PartRequest(0, 0, 1, 0),  # enough to know how long it is
        PartRequest(0, 1, 41, 0, "how to read 0"),
        PartRequest(0, 21, 41, 1, "how to read 0"),
        PartRequest(0, 5, 21, 0, "how to read 0"),
    ]
    assert len(lanes) == 10


@pytest.mark.parametrize(
    ("rows", "parts", "stops"),
    [(1, 9, [1]), (3, 9, 3 * [1]), (4, 9, 4 * [None]), (5, 9, 4 * [None]), (1, None, [None])],
)
def test_one_window_is_asked_for_first_where_others_wait(rows, parts, stops):
    lanes = Lanes(range(rows), parts=parts)
    lanes.turns(2)
    requests = iter(lanes)
    asked = [next(requests) for _ in range(4)]
    assert [request.stop for group in asked for request in group] == stops


@pytest.mark.parametrize("seed", range(60))
def test_every_window_is_read_once(seed):
    rng = random.Random(seed)
    totals = {row: rng.choice([1, 3, 4, 17, 40, 200]) for row in range(rng.randint(1, 6))}
    breaks = {row: rng.randrange(total) for row, total in totals.items() if rng.random() < 0.3}
    missing, wanted = {}, {row: set(range(total)) for row, total in totals.items()}
    for row, total in totals.items():
        if rng.random() < 0.3:
            cuts = sorted(rng.sample(range(total + 1), min(total + 1, 4) // 2 * 2))
            missing[row] = list(zip(cuts[::2], cuts[1::2]))
            wanted[row] = {number for span in missing[row] for number in range(*span)}
    workers = rng.randint(0, 5)
    lanes = Lanes(list(totals), missing, rng.choice([None, 3, 100]))
    lanes.turns(workers)
    asked = go_through(lanes, totals, breaks, ahead=max(1, 2 * workers))
    read = [(part["row"], part["first"] + place) for _, part in asked for place in range(len(part["spans"]))]
    assert len(read) == len(set(read))
    for row, numbers in wanted.items():
        found = {number for other, number in read if other == row}
        assert found <= numbers
        assert {number for number in numbers if number < breaks.get(row, totals[row])} <= found
