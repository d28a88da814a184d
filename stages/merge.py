"""Join what the shares of verify or transcode wrote into one index, byte for byte as from one process.

    python stages/merge.py videos.parquet
    python stages/merge.py videos.parquet --strict true

The last share does this by itself; run it where that one could not, because it was stopped, or because a network disk
did not show it the others in time. If shares are missing or do not fit the others, it says which, and changes nothing.
Where all are joined already, nothing is done.
"""

if __name__ == "__main__":  # before the slow imports
    from rspnet.signals import end_at_once

    end_at_once()

import os
from dataclasses import dataclass
from typing import Any

from rspnet import console
from rspnet.cli.command import run
from rspnet.errors import ConfigError


@dataclass
class Config:
    """What is joined."""

    out: str
    """Index file that the shares were to write (their --out)."""
    strict: bool = False
    """End with exit status 1 if any verified video is not ok, even if no share was given --strict."""


def main(config: Config) -> dict[str, Any]:
    """Join the shares, and return the summary with the `exit_status` that their stage gives."""
    from rspnet.data.index import check_out
    from rspnet.running import merging
    from rspnet.running.parts import Parts

    check_out(config.out)
    parts = Parts(config.out)
    try:
        with parts.held():
            return merging.merge(parts, strict=config.strict)
    except BlockingIOError:
        raise ConfigError(f"{parts.folder}: another process is joining it; wait for it") from None
    except FileNotFoundError:
        if not os.path.exists(config.out):
            raise ConfigError(f"{config.out}: no share of it has begun; there is no {parts.folder}") from None
    console.say(f"{config.out}: exists, and there are no parts to join")
    return {"stage": "merge", "out": config.out}


if __name__ == "__main__":
    run(main, Config)
