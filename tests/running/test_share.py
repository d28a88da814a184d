"""Who has which share: what launchers and job arrays say, and that shares cannot meet."""

import pytest

from rspnet.errors import ConfigError
from rspnet.running.share import _LAUNCHERS, ALL, Share, read_share

ARRAY = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX")


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch):
    for name in (*ARRAY, *(name for names in _LAUNCHERS for name in names)):
        monkeypatch.delenv(name, raising=False)


def test_each_video_is_in_one_share():
    videos = [f"class {number % 7}/ü{number}.mp4" for number in range(500)] + ["caf\udce9.mp4"]
    for count in (1, 2, 3, 64):
        of_each = [[video for video in videos if Share(number + 1, count).has(video)] for number in range(count)]
        assert sorted(video for some in of_each for video in some) == sorted(videos)
        assert max(map(len, of_each)) < 3 * len(videos) / count + 5


def test_a_share_stays_what_it_is():
    """Whoever does another share later, with another Python, has to agree."""
    assert [number for number in range(8) if Share(2, 3).has(f"{number}.mp4")] == [1, 5, 6, 7]


@pytest.mark.parametrize(
    ("environment", "share"),
    [
        ({}, "1/1"),
        ({"RANK": "2", "WORLD_SIZE": "4"}, "3/4"),
        ({"RANK": "0", "WORLD_SIZE": "1"}, "1/1"),
        ({"SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "6"}, "6/6"),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "6"}, "1/1"),  # a batch script, whose own commands run once
        ({"RANK": "0", "WORLD_SIZE": "1", "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2"}, "2/2"),
        ({"RANK": "1", "WORLD_SIZE": "4", "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2"}, "2/4"),
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "3"}, "2/3"),
        ({"PMI_RANK": "1", "PMI_SIZE": "3"}, "2/3"),
        (dict(zip(ARRAY, ("7", "3", "5", "7"))), "3/3"),
        (dict(zip(ARRAY, ("17", "1", "17", "17"))), "1/1"),
        ({**dict(zip(ARRAY, ("1", "3", "0", "2"))), "RANK": "1", "WORLD_SIZE": "4"}, "6/12"),
    ],
)
def test_the_environment_tells(monkeypatch, environment, share):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert str(read_share(None)) == share
    assert read_share("1/1") == ALL  # what is said goes before


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"RANK": "4", "WORLD_SIZE": "4"}, "RANK=4: is not a process of WORLD_SIZE=4"),
        ({"WORLD_SIZE": "4"}, "RANK=None"),
        ({"WORLD_SIZE": "many"}, "WORLD_SIZE=many: is not a number"),
        (dict(zip(ARRAY, ("3", "2", "3", "17"))), "have gaps"),
        (dict(zip(ARRAY, ("2", "6", "0", "10"))), "have gaps"),
    ],
)
def test_an_environment_that_contradicts_itself(monkeypatch, environment, said):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=said):
        read_share(None)


@pytest.mark.parametrize("text", ["3", "3/", "0/3", "4/3", "-1/3", "1/0", "1/5000", "1.5/3", "a/b", "1/2/3", ""])
def test_what_names_no_share(text):
    with pytest.raises(ConfigError, match="share: "):
        read_share(text)
