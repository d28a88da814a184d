"""Run a network over lists of videos: one pass for features, for the probes of motion, and for the pretext tasks."""

import copy
import dataclasses
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch

from rspnet.cli import options
from rspnet.console import say, some
from rspnet.data.augment import normaliser
from rspnet.data.clip_dataset import even_clips
from rspnet.data.index import selection
from rspnet.data.lengths import tell_short
from rspnet.data.sets import Failures, TestSet
from rspnet.data.speed_clips import SPEEDS, SpeedClips
from rspnet.encoders import create_encoder
from rspnet.evaluation import pretext
from rspnet.evaluation.forward import Forward
from rspnet.evaluation.found import if_possible
from rspnet.evaluation.played import Play, Played, play_videos
from rspnet.evaluation.predict import Outputs, predict
from rspnet.evaluation.probes import PLAYS, PROBES, remarks
from rspnet.method.heads import Embedder
from rspnet.running import machine, tuning
from rspnet.running.layout import lay_out
from rspnet.running.network import Config as NetworkConfig

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import nn

    from rspnet.clipspec import ClipSpec
    from rspnet.data.clip_dataset import ClipDataset
    from rspnet.data.held_out import Lists
    from rspnet.evaluation.found import Found
    from rspnet.running.folder import Run
    from rspnet.weights.heads import Heads


class Config(NetworkConfig, Protocol):
    """The options that are used here, of a stage that runs a network over videos."""

    @property
    def data(self) -> options.DataSet:
        """How videos are read."""
        ...

    @property
    def test(self) -> options.Test:
        """How many videos at a time."""
        ...

    @property
    def run(self) -> options.Evaluation:
        """The seed of draws, and whether torch compiles."""
        ...


class Looker:
    """A network, ready to be run over lists of videos.

    Args:
        network: takes the views of videos.
        clip: its input.
        run: the device, and the processes that share the videos.
        config: the stage's options.
    """

    def __init__(self, network: "nn.Module", clip: "ClipSpec", run: "Run", *, config: Config) -> None:
        model = run.accelerator.prepare_model(network, evaluation_mode=True)
        tuning.compile_step(model, run.accelerator.device, wanted=config.run.compile)
        self.clip = clip
        self._forward = Forward(model, normaliser(clip), accelerator=run.accelerator, team=run.team)
        self._config, self._run = config, run
        self._workers = machine.workers(config.data.num_workers)

    def outputs(self, videos: "Dataset", desc: str) -> Outputs:
        """Return the network's output for each video of a list, on evenly spaced clips.

        Args:
            videos: the list.
            desc: what to call the videos, for the progress bar and messages.
        """
        clips = even_clips(videos, self.clip, **self._config.data.limits())
        tell_short(clips, desc)
        return predict(self._forward, self._set(clips), desc)

    def played(self, videos: "Dataset", plays: Iterable[Play], desc: str) -> Played:
        """Return the features of each video of a list, played in several ways."""
        plays = list(plays)
        speeds = tuple(speed for speed in SPEEDS if speed in {play.speed for play in plays})
        return play_videos(self._forward, self._set(self._of_speeds(self.clip, videos, speeds)), plays, desc=desc)

    def pretext(self, videos: "Dataset", desc: str) -> "tuple[Found, Outputs]":
        """Return how well an `rspnet.evaluation.pretext.Embeddings` does the pretext tasks, and its outputs."""
        clips = self._of_speeds(dataclasses.replace(self.clip, views=2), videos, pretext.SPEEDS)
        embedded = pretext.embed(self._forward, self._set(clips), desc)
        measure = partial(pretext.pretext, embedded, clips.picker, seed=self._config.run.seed)
        return if_possible("pretext", measure), embedded

    def with_heads(self, heads: "Heads", *, fresh: bool) -> "Looker":
        """Return a `Looker` with the two encoders and heads of a pretraining, and the same input.

        Args:
            heads: the encoders and heads that were loaded.
            fresh: replace them by newly initialised ones of the same sizes, drawn from the seed.
        """
        query, key = heads.query_encoder, heads.key_encoder
        if fresh:
            torch.manual_seed(self._config.run.seed)
            query = Embedder(create_encoder(**vars(self._config.encoder)), query.motion.out_features)
            key = copy.deepcopy(query)
        network = pretext.Embeddings(query, key)
        lay_out(network)
        return Looker(network, self.clip, self._run, config=self._config)

    def _of_speeds(self, clip: "ClipSpec", videos: "Dataset", speeds: tuple[int, ...]) -> SpeedClips:
        return SpeedClips(videos, clip, speeds, seed=self._config.run.seed, **self._config.data.limits())

    def _set(self, clips: "ClipDataset") -> TestSet:
        failures = Failures(clips.index, self._config.data.max_failures)
        return TestSet(clips, failures, batch=self._config.test.batch, team=self._run.team, num_workers=self._workers)


class Probed(NamedTuple):
    """Results of the probes.

    Attributes:
        found: what each protocol found, by its name.
        outputs: the network's, of each pass over a list of videos.
    """

    found: "dict[str, Found]"
    outputs: list[Outputs]


def probe(names: list[str], looker: Looker, lists: "Lists", *, heads: "Heads | None", fresh: bool) -> Probed:
    """Measure a network by probes that need clips of their own; those of motion share one pass over the videos.

    Args:
        names: protocols.
        looker: the network, whose outputs are features.
        lists: the videos.
        heads: the encoders and heads of a pretraining, to measure its own tasks; None if these are not wanted.
        fresh: whether the network has fresh weights; then the heads get fresh ones too, and messages, which the
            trained network has already caused, are not repeated.
    """
    found, outputs = dict[str, "Found"](), list[Outputs]()
    _say(_introduced(names, looker.clip, lists), fresh)
    if (motion := [name for name in names if name in PROBES]) and lists.known is not None:
        plays = [play for name in motion for play in PLAYS[name]]
        tested, known = (looker.played(videos, plays, desc) for videos, desc in lists.named)
        _say(remarks(motion, tested, known), fresh)
        found = {name: if_possible(name, partial(PROBES[name], tested, known)) for name in motion}
        outputs = [tested.outputs, known.outputs]
    if heads is not None:
        _say([heads.summary()], fresh)
        found["pretext"], embedded = looker.with_heads(heads, fresh=fresh).pretext(*lists.named[0])
        outputs.append(embedded)
    return Probed(found, outputs)


def _say(lines: list[str], fresh: bool) -> None:
    for line in () if fresh else lines:
        say(line)


def _introduced(names: list[str], clip: "ClipSpec", lists: "Lists") -> list[str]:
    number = f"{some(len(lists.tested), 'video')}{selection(*lists.left_out)}"
    learnt = f", {len(lists.known)} to learn from" if lists.known is not None and names != ["pretext"] else ""
    fed = f"clips of {some(clip.num_frames, 'frame')} at several speeds, central crop {clip.size}"
    return [*filter(None, [lists.told]), f"{','.join(names)}: {number}{learnt}, {fed}"]
