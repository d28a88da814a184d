"""One video as evaluation feeds it; tests/stages/test_evaluate.py compares the features that come out."""

from dataclasses import replace

import numpy as np
import pytest
import timm
import torch

import rspnet
from rspnet.data.augment import normalise
from rspnet.data.sampling import even_clips, resample
from rspnet.encoders import create_encoder
from rspnet.errors import VideoError
from rspnet.method.classifier import Classifier
from tests.support.numbered import write_numbered


@pytest.fixture
def encoder():
    made = create_encoder("resnet18", width=8)
    made.clip = replace(made.clip, num_frames=4, size=32, stride=2, views=3)
    return made


def frames_of(path, clips):
    return torch.stack([torch.from_numpy(rspnet.read_frames(path, frames)) for frames in clips])


def test_frames_crop_size_and_normalisation(tmp_path, encoder):
    write_numbered(tmp_path / "v.mp4", 20)
    clips = rspnet.read_clips(tmp_path / "v.mp4", encoder)
    assert (clips.shape, clips.dtype, clips.requires_grad) == ((3, 3, 4, 32, 32), torch.float32, False)
    raw = frames_of(tmp_path / "v.mp4", even_clips(20, 4, 2, n=3))
    side = min(raw.shape[2:4])
    top, left = ((length - side) // 2 for length in raw.shape[2:4])
    square = raw[:, :, top : top + side, left : left + side].flatten(0, 1).permute(0, 3, 1, 2).float()
    resized = torch.nn.functional.interpolate(square, (32, 32), mode="bilinear", align_corners=False)
    resized = resized.round().byte().permute(0, 2, 3, 1).unflatten(0, (3, 4))
    assert (normalise(resized) - clips).abs().mean() < 0.05  # luma and chroma are resized apart
    assert len(rspnet.read_clips(tmp_path / "v.mp4", encoder, views=1)) == 1
    for views in (0, -1):
        with pytest.raises(ValueError, match=r"^views: -?[01]; it must be at least 1"):
            rspnet.read_clips(tmp_path / "v.mp4", encoder, views)


def test_rate_channels_and_cover(tmp_path, encoder):
    write_numbered(tmp_path / "v.mp4", 30)
    encoder.clip = replace(encoder.clip, frame_rate=5.0, stride=1)
    slow = rspnet.read_clips(tmp_path / "v.mp4", encoder)
    encoder.clip = replace(encoder.clip, frame_rate=None)
    assert not torch.equal(slow, rspnet.read_clips(tmp_path / "v.mp4", encoder))
    assert len(resample(30, 25, 5.0)) == 6
    red, blue = (0.1, 0.2, 0.3), (0.3, 0.2, 0.1)
    encoder.clip = replace(encoder.clip, mean=red)
    forwards = rspnet.read_clips(tmp_path / "v.mp4", encoder)
    encoder.clip = replace(encoder.clip, mean=blue, std=encoder.clip.std[::-1], channels="BGR")
    assert torch.equal(rspnet.read_clips(tmp_path / "v.mp4", encoder), forwards.flip(1))
    encoder.clip = replace(encoder.clip, sampling="cover", views=2)
    assert rspnet.read_clips(tmp_path / "v.mp4", encoder).shape == (2, 3, 4, 32, 32)


def test_a_video_shorter_than_a_clip(tmp_path, encoder):
    write_numbered(tmp_path / "v.mp4", 3)
    clips = rspnet.read_clips(tmp_path / "v.mp4", encoder)
    assert torch.equal(clips[:, :, 3], clips[:, :, 0])
    assert torch.equal(clips[0], clips[2])
    with torch.no_grad():
        assert encoder(clips).shape == (3, encoder.num_features)


def test_networks_of_timm_and_of_others(tmp_path):
    write_numbered(tmp_path / "v.mp4", 4)
    assert rspnet.read_clips(tmp_path / "v.mp4", timm.create_model("rspnet_resnet18", width=8)).shape[-1] == 112
    with pytest.raises(ValueError, match="Linear has no `clip` that defines its input"):
        rspnet.read_clips(tmp_path / "v.mp4", torch.nn.Linear(1, 1))


def test_a_file_that_is_no_video(tmp_path, encoder):
    (tmp_path / "v.mp4").write_bytes(np.zeros(100, np.uint8).tobytes())
    with pytest.raises(VideoError, match=r"v\.mp4: "):
        rspnet.read_clips(tmp_path / "v.mp4", encoder)


def test_frames_in_place_of_a_file(tmp_path, encoder):
    write_numbered(tmp_path / "v.mp4", 20)
    frames = rspnet.read_frames(tmp_path / "v.mp4", range(20))
    clips = rspnet.read_clips(frames, encoder)
    assert torch.equal(clips, rspnet.read_clips(torch.from_numpy(frames), encoder))
    assert (
        clips - rspnet.read_clips(tmp_path / "v.mp4", encoder)
    ).abs().mean() < 0.05  # planes are resized apart there
    assert rspnet.read_clips(frames[:3], encoder).shape == (3, 3, 4, 32, 32)
    for wrong in (frames[0], frames.astype(np.float32), frames[..., :1], frames[:0]):
        with pytest.raises(
            ValueError, match=r"frames are .*; give a file, or uint8 \(frames, height, width, 3\) in RGB"
        ):
            rspnet.read_clips(wrong, encoder)
    classifier = Classifier(encoder, 3, class_names=list("abc")).eval()
    classes = classifier.predict(frames)
    assert classes == classifier.predict(clips)
    assert dict(classes) == pytest.approx(dict(classifier.predict(tmp_path / "v.mp4")), abs=0.01)
