"""Two hundred steps on real videos: bfloat16 on a CPU trains as float32 does, as far as two seeds can tell."""

import pytest
import torch
from accelerate.state import AcceleratorState

from rspnet.cli import options
from rspnet.encoders.convolution import has_bf16
from stages.pretrain import Config, main
from tests.support import tiny

STEPS, WINDOW = 200, 40


def curve(shared, run_dir, *, seed):
    """Mean loss of each `WINDOW` steps."""
    epochs, batch = 5, 16
    main(
        Config(
            run_dir=str(run_dir),
            data=options.DataSet(root=str(shared / "data/jhmdb"), num_workers=1),
            clips=options.Clips(num_frames=8, size=48),
            encoder=options.Encoder("resnet18", width=16),
            pretext=options.Pretext(queue_length=128, bn_groups=1),
            optim=options.Optim(epochs=epochs, total_batch=batch, lr=0.05),
            run=options.TrainingRun(seed=seed, log_every=1, trackers=[]),
        )
    )
    losses = torch.tensor([line["loss"] for line in tiny.metrics(run_dir, "interval")][:STEPS])
    assert len(losses) == STEPS
    return losses.view(-1, WINDOW).mean(1)


@pytest.mark.slow
@pytest.mark.skipif(not has_bf16(), reason="a CPU without AMX")
def test_losses_in_bf16_stay_within_the_spread_of_two_seeds(shared, tmp_path, monkeypatch):
    one, other = (curve(shared, tmp_path / f"float32_{seed}", seed=seed) for seed in (1, 2))
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    AcceleratorState._reset_state()
    try:
        half = curve(shared, tmp_path / "bf16_1", seed=1)
    finally:
        AcceleratorState._reset_state()
    told = {"seed 1": one.tolist(), "seed 2": other.tolist(), "bf16, seed 1": half.tolist()}
    assert one[-1] < one[0], told
    assert (half - one).abs().max() <= (other - one).abs().max(), told
