"""What sets what was made apart from what is to be made."""

from rspnet.evaluation.made import differing


def test_weights_are_the_same_by_any_name():
    then = {"weights": "a", "weights_sha256": "12", "step": 1}
    assert differing(then, then) == []
    assert differing(then, then | {"weights": "../a"}) == []
    assert differing(then, then | {"weights": "b", "weights_sha256": "3"}) == ["weights", "weights_sha256"]
    assert differing(then, then | {"weights": "../a", "step": 2}) == ["step"]
    assert differing({}, then) == [*then]
    fresh = {"weights": "none", "weights_sha256": None}
    assert differing({"weights": "a", "weights_sha256": None}, fresh) == ["weights"]
