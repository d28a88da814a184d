"""Named settings, what is given in their place, and what H.264 does not do."""

from typing import get_args, get_type_hints

import pytest

from rspnet.errors import ConfigError
from rspnet.video.recipe import PRESETS, make_recipe
from stages.transcode import Config

FAST = {"codec": "h264", "short_side": 160, "gop": 16, "crf": 20.0, "x264_preset": "veryfast"}


def test_what_is_given_wins():
    assert make_recipe("match") == FAST | {"short_side": 256, "x264_preset": "medium"}
    assert make_recipe("fast") == FAST
    given = {"short_side": 64, "gop": 1, "crf": 0.0}
    assert make_recipe("fast", **given) == FAST | given
    assert "codec" not in PRESETS["fast"]


def test_the_option_knows_them_all():
    assert get_args(get_type_hints(Config)["preset"]) == tuple(PRESETS)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"short_side": 255}, r"--short_side 255: must be even \(H.264 halves the colour planes\), from 2 to 16384"),
        ({"short_side": 0}, "--short_side 0: must be even"),
        ({"short_side": 16386}, "--short_side 16386: must be even"),
        ({"gop": 10**20}, "--gop 1(0{20}): must be from 1 to 1073741824"),
        ({"gop": 0}, "--gop 0: must be from 1 to"),
        ({"crf": 51.5}, "--crf 51.5: must be from 0"),
        ({"crf": -1.0}, "--crf -1: must be from 0"),
    ],
)
def test_what_cannot_be_is_refused(given, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        make_recipe("match", **given)


def test_the_limits_themselves_are_allowed():
    assert make_recipe("fast", short_side=2, gop=1, crf=51.0)["crf"] == 51.0
