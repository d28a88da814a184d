"""Clips as a picture: the colours that they have, a row for each view."""

import torch

from rspnet.clipspec import ClipSpec
from rspnet.data.pictures import as_picture


def test_colours_and_places():
    clip = ClipSpec(3, 2, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    frames = torch.randint(256, (2, 1, 3, 4, 5, 3), dtype=torch.uint8)  # two views, one video, 3 frames of 4 x 5
    views = (frames.permute(0, 1, 5, 2, 3, 4) / 255 - torch.tensor(clip.mean).view(3, 1, 1, 1)) / torch.tensor(
        clip.std
    ).view(3, 1, 1, 1)
    longer = torch.cat([views[1], views[1]], dim=2)
    picture = torch.from_numpy(as_picture([views[0], longer], clip))
    assert picture.shape == (2 * 4, 3 * 5, 3)
    assert torch.equal(picture[:4, 5:10], frames[0, 0, 1])
    assert torch.equal(picture[4:, 10:], frames[1, 0, 2])
    swapped = as_picture([views[0].flip(1)], ClipSpec(3, 2, clip.mean[::-1], clip.std[::-1], channels="BGR"))
    assert torch.equal(torch.from_numpy(swapped), picture[:4])
