"""The test protocols end to end against loops over lists, on one process and on two.

The pixels, features and weights are small whole numbers and halves, so that every sum is exact: what is equal by hand
is equal in the network, and ties are ties.
"""

import random
import re
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from torch import nn

from rspnet.data import clip_dataset
from rspnet.data.index import new_row, to_dataset
from rspnet.data.loader import Loader
from rspnet.data.sets import Failures, TestSet
from rspnet.errors import CheckpointError, ConfigError, VideoError
from rspnet.evaluation import accuracy, neighbours
from rspnet.evaluation.forward import Forward
from rspnet.evaluation.predict import Outputs, ViewFeatures, feature_rows, nearest, predict, predictions
from rspnet.method.classifier import Classifier
from rspnet.running.team import Team
from tests.support import slow
from tests.support.ranks import run_ranks

FRAMES, SIZE, VIEWS = 2, 2, 4
KS = (1, 5, 10, 20, 50)
WEIGHTS = [[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 1], [-1, 0, 1], [0, 1, 0], [2, -1, 0]]  # classes 0, 2 and 1, 5 tie
CASES = [
    # Videos, batch of a process, videos that cannot be read. Two processes pad with the first videos.
    (1, 1, ()),
    (1, 3, ()),
    (2, 1, (0,)),
    (3, 1, (2,)),
    (3, 4, ()),
    (4, 2, (1,)),
    (5, 1, (0, 4)),
    (5, 2, (4,)),
    (5, 4, (0, 1)),
    (6, 2, (0,)),
    (7, 3, (0, 6)),
    (8, 4, ()),
    (9, 2, (8,)),
    (9, 4, (0, 3, 4, 5)),
    (13, 3, (0, 12)),
]


def pixels(name: str, view: int) -> np.ndarray:
    """Frames (T, S, S, 3) of one view of a video; videos whose numbers differ by 6 look alike."""
    rng = random.Random(10 * (int(name) % 6) + view)
    values = [rng.randrange(4) for _ in range(FRAMES * SIZE * SIZE * 3)]
    return np.array(values, dtype=np.uint8).reshape(FRAMES, SIZE, SIZE, 3)


class FakeVideo:
    """Stands for `rspnet.video.reader.Video`: 40 frames of which clip number v shows `pixels(name, v)`."""

    num_frames, fps, height, width = 40, 25.0, SIZE, SIZE

    def __init__(self, path, **kwargs):
        if Path(path).name.startswith("broken"):
            raise VideoError(f"{path}: broken")
        self.name = Path(path).name

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def read_clips(self, pairs, size, out):
        assert len(pairs) == len(out) == VIEWS
        for view, clip in enumerate(out):
            clip[:] = pixels(self.name, view)


class Squares(nn.Module):
    """Features that are not linear: averaging clips before the network, or logits after it, are two things."""

    num_features = 3

    def reset_classifier(self, num_classes):
        pass

    def forward(self, clips):
        return clips.mean(dim=(2, 3, 4)) ** 2 - 2

    def forward_features(self, clips):
        return self(clips)[:, :, None, None, None]


def feature_by_hand(clip: np.ndarray) -> list[float]:
    """What `Squares` makes of one clip (T, S, S, 3)."""
    feature = []
    for channel in range(3):
        values = [int(frame[y][x][channel]) for frame in clip for y in range(SIZE) for x in range(SIZE)]
        feature.append((sum(values) / len(values)) ** 2 - 2)
    return feature


def label_of(number: int, classes: int) -> int:
    return (number + number // 3) % classes


def networks(classes: int) -> tuple[nn.Module, nn.Module]:
    classifier = Classifier(Squares(), classes)
    with torch.no_grad():
        classifier.fc.weight.copy_(torch.tensor(WEIGHTS[:classes]))
        classifier.fc.bias.zero_()
    return classifier, ViewFeatures(Squares())


def results(
    accelerator,
    model: nn.Module,
    first: int,
    videos: int,
    batch: int,
    broken: tuple[int, ...] = (),
    desc: str = "test videos",
    max_failures: float = 100,
):
    """`predict` over the videos numbered from `first`; without labels, which it does not look at."""
    names = [f"broken {n}" if n in broken else str(first + n) for n in range(videos)]
    rows = [{"video": name, "root": "", "num_frames": None, "label": None} for name in names]
    index = datasets.Dataset.from_list(rows)
    clips = clip_dataset.ClipDataset(index, clip_dataset.Picker(FRAMES, views=VIEWS), SIZE)
    accelerator, team = accelerator
    test_set = TestSet(clips, Failures(index, max_failures), batch=batch, team=team, num_workers=0)
    found = predict(Forward(model, as_floats, accelerator=accelerator, team=team), test_set, desc)
    assert found.index is index
    assert len(found) == len(found.rows) == len(found.values)
    return found.rows, found.values, found.num_failed


def as_floats(clips):
    return clips.permute(0, 4, 1, 2, 3).float()


def evaluate(accelerator, classes: int, videos: int, batch: int, broken: tuple[int, ...]) -> dict:
    """The protocols on `videos` test videos, the broken ones counted from the end in the training set of 3 more.

    Not the linear probe: it takes the same features, and tests/evaluation/test_linear.py compares it with loops.
    """
    classifier, features_of = networks(classes)
    gallery_broken = tuple(videos + 2 - n for n in broken)
    rows, logits, failed = results(accelerator, classifier, 0, videos, batch, broken)
    same_rows, query, _ = results(accelerator, features_of, 0, videos, batch, broken)
    places, gallery, lost = results(accelerator, features_of, 50, videos + 3, batch, gallery_broken, "training videos")
    assert torch.equal(rows, same_rows)
    labels, gallery_labels = (
        torch.tensor([label_of(first + n, classes) for n in each.tolist()]) for first, each in ((0, rows), (50, places))
    )
    votes = neighbours.knn_votes(query, gallery, gallery_labels, num_classes=classes, k=4)

    def topk(scores):
        return accuracy.accuracy(scores, labels)

    return {
        "rows": rows.tolist(),
        "failed": failed,
        "logits": logits.tolist(),
        "features": query.tolist(),
        "gallery": (places.tolist(), lost),
        "classify": topk(logits),
        "recall": neighbours.recall(query, labels, gallery_features=gallery, gallery_labels=gallery_labels, ks=KS),
        "neighbours": neighbours.neighbours(query, gallery, 6)[0].tolist(),
        "shares": votes.softmax(1).tolist(),
        "knn": topk(votes),
    }


def evaluate_by_hand(classes: int, videos: int, broken: tuple[int, ...]) -> dict:
    """The same with loops."""
    rows = [n for n in range(videos) if n not in broken]
    places = [n for n in range(videos + 3) if videos + 2 - n not in broken]
    views = [[feature_by_hand(pixels(str(n), view)) for view in range(VIEWS)] for n in rows]
    gallery = [slow.mean([feature_by_hand(pixels(str(50 + n), view)) for view in range(VIEWS)]) for n in places]
    query = [slow.mean(each) for each in views]
    logits = []
    for features in views:
        per_clip = [
            [sum(w * x for w, x in zip(weight, feature, strict=True)) for weight in WEIGHTS[:classes]]
            for feature in features
        ]
        logits.append(slow.mean(per_clip))
    labels, gallery_labels = [label_of(n, classes) for n in rows], [label_of(50 + n, classes) for n in places]
    shares = slow.shares(query, gallery, gallery_labels, classes, 4, 0.07)
    return {
        "rows": rows,
        "failed": len(broken),
        "logits": logits,
        "features": query,
        "gallery": (places, len(broken)),
        "classify": slow.accuracy(logits, labels),
        "recall": slow.recall(query, labels, gallery, gallery_labels, ks=KS),
        "neighbours": slow.neighbours(query, gallery, 6)[0],
        "shares": shares,
        "knn": slow.accuracy([[round(share, 7) for share in row] for row in shares], labels),
    }


def assert_equal(found: dict, expected: dict) -> None:
    """Equal where the sums are exact, else near."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if name == "shares":
            np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-5, err_msg=name)
        elif isinstance(value, dict):
            assert found[name] == pytest.approx(value, abs=1e-9), name
        else:
            assert found[name] == value, name


@pytest.fixture
def accelerator(monkeypatch):
    from accelerate import Accelerator

    monkeypatch.setattr(clip_dataset, "Video", FakeVideo)
    return Accelerator(), Team()


def in_a_rank(folder: Path) -> None:
    from accelerate import Accelerator

    clip_dataset.Video = FakeVideo
    accelerator = Accelerator()
    rank = accelerator.process_index
    both = accelerator, Team(rank, accelerator.num_processes)
    found = [evaluate(both, classes, *case) for case in CASES for classes in (3, 7)]
    for broken, max_failures in (((0, 1, 2), 100), ((1, 2), 50), ((2,), 1)):
        try:
            found.append(results(both, networks(3)[0], 0, 3, 1, broken, max_failures=max_failures)[2])
        except VideoError as error:
            found.append(str(error))
    torch.save(found, folder / f"{rank}.pt")


def test_there_are_ties_to_break():
    """Else the tests below would not test them: in the logits, in the similarities, and at the cut after k."""
    found = evaluate_by_hand(7, 13, ())
    assert all(row[0] == row[2] and row[1] == row[5] for row in found["logits"])
    assert found["features"][0] == found["features"][6]
    gallery = evaluate_by_hand(7, 63, ())["features"][50:]
    for row in slow.neighbours(found["features"], gallery, 4)[1]:
        assert len(set(row)) <= 6 < len(row)


@pytest.mark.parametrize("classes", [3, 7])
@pytest.mark.parametrize(("videos", "batch", "broken"), CASES)
def test_one_process_equals_loops(accelerator, classes, videos, batch, broken):
    assert_equal(evaluate(accelerator, classes, videos, batch, broken), evaluate_by_hand(classes, videos, broken))


def test_two_processes_equal_loops(tmp_path):
    """Nothing that fills up the last batch is counted; each process has the whole result."""
    statuses = run_ranks(tmp_path, in_a_rank, tmp_path)
    assert statuses == [0, 0], (tmp_path / "0.err").read_text() + (tmp_path / "1.err").read_text()
    settings = [(classes, videos, broken) for videos, _, broken in CASES for classes in (3, 7)]
    for rank in (0, 1):
        *found, none, too_many, single = torch.load(tmp_path / f"{rank}.pt")
        for result, setting in zip(found, settings, strict=True):
            assert_equal(result, evaluate_by_hand(*setting))
        assert none.startswith("test videos: none of the 3 can be read")
        assert too_many.startswith("test videos: 2 of the 3 videos could not be read so far; more than 50 % ")
        assert single == 1
    errors = [(tmp_path / f"{rank}.err").read_text() for rank in (0, 1)]
    named = [re.findall(r"could not read broken \d+: broken; it is left out", error) for error in errors]
    assert sum(map(len, named)) == sum(len(broken) * 3 * 2 for *_, broken in CASES) + 3 + 2 + 1


class Shifted(nn.Module):
    """A network whose output is its buffer, as batch norm's statistics are: each process has its own."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.register_buffer("mean", torch.tensor([5.0, 1.0]))

    def forward(self, views):
        return self.weight * self.mean.expand(len(views), 2)


def with_own_statistics(folder: Path) -> None:
    from accelerate import Accelerator

    clip_dataset.Video = FakeVideo
    accelerator = Accelerator()
    model = accelerator.prepare_model(Shifted())
    accelerator.unwrap_model(model).mean[0] = 5.0 + accelerator.process_index  # as after a training step
    rank = accelerator.process_index
    torch.save(results((accelerator, Team(rank, 2)), model, 0, 5, 1)[1], folder / f"{rank}.pt")


def test_two_processes_test_the_network_that_is_kept(tmp_path):
    """Batch statistics are those of the first process, in all of them: a checkpoint holds these."""
    statuses = run_ranks(tmp_path, with_own_statistics, tmp_path)
    assert statuses == [0, 0], (tmp_path / "0.err").read_text() + (tmp_path / "1.err").read_text()
    for rank in (0, 1):
        assert torch.load(tmp_path / f"{rank}.pt").tolist() == [[5.0, 1.0]] * 5


@pytest.mark.parametrize(("broken", "max_failures"), [((1, 5), 29), ((5,), 1)])
def test_videos_that_cannot_be_read_are_named(accelerator, broken, max_failures, capsys):
    rows, _, failed = results(accelerator, networks(7)[0], 0, 7, 2, broken, max_failures=max_failures)
    assert (rows.tolist(), failed) == ([row for row in range(7) if row not in broken], len(broken))
    named = [line for line in capsys.readouterr().err.splitlines() if "could not read" in line]
    assert named == [f"could not read broken {row}: broken; it is left out" for row in broken]


def test_too_many_videos_that_cannot_be_read(accelerator, capsys):
    with pytest.raises(VideoError, match=r"^test videos: 2 of the 7 videos could not be read so far; more than 28 % "):
        results(accelerator, networks(7)[0], 0, 7, 2, (1, 5), max_failures=28)


def test_no_video_that_can_be_read(accelerator):
    with pytest.raises(VideoError, match=r"^test videos: none of the 3 can be read; stages/verify\.py .* says why$"):
        results(accelerator, networks(3)[0], 0, 3, 2, (0, 1, 2))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_outputs_that_are_not_finite_are_no_result(accelerator, value):
    classifier, _ = networks(3)
    torch.nn.init.constant_(classifier.fc.bias, value)
    with pytest.raises(FloatingPointError, match=r"^0: the network's output is NaN or infinite; give other weights"):
        results(accelerator, classifier, 0, 3, 2)


def test_what_keeps_one_process_from_reading_is_told_to_all(accelerator, monkeypatch):
    class Heard(Team):
        def check(self, mine):
            raise CheckpointError(f"told to all: {mine}")

    def refuse(loader):
        raise ConfigError("no shared memory")

    monkeypatch.setattr(Loader, "__iter__", refuse)
    with pytest.raises(CheckpointError, match=r"^told to all: no shared memory$"):
        results((accelerator[0], Heard()), networks(3)[0], 0, 3, 2)


def test_halves_are_averaged_in_single_precision():
    """Two clips of half precision whose mean is none; a tie of the clips' rounding would be the lower class."""
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(1, 1, bias=False, dtype=torch.bfloat16))
    encoder.reset_classifier, encoder.num_features = lambda number: None, 1
    nn.init.ones_(encoder[1].weight)
    views = torch.tensor([1.0, 1.0078125], dtype=torch.bfloat16).view(1, 2, 1, 1, 1, 1)  # neighbours among the halves
    features = ViewFeatures(encoder)(views)
    assert (features.dtype, features.item()) == (torch.float32, 1.00390625)
    classifier = Classifier(encoder, 1).bfloat16()
    nn.init.ones_(classifier.fc.weight)
    nn.init.zeros_(classifier.fc.bias)
    logits = classifier(views)
    assert (logits.dtype, logits.item()) == (torch.float32, 1.00390625)
    assert ViewFeatures(encoder.double())(views.double()).dtype == torch.float64


# What is written


@pytest.fixture
def index(tmp_path):
    rows = [new_row(f"{name}.mp4", "/", name) for name in "cabdef"]
    return to_dataset([*rows, new_row("unlabelled.mp4", "/")], tmp_path / "cache")


def test_predictions_rank_as_the_accuracy_does(index):
    rows = torch.tensor([0, 2, 6])
    logits = torch.randint(0, 3, (3, 6), generator=torch.Generator().manual_seed(0)).float()
    logits[1, 0] = -torch.inf  # as of a class without a vote
    lines = predictions(Outputs(index, rows, logits, {}))
    assert [(line["video"], line["label"]) for line in lines] == [
        ("c.mp4", "c"),
        ("b.mp4", "b"),
        ("unlabelled.mp4", None),
    ]
    for line, row, ranked in zip(lines, logits.tolist(), accuracy.top_classes(logits).tolist(), strict=True):
        assert ranked == slow.ranking(row)[:5]
        assert line["predicted"] == ["abcdef"[number] for number in ranked]
        powers = [np.exp(logit) for logit in row]
        assert line["probability"] == pytest.approx([powers[n] / sum(powers) for n in ranked], abs=6e-6)


def test_labels_are_of_the_videos_that_can_be_read(index):
    """That the others may have none is no mistake."""
    assert Outputs(index, torch.tensor([0, 2]), torch.empty(0), {6: "broken"}).labels.tolist() == [2, 1]


def test_neighbours_are_named_by_their_rows(index):
    """Places among the entries that could be read are not rows of the index."""
    places, similarities = torch.tensor([[1, 0], [2, 1]]), torch.tensor([[1.0, 0.123456], [0.5, -1.0]])
    queries, gallery = (Outputs(index, torch.tensor(rows), torch.empty(0), {}) for rows in ([6, 1], [0, 3, 5]))
    one, two = nearest(queries, gallery, places=places, similarities=similarities)
    assert one == {
        "video": "unlabelled.mp4",
        "label": None,
        "neighbours": [
            {"video": "d.mp4", "label": "d", "similarity": 1.0},
            {"video": "c.mp4", "label": "c", "similarity": 0.12346},
        ],
    }
    assert two["video"] == "a.mp4"
    assert [(near["video"], near["similarity"]) for near in two["neighbours"]] == [("f.mp4", 0.5), ("d.mp4", -1.0)]


def test_a_file_of_features_tells_why_there_is_none(tmp_path):
    index = to_dataset([new_row(f"{n}.mp4", str(tmp_path), "a") for n in range(4)], tmp_path)
    told = Outputs(index, torch.tensor([0, 2]), torch.ones(2, 3), {1: "missing", 3: "timeout"})
    rows = feature_rows([told], [None])
    assert rows["status"].to_pylist() == ["ok", "missing", "ok", "timeout"]
    assert [each is None for each in rows["feature"].to_pylist()] == [False, True, False, True]
