"""A folder or an index, by one function."""

from collections import Counter

import pytest

from rspnet.data.index import read_rows, write_rows
from rspnet.data.layouts import scan
from rspnet.data.source import read_source
from rspnet.errors import ConfigError


def test_a_folder(videos):
    source = read_source(str(videos))
    assert source.rows == list(scan(videos))
    assert (source.total, source.layout) == (40, "ucf101")
    assert "ucfTrainTestlist/trainlist01.txt" in source.lists
    assert source.ignored == Counter({"lists": 6, ".txt": 1, ".json": 1})  # classInd.txt, synthetic.json
    with pytest.raises(ConfigError, match="train_video/ and val_video/"):
        read_source(str(videos), "kinetics")


def test_an_index_is_read_as_it_is_asked_for(videos, tmp_path):
    write_rows(scan(videos), tmp_path / "i.jsonl")
    source = read_source(str(tmp_path / "i.jsonl"), "kinetics")
    assert (source.total, source.layout, source.lists, source.ignored) == (40, "index", [], Counter())
    assert next(iter(source.rows)) == next(scan(videos))
    assert len(list(source.rows)) == 39
    assert len(list(read_source(str(tmp_path / "i.jsonl")).rows)) == len(list(read_rows(tmp_path / "i.jsonl")))
