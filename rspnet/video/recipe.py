"""How copies of videos are encoded: presets of `transcode`, and options that override their settings.

`match` is as published, but with a crf of 20 instead of x264's default of 23, because the quality of the pixels limits
what can be learnt from them: crops are 1.9 dB closer to the originals, files 39 % larger. `fast` decodes in half the
time of `match`. benchmarks/transcode.py measures what each costs and loses.
"""

from typing import Any

from rspnet.errors import ConfigError

PRESETS: dict[str, dict[str, Any]] = {
    "match": {"short_side": 256, "gop": 16, "crf": 20.0, "x264_preset": "medium"},
    "fast": {"short_side": 160, "gop": 16, "crf": 20.0, "x264_preset": "veryfast"},
}
"""The settings of each preset; those of the first are the defaults of `transcode`."""

_LONGEST_SIDE, _LONGEST_GOP = 16384, 2**30  # x264's limits; it takes a longer gop for an infinite one


def make_recipe(
    preset: str, *, short_side: int | None = None, gop: int | None = None, crf: float | None = None
) -> dict[str, Any]:
    """Return all settings that determine the new files: the preset's, overridden by those given.

    Args:
        preset: one of `PRESETS`.
        short_side: pixels.
        gop: frames from one key frame to the next.
        crf: x264's constant rate factor.

    Returns:
        ``codec``, and the arguments of `transcode`.

    Raises:
        ConfigError: a value is out of range; the message names it as an option.
    """
    given = {"short_side": short_side, "gop": gop, "crf": crf}
    recipe = PRESETS[preset] | {name: value for name, value in given.items() if value is not None}
    if not 2 <= recipe["short_side"] <= _LONGEST_SIDE or recipe["short_side"] % 2:
        raise ConfigError(
            f"--short_side {recipe['short_side']}: must be even (H.264 halves the colour planes), from 2 to "
            f"{_LONGEST_SIDE}"
        )
    if not 1 <= recipe["gop"] <= _LONGEST_GOP:
        raise ConfigError(f"--gop {recipe['gop']}: must be from 1 to {_LONGEST_GOP} (x264's limit)")
    if not 0 <= recipe["crf"] <= 51:
        raise ConfigError(f"--crf {recipe['crf']:g}: must be from 0 (lossless) to 51")
    return {"codec": "h264"} | recipe
