"""What one of several processes knows, all know."""

import json

import pytest

from rspnet.errors import ConfigError, VideoError
from rspnet.running.team import Team
from tests.support.ranks import run_ranks


def in_a_rank():
    from accelerate import Accelerator

    rank = Accelerator().process_index
    team = Team(rank, 2)
    found = [team.by_main(lambda: f"of rank {rank}"), team.everyones(10 + rank)]
    found += [team.anyone(mine) for mine in (False, rank == 0, rank == 1, True)]
    team.check(None)
    for error in (ConfigError("all"), VideoError("the second") if rank == 1 else None):
        try:
            team.check(error)
        except (ConfigError, VideoError) as met:
            found.append(f"{type(met).__name__}: {met}")
    for error in (ConfigError("of the main one"), KeyboardInterrupt("enough")):
        try:
            team.by_main(lambda error=error: throw(error))
        except (ConfigError, KeyboardInterrupt) as met:
            found.append(f"{type(met).__name__}: {met}")
    print(json.dumps(found))


def throw(error):
    raise error


def test_two_processes_know_the_same(tmp_path):
    assert run_ranks(tmp_path, in_a_rank) == [0, 0], (tmp_path / "0.err").read_text()
    for rank in (0, 1):
        assert json.loads((tmp_path / f"{rank}.out").read_text()) == [
            *("of rank 0", [10, 11]),
            *(False, True, True, True),
            *("ConfigError: all", "VideoError: the second"),
            *("ConfigError: of the main one", "KeyboardInterrupt: enough"),
        ]


def test_one_process_needs_no_other():
    team = Team()
    assert (team.by_main(lambda: 1), team.everyones(2), team.anyone(True), team.anyone(False)) == (1, [2], True, False)
    team.check(None)
    with pytest.raises(VideoError, match="mine"):
        team.check(VideoError("mine"))
