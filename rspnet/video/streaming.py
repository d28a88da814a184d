"""Read the pictures of a whole video in one pass, a few at a time, so that memory does not grow with its length."""

import zlib
from collections.abc import Iterator

from rspnet.errors import RSPNetError, VideoError
from rspnet.video.opening import only_video_errors
from rspnet.video.orientation import Pixels
from rspnet.video.pixels import Album, Crop, MisfitError
from rspnet.video.plan import Numbers
from rspnet.video.reader import Video

AT_ONCE = 16
"""Number of frames that are converted at a time, and to which a video's time limit applies."""


def stream(video: Video, wanted: Numbers, *, crop: Crop, size: int) -> Iterator[Pixels]:
    """Decode each wanted frame once, in order; frames between them are skipped if that is quicker.

    Args:
        video: an open video, which nothing else may read meanwhile.
        wanted: int64, frame numbers, ascending.
        crop: see `Video.read`.
        size: S, pixels.

    Yields:
        uint8 (n, S, S, 3), the next n pictures; n is `AT_ONCE`, except at the end or before an error.

    Raises:
        VideoError: as from `Video.read`; or pictures already yielded prove to be wrong, as with a damaged file.
    """
    parts = [wanted[start : start + AT_ONCE].tolist() for start in range(0, len(wanted), AT_ONCE)]
    sums: list[int] = []
    with only_video_errors(video.path, MisfitError):
        video.clock.start()
        frames = video.frames(wanted.tolist())
        number = 0
        again = None
        while number < len(parts):
            video.clock.start()
            album = Album(video.path, [(parts[number], crop)], size, converter=video.converter)
            done = 0
            try:
                for index in parts[number]:
                    found, frame = again or next(frames)
                    again = None
                    if found != index:
                        break
                    album.put(index, frame)
                    done += 1
            except RSPNetError:
                if done and number == len(sums):
                    yield album.finish()[0][:done]
                raise
            if found != index:  # jumping failed: the video now yields all frames again, decoded from the start
                number, again = 0, (found, frame)
                continue
            pictures = album.finish()[0]
            total = zlib.adler32(pictures.data)
            if number == len(sums):
                sums.append(total)
                yield pictures
            elif total != sums[number]:
                raise VideoError(
                    f"{video.path}: frames {parts[number][0]} to {parts[number][-1]} differ when it is decoded "
                    "from its start; transcode it, or look at it with verify --depth decode"
                )
            number += 1
