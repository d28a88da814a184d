"""Weight files that are damaged within, or that ask for memory they do not fill, are refused."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from rspnet import CheckpointError
from rspnet.weights.entries import SIGNATURES
from rspnet.weights.load import load_encoder
from tests.support.published_files import small


def message(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_encoder(path)
    return str(caught.value)


def test_damage_within_a_published_file_is_seen_by_its_checksums(tmp_path):
    """torch itself reads the other numbers without a word."""
    path, rng = tmp_path / "model.pth.tar", np.random.default_rng(0)
    torch.save(small("resnet18").state_dict(), path)
    whole = path.read_bytes()
    for place in rng.integers(1000, len(whole) * 9 // 10, 12):
        damaged = bytearray(whole)
        damaged[place : place + 64] = bytes(64) if place % 2 else rng.bytes(64)
        path.write_bytes(damaged)
        assert "again" in message(path), place
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(small("resnet18").state_dict(), path)
    finally:
        torch.serialization.set_crc32_options(True)
    load_encoder(path)  # saved without any


def test_what_asks_for_memory_that_it_does_not_fill(tmp_path):
    path, state = tmp_path / "model.pth.tar", small("resnet18").state_dict()
    signature, queue = SIGNATURES["resnet18"], torch.zeros(2**17)

    def refused(changes: dict) -> str:
        torch.save(state | changes, path)
        return message(path)

    assert "views that repeat a few values" in refused({"conv1.weight": torch.zeros(1).expand(2**40)})
    assert "views that repeat a few values" in refused({"queue": torch.zeros(1).expand(2**40)})
    assert "views that repeat a few values" in refused({f"queue{i}": queue.expand(64, -1) for i in range(99)})
    assert "(5000, others less)" in refused({signature: torch.zeros(5000, 8, 1, 1, 1)})
    assert "conv1.weight is sparse" in refused({"conv1.weight": state["conv1.weight"].to_sparse()})
    torch.save(state, path)
    with zipfile.ZipFile(path) as saved, zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb:
        for part in saved.namelist():
            bomb.writestr(part, saved.read(part))
    assert "compressed inside" in message(tmp_path / "bomb.pth")
