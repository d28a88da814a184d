"""Where batches lie."""

from rspnet.data.workers import SLOTS, BatchMemory


def test_a_workers_batches_use_shared_memory_in_turn(monkeypatch):
    memory = BatchMemory()
    one, other = memory.take((2, 3))[0], memory.take((2, 3))[0]
    assert not one.is_shared()
    assert one.data_ptr() != other.data_ptr()
    monkeypatch.setattr("rspnet.data.workers._is_worker", True)
    shapes = [(2, 3), (4, 1, 5)]
    batches = [memory.take(*shapes) for _ in range(SLOTS)]
    for value, batch in enumerate(batches):
        for part, shape in zip(batch, shapes, strict=True):
            assert part.is_shared()
            assert part.shape == shape
            part.fill_(value)
    for value, batch in enumerate(batches):
        assert all((part == value).all() for part in batch)
        again = memory.take((1, 3), (2, 1, 5))  # a last, smaller batch
        assert again[0].data_ptr() == batch[0].data_ptr()
    (larger,) = memory.take((1000, 3))
    assert larger.shape == (1000, 3)
