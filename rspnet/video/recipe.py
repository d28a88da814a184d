"""What copies of videos are made like: named settings of `transcode`, and those given in their place.

`match` is as published but for a crf of 20 in place of x264's default of 23, as the pixels bound what is learnt from
them: crops are 1.9 dB nearer to the originals', files 39 % larger. `fast` decodes in half of that time.
benchmarks/transcode.py gives what each costs and loses.
"""

from typing import Any

from rspnet.errors import ConfigError

PRESETS: dict[str, dict[str, Any]] = {
    "match": {"short_side": 256, "gop": 16, "crf": 20.0, "x264_preset": "medium"},
    "fast": {"short_side": 160, "gop": 16, "crf": 20.0, "x264_preset": "veryfast"},
}
"""The settings by name; those of the first are the defaults of `transcode`."""

_LONGEST_SIDE, _LONGEST_GOP = 16384, 2**30  # that x264 takes; a longer one it would count as without an end


def make_recipe(
    preset: str, *, short_side: int | None = None, gop: int | None = None, crf: float | None = None
) -> dict[str, Any]:
    """Everything that decides on the new files: the preset's settings, and in their place those given.

    Args:
        preset: one of `PRESETS`.
        short_side: pixels.
        gop: frames from one key frame to the next.
        crf: x264's constant rate factor.

    Returns:
        ``codec``, and the arguments of `transcode`.

    Raises:
        ConfigError: one of them cannot be; names it as an option.
    """
    given = {"short_side": short_side, "gop": gop, "crf": crf}
    recipe = PRESETS[preset] | {name: value for name, value in given.items() if value is not None}
    if not 2 <= recipe["short_side"] <= _LONGEST_SIDE or recipe["short_side"] % 2:
        raise ConfigError(
            f"--short_side {recipe['short_side']}: even (H.264 halves the colour planes), from 2 to {_LONGEST_SIDE}"
        )
    if not 1 <= recipe["gop"] <= _LONGEST_GOP:
        raise ConfigError(f"--gop {recipe['gop']}: from 1 to {_LONGEST_GOP}, as x264 takes it")
    if not 0 <= recipe["crf"] <= 51:
        raise ConfigError(f"--crf {recipe['crf']:g}: from 0 (no loss) to 51")
    return {"codec": "h264"} | recipe
