"""The codecs whose packet headers bitstream.py and h26x.py can parse."""

from collections.abc import Callable

from rspnet.video.bitstream import Av1, Headers, Jpeg, Mpeg4, Mpeg12, Vp8, Vp9
from rspnet.video.h26x import H264, Hevc

_HEADERS: dict[str, Callable[[bytes], Headers]] = {
    "h264": H264,
    "hevc": Hevc,
    "vp8": Vp8,
    "vp9": Vp9,
    "av1": Av1,
    "mpeg4": Mpeg4,
    "mpeg1video": Mpeg12,
    "mpeg2video": Mpeg12,
    "mjpeg": Jpeg,
}
"""Codecs whose packets say whether decoding can start at them. For others, key frame marks have to be tried out."""


def headers_of(codec: str, config: bytes) -> Headers | None:
    """Return the parser of a stream's packets; None for other codecs, or if `config` is malformed.

    Args:
        codec: libavcodec's name of the codec.
        config: the settings that the container stores once for all packets (extradata).
    """
    try:
        return _HEADERS[codec](config)
    except (KeyError, IndexError, ValueError):
        return None
