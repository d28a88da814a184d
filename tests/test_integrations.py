"""mteb evaluates encoders of rspnet: a task of its own kind, on generated videos, without a network."""

import sys

import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value, Video

import rspnet
from rspnet.encoders import as_clip
from rspnet.errors import ConfigError, VideoError
from rspnet.integrations import mteb_encoder
from rspnet.weights.load import save_network
from tests.support.published_files import small

CLIP = {"num_frames": 8, "size": 32, "stride": 1, "frame_rate": None, "sampling": "clip", "views": 2}
CLIP |= {"mean": [0.5] * 3, "std": [0.2] * 3, "channels": "RGB"}


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    encoder = small("resnet18")
    encoder.clip = as_clip(CLIP, encoder.clip)
    save_network(tmp_path, encoder, clips=CLIP, provenance={})
    return tmp_path


def dataset(root, in_rows):
    """The videos of `motions` as mteb wants a data set: by their paths, or as bytes in the rows."""
    names = ["down", "right", "still"]
    features = Features({"video": Video(decode=False), "label": ClassLabel(names=names), "number": Value("int64")})
    splits = {}
    for split in ("train", "test"):
        rows = {"video": [], "label": [], "number": []}
        for number, path in enumerate(sorted((root / split).rglob("*.mp4"))):
            file = {"path": path.name, "bytes": path.read_bytes()} if in_rows else {"path": str(path), "bytes": None}
            rows["video"].append(file)
            rows["label"].append(names.index(path.parent.name))
            rows["number"].append(number)
        splits[split] = Dataset.from_dict(rows, features=features).cast_column("video", Video())
    return DatasetDict(splits)


@pytest.mark.filterwarnings("ignore")  # mteb's own
@pytest.mark.parametrize("in_rows", [False, True])
def test_mteb_evaluates_an_encoder(motions, weights, tmp_path, in_rows):
    mteb = pytest.importorskip("mteb", reason="mteb is not installed")
    from mteb.abstasks.classification import AbsTaskClassification
    from mteb.abstasks.task_metadata import TaskMetadata

    class Motions(AbsTaskClassification):
        metadata = TaskMetadata(
            name="Motions",
            description="Which way a pattern moves.",
            dataset={"path": "none", "revision": "none"},
            type="VideoClassification",
            category="v2c",
            modalities=["video"],
            eval_splits=["test"],
            eval_langs=["eng-Latn"],
            main_score="accuracy",
            reference=None,
            date=None,
            domains=None,
            task_subtypes=None,
            license=None,
            annotations_creators=None,
            dialect=None,
            sample_creation=None,
            bibtex_citation=None,
        )
        input_column_name = "video"
        samples_per_label = 4
        n_experiments = 2

        def load_data(self, **_):
            self.dataset, self.data_loaded = dataset(motions, in_rows), True

    encoder = mteb_encoder(weights, "org/net")
    results = mteb.evaluate(encoder, [Motions()], cache=None, encode_kwargs={"batch_size": 4})
    (scores,) = results.task_results[0].scores["test"]
    assert 0 <= scores["accuracy"] <= 1
    assert results.model_name == "org/net"
    rows = dataset(motions, in_rows)["test"]
    found = encoder.encode(torch.utils.data.DataLoader(rows))
    network = rspnet.load_encoder(weights)
    for path, feature in zip(sorted((motions / "test").rglob("*.mp4")), found, strict=True):
        with torch.no_grad():
            torch.testing.assert_close(torch.from_numpy(feature), network(rspnet.read_clips(path, network)).mean(0))
    rows = Dataset.from_dict({"video": [{"path": "gone.mp4", "bytes": None}]}, features=Features({"video": Video()}))
    with pytest.raises(VideoError, match=r"^gone.mp4: no such file, and the rows do not hold it"):
        encoder.encode(torch.utils.data.DataLoader(rows))


def test_without_mteb_it_says_so(weights, monkeypatch):
    monkeypatch.setitem(sys.modules, "mteb.models.abs_encoder", None)
    with pytest.raises(ConfigError, match=r"^mteb: cannot be imported \(.*\); pip install mteb$"):
        mteb_encoder(weights)
