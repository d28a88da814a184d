"""Plans that nobody made of the file: refused, passed over, or the right frames; never much memory, never an abort."""

import base64
import contextlib
import dataclasses
import resource
import zlib
from fractions import Fraction

import numpy as np
import pytest

from rspnet.errors import VideoError
from rspnet.video.orientation import Orientation
from rspnet.video.plan import OtherFileError, Plan, _checksum, _pack
from rspnet.video.reader import Video, inspect
from tests.support.numbered import number, write_numbered

LENGTH = 40
FILES = {
    "a.mp4": {"options": {"bf": "3"}},
    "a.mkv": {"options": {"bf": "3"}},
    "a.avi": {"codec": "mpeg4"},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Path and plan of one file of each kind."""
    folder = tmp_path_factory.mktemp("forged")
    paths = [write_numbered(folder / name, LENGTH, **how) for name, how in FILES.items()]
    return {path: inspect(path, "decode")["plan"] for path in paths}


def try_out(path, text, promised=LENGTH):
    """Whether a plan is refused; what is read by it is right."""
    try:
        Plan.from_text(text)
        with Video(path, promised, plan=text) as video:
            found = [number(frame) for frame in video.read([3, 17, 38])]
    except (VideoError, ValueError):
        return True
    assert found == [3, 17, 38]
    return False


def squeezed(packed):
    squeezer = zlib.compressobj(9, wbits=-15)
    return base64.b64encode(squeezer.compress(packed) + squeezer.flush()).decode()


def forged(facts, lists=()):
    packed = _pack([*facts, *lists])
    return squeezed(packed + _checksum(packed))


@pytest.mark.parametrize("place", range(12))
@pytest.mark.parametrize("value", [-1, 255, 2**31, 2**40, 2**62])
def test_facts_that_announce_too_much(files, place, value):
    """Size, stream, rate, sides, flags, depth, packets, frames, starts, header: before room is made."""
    path, _ = next(iter(files.items()))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    facts = [path.stat().st_size, 0, 25, 1, 64, 80, 0, 2, LENGTH, LENGTH, 1, 0]
    facts[place] = value
    text = forged([6, *facts], [0] * LENGTH)
    assert try_out(path, text) or place == 0 or (place, value) in {(2, 255), (5, 255), (4, 255), (1, 255)}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


def test_what_inflates(files):
    """A hundred thousand bytes of text that stand for a hundred million."""
    path, _ = next(iter(files.items()))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    facts = [6, path.stat().st_size, 0, 25, 1, 64, 80, 0, 2, LENGTH, LENGTH, 1, 0]
    for content in (bytes(10**8), _pack(facts) + bytes(10**8), b"\xff" * 10**8):
        with pytest.raises(ValueError, match="is not the plan of a video"):
            Plan.from_text(squeezed(content))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 250_000  # what the test itself takes


def test_the_size_is_compared_first(files):
    path, text = next(iter(files.items()))
    size = path.stat().st_size
    assert Plan.from_text(text, size).file_size == size
    with pytest.raises(OtherFileError):
        Plan.from_text(text, size + 1)


def forgeries(plan, rng):
    """The plan with one thing that is not so."""
    a, b = sorted(rng.choice(np.arange(1, LENGTH), 2, replace=False).tolist())
    shown = plan.shown.copy()
    shown[[a, b]] = shown[[b, a]]
    yield dict(shown=shown)
    yield dict(shown=np.delete(plan.shown, a))
    yield dict(shown=plan.shown[::-1])
    yield dict(shown=np.append(plan.shown[:-1], plan.shown[0]))
    yield dict(keys=np.unique([*plan.keys, a]))
    yield dict(keys=np.arange(plan.num_packets))
    yield dict(keys=plan.keys[1:])
    yield dict(depth=int(rng.integers(0, 17)))
    yield dict(depth=255)
    yield dict(num_packets=plan.num_packets + a)
    yield dict(height=plan.width, width=plan.height)
    yield dict(height=2**14, width=2**16)
    yield dict(orientation=Orientation(False, True, False))
    yield dict(orientation=Orientation(True, False, True))
    yield dict(rate=Fraction(1, 10**12))
    yield dict(stream=a)
    yield dict(header={-1: 0, 0: 8, 8: 0}[plan.header])
    yield dict(packed=not plan.packed)
    if plan.times is not None:
        times = plan.times.copy()
        times[[a, b]] = times[[b, a]]
        yield dict(times=times)
        yield dict(times=plan.times + 1)
        yield dict(times=np.zeros_like(plan.times))
    moments = np.arange(LENGTH + 1) * 40
    yield dict(moments=moments[::-1])
    yield dict(moments=moments * 2**40)
    yield dict(moments=moments[:-1])


def forged_texts(plan, rng):
    """The forgeries as text, as far as they can be written."""
    for forgery in forgeries(plan, rng):
        with contextlib.suppress(ValueError, IndexError):
            yield dataclasses.replace(plan, **forgery).to_text()


def test_one_thing_that_is_not_so(files):
    for path, text in files.items():
        plan, rng = Plan.from_text(text), np.random.default_rng(0)
        for _ in range(3):
            for forged in forged_texts(plan, rng):
                try_out(path, forged)


def mutants(text, rng, count):
    """The text with letters changed, cut, doubled; what it holds with bits flipped, with a checksum that is right."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
    packed = zlib.decompress(base64.b64decode(text), wbits=-15)[:-4]
    for _ in range(count):
        place, other = int(rng.integers(len(text))), letters[rng.integers(len(letters))]
        yield text[:place] + other + text[place + 1 :]
        yield text[:place]
        yield text[:place] * 2 + text[place:]
        content = bytearray(packed)
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        yield squeezed(bytes(content) + packed[-4:])


def test_accidents_are_refused(files):
    rng = np.random.default_rng(1)
    for path, text in files.items():
        for mutant in mutants(text, rng, 60):
            assert try_out(path, mutant) or Plan.from_text(mutant).to_text() == text
