"""Layers of torch that compute wrongly on a CPU in some orders of memory and types, put right."""

from torch import nn

from rspnet.encoders.batchnorm import BatchNorm3d
from rspnet.encoders.convolution import Conv3d


def mend(network: nn.Module) -> None:
    """Make the 3-D convolutions and normalisations of a network ours, in place: weights and names stay as they are."""
    for layer in network.modules():
        if type(layer) is nn.BatchNorm3d:
            layer.__class__ = BatchNorm3d
        elif isinstance(layer, nn.Conv3d):  # torchvision has kinds of its own, which differ in how they are made
            layer.__class__ = Conv3d
