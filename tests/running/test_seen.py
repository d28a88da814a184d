"""Which windows of a video count, in whatever order they come."""

from itertools import permutations

import pytest

from rspnet.running.seen import Seen


@pytest.mark.parametrize(
    ("come", "counts", "is_whole"),
    [
        (["0", "1", "2"], ["0", "1", "2"], True),
        (["0", "2"], ["0"], False),  # another may come
        (["0", "1!", "2"], ["0", "1!"], True),  # one that reads on alone would not have got there
        (["0!", "1!"], ["0!"], True),
        (["0", "1", "1!", "2"], ["0", "1", "2"], True),  # read by another one
        ([], [], False),
    ],
)
def test_up_to_the_first_that_cannot_be_read(come, counts, is_whole):
    for order in permutations(come):
        seen = Seen[str]()
        for window in order:
            failed = window.endswith("!")
            seen.add(int(window[0]), window, failed=failed, total=0 if failed else 3)
        assert (list(seen), seen.is_whole) == (counts, is_whole)


def test_the_first_of_a_number_counts():
    seen = Seen[str]()
    seen.add(0, "first", failed=False)
    seen.add(0, "again", failed=False)
    assert list(seen) == ["first"]
