"""The step against recorded steps of the published code, and its own properties on a network of a few units."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from torch import nn

from rspnet.method.draws import Draws, StepDraws
from rspnet.method.pretext import LOG_TERMS, _log_terms
from rspnet.method.steps import pretrain_step
from tests.support import replay_step, tiny
from tests.support.ranks import run_ranks


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("step_resnet18.npz", 2),
        pytest.param("step_resnet18.npz", 3, marks=pytest.mark.slow),
        pytest.param("step_ws2_resnet18.rank0.npz", 3, marks=pytest.mark.slow),
        pytest.param("step_c3d.npz", 3, marks=pytest.mark.slow),
    ],
)
def test_replays_the_published_steps(shared, name, steps):
    errors = replay_step.replay(shared / "fixtures" / name, torch.float64, steps)
    assert {"loss", "logits", "embeddings", "gradient norms", "queue"} <= errors.keys()
    assert all(error <= 1e-8 for error in errors.values()), errors


@pytest.mark.slow
def test_replays_the_published_steps_in_two_processes(shared, tmp_path):
    """Averaged gradients, shuffled batches, the queue and the statistics, against each process's own record."""
    arguments = [str(shared / "fixtures/step_ws2_resnet18.rank0.npz")]
    statuses = run_ranks(tmp_path, replay_step.command, arguments, deadline=300)
    tables = [(tmp_path / name).read_text() for name in ("0.out", "1.out")]
    assert statuses == [0, 0], "\n".join([*tables, *((tmp_path / name).read_text() for name in ("0.err", "1.err"))])
    for rank, table in enumerate(tables):
        assert table.count(f"rank {rank}  ") == table.count("within 1e-08") == 13


@pytest.mark.parametrize(("name", "laid_out"), [("resnet18", False), ("resnet18", True), ("c3d", True)])
def test_replays_the_first_step_in_float32(shared, name, laid_out):
    """Also with the weights in the order in which the stages have them in memory."""
    errors = replay_step.replay(shared / f"fixtures/step_{name}.npz", torch.float32, laid_out=laid_out)
    moved = {"gradient norms", "parameters, sum", "parameters, norm"}
    assert moved <= errors.keys()
    assert all(error <= (1e-2 if quantity in moved else 1e-4) for quantity, error in errors.items()), errors


class Tiny(nn.Module):
    num_features = 5

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(3, 5, 3, padding=1)
        self.norm = nn.BatchNorm3d(5)

    def forward(self, clips):
        return self.norm(self.conv(clips)).relu().mean((2, 3, 4))


def tiny_model(**kwargs):
    torch.manual_seed(0)
    return tiny.rspnet(Tiny(), num_frames=4, dim=6, queue_length=10, **kwargs)


def tiny_clips(n=4):
    """Of as many frames as one speed shows, and as both do."""
    generator = torch.Generator().manual_seed(1)
    query, key = torch.randn(2, n, 3, 6, 5, 5, generator=generator)
    return query[:, :, :4], key


def test_the_key_encoder_starts_as_a_copy_and_is_one_of_its_own():
    model = tiny_model()
    query, key = model.query_encoder.state_dict(), model.key_encoder.state_dict()
    assert query.keys() == key.keys()
    assert all(torch.equal(query[name], key[name]) for name in query)
    assert not {value.data_ptr() for value in query.values()} & {value.data_ptr() for value in key.values()}


def test_gradient_reaches_the_query_encoder_only():
    model = tiny_model()
    out = model(*tiny_clips(), StepDraws(0, 4, [2], bn_groups=1)[0])
    out["loss"].backward()
    assert all(
        p.grad is not None and p.grad.abs().sum() > 0
        for n, p in model.query_encoder.named_parameters()
        if "bias" not in n
    )
    assert all(p.grad is None for p in model.key_encoder.parameters())
    assert out.keys() >= LOG_TERMS.keys()


@pytest.mark.parametrize(
    ("speed", "shown"), [(2, [0, 1, 2, 3, 4, 6]), (3, [0, 1, 2, 3, 6, 9]), (4, [0, 1, 2, 3, 4, 8, 12])]
)
def test_keys_play_at_both_speeds(speed, shown):
    clips = torch.tensor(shown).float().view(1, 1, -1, 1, 1).expand(2, 3, -1, 1, 1)
    fast = torch.tensor([False, True])
    same, other = (tiny_model()._at_speed(clips, quick, speed, rows=torch.arange(2)) for quick in (fast, ~fast))
    normal, fast = [0, 1, 2, 3], [0, speed, 2 * speed, 3 * speed]
    assert same[:, 0, :, 0, 0].tolist() == [normal, fast]
    assert other[:, 0, :, 0, 0].tolist() == [fast, normal]


def test_keys_without_the_frames_of_both_speeds_are_refused():
    query, key = tiny_clips()
    with pytest.raises(ValueError, match="key clips of 4 frames; speeds 1 and 2 show 6"):
        tiny_model()(query, key[:, :, :4], StepDraws(0, 4, [2], bn_groups=1)[0])


def test_queue_takes_the_keys_of_the_other_speed():
    model = tiny_model()
    seen = []
    model.key_encoder.register_forward_hook(lambda _, __, out: seen.append(out[0]))
    draws = Draws(torch.tensor([True, False, False, True]), 2, torch.tensor([3, 1, 0, 2]), torch.arange(4))
    model(*tiny_clips(), draws)
    torch.testing.assert_close(model.queue.columns[:, :4].T, seen[0][torch.argsort(draws.shuffle_other)])
    assert model.queue.pointer.item() == 4
    assert model.key_encoder.encoder.norm.num_batches_tracked.item() == 2
    assert model.query_encoder.encoder.norm.num_batches_tracked.item() == 1


def test_a_step_is_the_papers_formulas():
    """From the embeddings on, by hand; with every setting one of its own."""
    settings = {"momentum": 0.75, "temperature": 0.5, "margin": 0.3, "appearance_weight": 0.6, "motion_weight": 0.9}
    model, (query_clips, key_clips) = tiny_model(**settings), tiny_clips()
    draws = Draws(torch.tensor([True, False, False, True]), 2, torch.tensor([3, 1, 0, 2]), torch.tensor([1, 3, 2, 0]))
    with torch.no_grad():
        for parameter in model.query_encoder.parameters():
            parameter.add_(torch.randn_like(parameter))
    moved = [0.75 * key + 0.25 * query for key, query in zip(*map(nn.Module.parameters, encoders(model)), strict=True)]
    queue, seen = model.queue.columns.clone(), []
    for encoder in encoders(model):
        encoder.register_forward_hook(lambda _, given, out: seen.append((given[0], out)))
    out = model(query_clips, key_clips, draws)

    shown, embedded = zip(*seen, strict=True)
    torch.testing.assert_close(list(model.key_encoder.parameters()), moved)
    other_clips = model._at_speed(key_clips, ~draws.fast, 2, rows=draws.shuffle_other)
    same_clips = model._at_speed(key_clips, draws.fast, 2, rows=draws.shuffle_same)
    for found, expected in zip(shown, (other_clips, same_clips, query_clips)):
        assert torch.equal(found, expected)
    other = [head[torch.argsort(draws.shuffle_other)] for head in embedded[0]]
    same = [head[torch.argsort(draws.shuffle_same)] for head in embedded[1]]
    query = embedded[2]
    logits = [torch.cat([(query[0] * key[0]).sum(1)[:, None], query[0] @ queue], dim=1) / 0.5 for key in (same, other)]
    near, far = ((query[1] * key[1]).sum(1) / 0.5 for key in (same, other))
    avid = sum(-each.log_softmax(1)[:, 0].mean() for each in logits)
    rsp = (far - near + 0.3).clamp(min=0).mean()
    expected = {"loss": 0.6 * avid + 0.9 * rsp, "loss_avid": avid, "loss_rsp": rsp, "near": near, "far": far}
    expected |= {"logits_same": logits[0], "logits_other": logits[1]}
    expected |= _log_terms(torch.cat(logits), near, far, embeddings=query[0], margin=0.3)
    expected |= {"embeddings": query[0].detach()}
    torch.testing.assert_close(out, expected)
    assert [name for name, value in out.items() if value.requires_grad] == ["loss"]


def encoders(model):
    return model.key_encoder, model.query_encoder


def test_the_key_encoder_is_nothing_to_train():
    model = tiny_model()
    assert not any(parameter.requires_grad for parameter in model.key_encoder.parameters())
    assert all(parameter.requires_grad for parameter in model.query_encoder.parameters())


@pytest.mark.parametrize(("queue_length", "top1", "top5"), [(9, 10, 50), (3, 25, 100)])
def test_chance(queue_length, top1, top5):
    model = tiny.rspnet(Tiny(), dim=6, queue_length=queue_length)
    assert model.chance == {"avid_top1": top1, "avid_top5": top5, "rsp_accuracy": 50}


def test_a_group_of_its_own_is_a_run_of_its_own():
    """With an unmixed shuffle two groups compute what two separate batches would."""
    draws = StepDraws(0, 4, [2], bn_groups=2)[0]
    draws = Draws(draws.fast, 2, torch.arange(4), torch.arange(4))
    query, key = tiny_clips()
    whole = tiny_model(groups=2)(query, key, draws)
    halves = [
        tiny_model()(query[rows], key[rows], Draws(draws.fast[rows], 2, torch.arange(2), torch.arange(2)))
        for rows in (slice(0, 2), slice(2, 4))
    ]
    torch.testing.assert_close(whole["loss"], (halves[0]["loss"] + halves[1]["loss"]) / 2)
    torch.testing.assert_close(whole["near"], torch.cat([half["near"] for half in halves]))


def three_steps(groups, rank=0, world_size=1, micro_batches=1):
    """A process's share of a run in double precision: what every step computes, and the state that it leaves.

    Twelve clips in all, and two batch norms, so that gradients have to pass through one.
    """
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Conv3d(3, 5, 3), nn.BatchNorm3d(5), nn.ReLU(), nn.Conv3d(5, 5, 2), nn.BatchNorm3d(5))
    encoder = nn.Sequential(*encoder, nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten())
    encoder.num_features = 5
    model = tiny.rspnet(encoder, num_frames=4, dim=6, queue_length=20, momentum=0.9, groups=groups).double()
    module, accelerator = model, SimpleNamespace(backward=torch.Tensor.backward, no_sync=lambda module: nullcontext())
    if world_size > 1:  # every process computes the queue, which is large; the statistics are few
        module = nn.parallel.DistributedDataParallel(model)
        accelerator.no_sync = nn.parallel.DistributedDataParallel.no_sync
        evened_out = {buffer.data_ptr() for buffer in module.modules_buffers}
        told = {name: value.data_ptr() in evened_out for name, value in model.named_buffers()}
        assert {name for name in told if not told[name]} == {"queue.columns", "queue.pointer"}
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    mine = slice(rank * 12 // world_size, (rank + 1) * 12 // world_size)
    draws = StepDraws(5, 12, [2], bn_groups=groups * world_size, rank=rank, world_size=world_size)
    steps = []
    for step in range(3):
        # Each clip has a brightness of its own, so that statistics of other clips are other statistics.
        generator = torch.Generator().manual_seed(step)
        offset, noise = (torch.randn(2, 12, *shape, generator=generator).double() for shape in ((1,) * 4, (3, 6, 5, 5)))
        query, key = (offset + noise)[:, mine]
        clips, shown = [query[:, :, :4], key], []
        model.register_forward_hook(lambda _, given, out, shown=shown: shown.append(out))
        optimizer.zero_grad()
        terms = pretrain_step(module, clips, draws[step], accelerator=accelerator, micro_batches=micro_batches)
        assert clips == []
        assert terms.keys() == {"loss", "loss_avid", "loss_rsp", *LOG_TERMS}
        assert not any(term.requires_grad for term in terms.values())
        outs = shown[1:]
        steps.append(
            terms
            | {name: torch.cat([out[name] for out in outs]) for name in ("logits_same", "near", "far")}
            | {"gradients": {name: p.grad.clone() for name, p in model.query_encoder.named_parameters()}}
        )
        optimizer.step()
        steps[-1]["state"] = {name: value.clone() for name, value in model.state_dict().items()}
        model._forward_hooks.clear()
    return steps


def check_equal(parts, whole):
    for one, other in zip(parts, whole, strict=True):
        for name in one:
            percent = name in ("avid_top1", "avid_top5", "rsp_accuracy", "margins_met")  # in single precision
            torch.testing.assert_close(one[name], other[name], rtol=0, atol=1e-4 if percent else 1e-9)


def three_steps_in_a_rank(folder):
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.save([three_steps(groups, rank, 2) for groups in (1, 2)], folder / f"{rank}.pt")
    in_parts = three_steps(2, rank, 2, micro_batches=2)
    check_equal(in_parts, three_steps(2, rank, 2))
    dist.destroy_process_group()


@pytest.mark.parametrize("micro_batches", [2, 4])
def test_a_step_in_parts_is_the_step(micro_batches):
    """What it logs, its gradients, statistics, key encoder and queue."""
    whole, parts = three_steps(4), three_steps(4, micro_batches=micro_batches)
    check_equal(parts, whole)
    assert len({step["spread"].item() for step in whole}) == 3


def test_groups_are_as_many_processes(tmp_path):
    """Losses, gradients, batch statistics, key encoder and queue of one process with G groups and of two with G / 2."""
    statuses = run_ranks(tmp_path, three_steps_in_a_rank, tmp_path)
    assert statuses == [0, 0], (tmp_path / "0.err").read_text() + (tmp_path / "1.err").read_text()
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    for groups, *shares in zip((2, 4), *ranks, strict=True):
        for one, first, second in zip(three_steps(groups), *shares, strict=True):
            for name in ("loss", "loss_avid", "loss_rsp"):
                torch.testing.assert_close(one[name], (first[name] + second[name]) / 2, rtol=1e-9, atol=0)
                assert abs(first[name] - second[name]) > 1e-3  # of clips of their own
            for name in ("logits_same", "near", "far"):
                torch.testing.assert_close(one[name], torch.cat([first[name], second[name]]), rtol=0, atol=1e-9)
            for other in (first, second):
                assert one["gradients"].keys() == other["gradients"].keys()
                torch.testing.assert_close(one["gradients"], other["gradients"], rtol=0, atol=1e-9)
            # The first process's statistics are those that are saved; the others' are overwritten before they are used.
            torch.testing.assert_close(one["state"], first["state"], rtol=0, atol=1e-9)
            statistics = {name for name in one["state"] if "running" in name}
            assert len(statistics) == 8
            for name, value in second["state"].items():
                near = torch.allclose(value, one["state"][name], rtol=0, atol=1e-9)
                assert near == (name not in statistics), name


def test_groups_are_not_one_batch():
    """The test above would else pass where groups did nothing."""
    two, four = (three_steps(groups)[0] for groups in (2, 4))
    assert abs(two["loss"] - four["loss"]) > 1e-3
    assert max((two["gradients"][name] - four["gradients"][name]).abs().max() for name in two["gradients"]) > 1e-3


def test_log_terms_are_counted_and_averaged():
    """Of queries whose own video ranks 1st, 2nd, 5th, 6th and, tied with one, 2nd."""
    others = torch.tensor([5.0, 4, 3, 2, 1, 0])
    logits = torch.stack([torch.cat([torch.tensor([own]), others]) for own in (5.5, 4.5, 1.5, 0.5, 5.0)])
    near, far = torch.tensor([[1.0, 2, 3, 4, 5], [0.0, 2, 2, 9, 9]])
    embeddings = torch.tensor([[0.0, 1], [1, 1], [0, 1], [1, 1]])
    terms = _log_terms(logits, near, far, embeddings=embeddings, margin=1.0)
    assert terms.keys() == LOG_TERMS.keys()
    assert terms.pop("effective_rank").tolist() == [[0.5, 0.5], [0.5, 1]]
    assert {name: value.item() for name, value in terms.items()} == pytest.approx(
        {"avid_top1": 20, "avid_top5": 80, "rsp_accuracy": 40, "margins_met": 40, "motion_gap": -7 / 5}
        | {"positive_similarity": 17 / 5, "negative_similarity": 2.5, "spread": 0.5}
    )


def test_log_terms_at_the_extremes():
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]])
    one = torch.ones(1)
    terms = _log_terms(logits, one, -one, embeddings=torch.eye(3), margin=2.0)
    assert (terms["avid_top1"], terms["rsp_accuracy"], terms["margins_met"], terms["motion_gap"]) == (100, 100, 100, 2)
    terms = _log_terms(torch.zeros(1, 9), one, one, embeddings=torch.ones(3, 3), margin=2.0)
    assert (terms["avid_top1"], terms["avid_top5"], terms["rsp_accuracy"], terms["spread"]) == (0, 0, 0, 0)


def test_speed_is_learnt():
    """Moving stripes, each video with a direction of its own: the only cue to a clip's speed is its motion."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Conv3d(3, 12, (3, 3, 3)), nn.BatchNorm3d(12), nn.ReLU(), nn.Conv3d(12, 12, (3, 3, 3)))
    encoder = nn.Sequential(*encoder, nn.BatchNorm3d(12), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten())
    encoder.num_features = 12
    model = tiny.rspnet(encoder, num_frames=8, dim=8, queue_length=32, momentum=0.9, appearance_weight=0.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    accuracy = []
    for step in range(60):
        generator = torch.Generator().manual_seed(step)
        phase, angle = 6.3 * torch.rand(2, 16, generator=generator)
        y, x = torch.meshgrid(torch.arange(12.0), torch.arange(12.0), indexing="ij")
        wave = angle.cos().view(-1, 1, 1) * x + angle.sin().view(-1, 1, 1) * y
        t = torch.arange(16.0).view(1, -1, 1, 1)
        clips = [torch.sin(0.9 * wave[:, None] + 0.4 * t + (phase + shift).view(-1, 1, 1, 1)) for shift in (0, 2.5)]
        query, key = (clip[:, None].expand(-1, 3, -1, -1, -1) for clip in clips)
        draws = StepDraws(0, 16, [2], bn_groups=1)[step]
        query = torch.where(draws.fast.view(-1, 1, 1, 1, 1), query[:, :, ::2], query[:, :, :8])
        out = model(query, key[:, :, [*range(8), *range(8, 16, 2)]], draws)
        optimizer.zero_grad()
        out["loss"].backward()
        optimizer.step()
        accuracy.append(out["rsp_accuracy"].item())
    assert sum(accuracy[-10:]) / 10 > 90, accuracy


def test_losses_stay_in_full_precision_under_autocast():
    model = tiny_model()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = model(*tiny_clips(), StepDraws(0, 4, [2], bn_groups=1)[0])
    assert {out[name].dtype for name in ("loss", "logits_same", "near")} == {torch.float32}
    # The similarities to the queue are a matrix product, which autocast would give in bfloat16, with 8 bits each.
    similarities = out["logits_same"][:, 1:] * model.temperature
    assert (similarities - similarities.bfloat16().float()).abs().median() > 1e-5
