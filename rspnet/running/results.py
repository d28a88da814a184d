"""A run's result: its numbers rounded as people write them, and summarised in words."""

from statistics import fmean
from typing import Any

from rspnet.console import figures, percent, signed, some

_PERCENTAGES = ("top1", "top5", "accuracy", "recall", "chance", "v_measure", "interval", "difference")

_SHOWN = {
    "retrieval": {"1": "recall at 1", "5": "at 5"},
    "knn": {"top1": "top-1"},
    "linear": {"top1": "top-1"},
    "few_shot": {shots: f"from {shots}" for shots in ("1", "5", "8", "10")},
    "cluster": {"v_measure": "v-measure"},
    "speed": {"top1": "accuracy"},
    "arrow_of_time": {"top1": "accuracy"},
    "pretext": {"rsp_accuracy": "RSP", "avid_top1": "A-VID top-1"},
}

_ASKED = {"speed": "which clip plays faster", "arrow_of_time": "which plays backwards"}
_FLATTERED = 5.0
"""Points by which accuracy may exceed the mean over classes before that is mentioned: with classes of unequal size,
always naming the largest one looks far above chance."""
_FIVE_CLASSES = 20.0
"""Chance, in percent, of five classes: with so few, top-5 is always 100 and is not mentioned."""
_CONTROLS = {"shuffled": "frames shuffled", "still": "one frame repeated"}


def rounded(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result rounded to meaningful digits: percentages to 2 decimals, hours to 3, all else to 6 digits.

    Args:
        result: values by name; one may be a dict itself, as of a protocol or a network, or a tuple of numbers.
    """
    return {name: _rounded(name, value) for name, value in result.items()}


def _rounded(name: str, value: object) -> object:
    if isinstance(value, dict):
        return {key: _rounded(f"{name}.{key}", item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_rounded(name, item) for item in value]
    if not isinstance(value, float):
        return value
    if name.endswith("hours"):
        return round(value, 3)
    return round(value, 2) if any(word in name for word in _PERCENTAGES) else float(f"{value:.6g}")


def summary(result: dict[str, Any]) -> str:
    """Return a result in words: ``finetune: top-1 60.0 % of 50 test videos (chance 10), top-5 92.0 %; ...``.

    Some results take more than one line; of several protocols each has its own.

    Args:
        result: of pretrain, finetune or evaluate.
    """
    if result["stage"] == "evaluate" and "," in result["protocol"]:  # several results, each under its protocol
        names = [name.strip() for name in result["protocol"].split(",")]
        return "\n".join(summary({**result, **result[name], "protocol": name}) for name in names)
    if "not_measured" in result:
        text = f"not measured: {result['not_measured']}"
    elif result["stage"] == "pretrain":
        text = _pretraining(result)
    elif result.get("protocol") == "retrieval":
        text = _retrieval(result)
    elif result.get("protocol") == "few_shot":
        text = _few_shot(result)
    elif result.get("protocol") == "cluster":
        text = _cluster(result)
    elif result.get("protocol") in _ASKED:
        text = _probe(result)
    elif result.get("protocol") == "pretext":
        text = _pretext(result)
    else:
        text = _classification(result)
    failed = result.get("num_failed")
    unread = f"; {some(failed, 'video')} could not be read" if failed else ""
    return f"{result.get('protocol', result['stage'])}: {text}{unread}{_compared(result)}"


def _compared(result: dict[str, Any]) -> str:
    """Return how far the network is ahead of fresh weights, with intervals; empty if those were not measured."""
    random = result.get("random", {})
    ahead = [
        f"{said} {signed(random['difference'][name])}{_signed(ends)}"
        for name, ends in random.get("difference_interval", {}).items()
        if (said := _SHOWN[result["protocol"]].get(name))
    ]
    return f"\n  ahead of fresh weights by: {', '.join(ahead)}" if ahead else ""


def _pretraining(result: dict[str, Any]) -> str:
    return (
        f"loss {figures(result['loss'])}, A-VID top-1 {percent(result['avid_top1'])} %, RSP accuracy "
        f"{percent(result['rsp_accuracy'])} % (chance 50)\n{some(result['num_videos'], 'video')}, "
        f"{some(result['epochs'], 'epoch')}, {result['device_hours']:.3g} device hours"
    )


def _classification(result: dict[str, Any]) -> str:
    text = (
        f"top-1 {percent(result['top1'])} %{_within(result, 'top1')} of {some(result['num_videos'], 'test video')} "
        f"(chance {percent(result['chance_top1'], short=True)})"
    )
    if result["chance_top1"] < _FIVE_CLASSES:
        text += f", top-5 {percent(result['top5'])} %"
    if "best_epoch" in result:
        text += f"; best epoch {result['best_epoch']}"
    classes = [value for value in result.get("class_accuracy", {}).values() if value is not None]
    if classes and (mean := fmean(classes)) < result["top1"] - _FLATTERED:
        text += f"\n  the mean of the classes is {percent(mean)} %: large ones are recognised better than small ones"
    return text


def _retrieval(result: dict[str, Any]) -> str:
    among = f"{some(result['num_queries'], 'query', 'queries')} in {some(result['num_gallery'], 'video')}"
    if "recall" not in result:
        return f"the nearest neighbours of {among}; without labels there is no recall"
    (one, chance_one), (five, chance_five) = ((result["recall"][k], result["chance"][k]) for k in ("1", "5"))
    return (
        f"recall at 1 {percent(one)} %{_within(result, '1')} (chance {percent(chance_one, short=True)}), "
        f"at 5 {percent(five)} % ({percent(chance_five, short=True)}); {among}"
    )


def _few_shot(result: dict[str, Any]) -> str:
    found = [f"{n} {percent(top1)} %{_within(result, n)}" for n, top1 in result["top1"].items()]
    found[0] = found[0].replace(" ", " video a class ", 1)
    chance = percent(result["chance_top1"], short=True)
    fewest = result["fewest_of_a_class"]
    said = f"the smallest class has only {some(fewest, 'video')}" if fewest else "a tested class has no training video"
    fewer = f"\n  {said}" if fewest < max(map(int, result["top1"])) else ""
    return f"top-1 from {', from '.join(found)} (chance {chance}); {result['num_draws']} draws of each{fewer}"


def _cluster(result: dict[str, Any]) -> str:
    chance = percent(result["chance_v_measure"], short=True)
    return (
        f"v-measure {percent(result['v_measure'])} %{_within(result, 'v_measure')} (chance {chance}) of "
        f"{some(result['num_videos'], 'test video')}; {result['num_draws']} draws"
    )


def _probe(result: dict[str, Any]) -> str:
    controls = [
        f"{said} {percent(control['top1'])} %{_within(control, 'top1', over=result.get('interval_over'))}"
        for name, said in _CONTROLS.items()
        if (control := result["controls"][name])
    ]
    short = f"; {some(result['left_out'], 'video')} too short" if result["left_out"] else ""
    return (
        f"{_ASKED[result['protocol']]}: {percent(result['top1'])} %{_within(result, 'top1')} of "
        f"{some(result['num_videos'], 'test video')} (chance 50)\n  without motion: {', '.join(controls)}{short}"
    )


def _pretext(result: dict[str, Any]) -> str:
    chance = {name: percent(value, short=True) for name, value in result["chance"].items()}
    short = f"; {some(result['left_out'], 'video')} too short" if result["left_out"] else ""
    return (
        f"RSP {percent(result['rsp_accuracy'])} %{_within(result, 'rsp_accuracy')} (chance {chance['rsp_accuracy']}), "
        f"A-VID top-1 {percent(result['avid_top1'])} %{_within(result, 'avid_top1')} (chance {chance['avid_top1']}, "
        f"{some(result['num_negatives'], 'negative')})\n  of {some(result['num_videos'], 'test video')}{short}"
    )


def _within(result: dict[str, Any], name: str, over: str | None = None) -> str:
    """Return the interval of a number, or why it has none; empty if none was looked for.

    `over` is what it was computed over; None: as the result says.
    """
    known = result.get("interval", {})
    if name not in known:
        return ""
    if known[name] is None:
        over = over or result["interval_over"]
        return f" [no interval: {'all draws are alike' if over == 'draws' else f'{over} alone'}]"
    return f" [{', '.join(percent(end) for end in known[name])}]"


def _signed(ends: list[float] | None) -> str:
    return "" if ends is None else f" [{', '.join(map(signed, ends))}]"
