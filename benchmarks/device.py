"""Speed of a device's matrix product, and a step's operations, kernel launches and waits on the device."""

import os
import platform
import re
import statistics
import subprocess
import time
import warnings
from collections import Counter
from collections.abc import Callable
from functools import cache

import torch
from literal import SHOWN
from steps import Case
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode


def describe(device: torch.device) -> dict[str, object]:
    """Return the device's name, and the versions of the software."""
    found: dict[str, object] = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }
    if device.type == "cuda":
        about = torch.cuda.get_device_properties(device)
        found |= {"name": about.name, "memory": about.total_memory, "cuda": torch.version.cuda}
        found["cudnn"] = torch.backends.cudnn.version()
        return found
    lines = subprocess.run(["lscpu"], text=True, capture_output=True, check=False).stdout
    name = re.search(r"Model name:\s*(.*)", lines)
    return found | {"name": name[1] if name else platform.machine(), "threads": torch.get_num_threads()}


def wait(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def matrix_peak(dtype: torch.dtype, device: torch.device) -> float:
    """Return the operations per second of a large matrix product, under the process's settings; best of five."""
    side = 8192 if device.type == "cuda" else 2048
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(6):
        wait(device)
        began = time.perf_counter()
        left @ right
        wait(device)
        seconds.append(time.perf_counter() - began)
    return 2 * side**3 / min(seconds[1:])


@cache
def operations(case: Case) -> int:
    """Return the floating-point operations of a pretraining step per video: three forward passes, one backward pass.

    Counted by torch for two videos on its meta device, which takes no memory.
    """
    with torch.device("meta"):
        encoder, clips = case.encoder(), torch.empty(2, 3, SHOWN, case.size, case.size)
    counts = []
    for backward in (False, True):
        with FlopCounterMode(display=False) as counter:
            features = encoder(clips)
            if backward:
                features.sum().backward()
        counts.append(counter.get_total_flops())
    forward, both = counts
    return (2 * forward + both) // 2


def launches(step: Callable[[], object]) -> dict[str, float]:
    """Count what one step gives a GPU: kernels, copies, and the seconds that it is busy with them."""
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as recorded:
        step()
        torch.cuda.synchronize()
    found = Counter[str]()
    for event in recorded.events():
        if "LaunchKernel" in event.name:
            found["kernels"] += 1
        elif event.name.startswith("cudaMemcpy"):
            found["copies"] += 1
        elif event.device_type == DeviceType.CUDA and not getattr(event, "is_user_annotation", False):
            found["busy_microseconds"] += event.time_range.elapsed_us()
    return {"kernels": found["kernels"], "copies": found["copies"], "busy_seconds": found["busy_microseconds"] / 1e6}


def host_waits(step: Callable[[], object]) -> dict[str, int]:
    """Count how often a step waits for the GPU, by file and line."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    places = [f"{each.filename}:{each.lineno}" for each in told if "synchroniz" in str(each.message)]
    return dict(Counter(re.sub(r"^.*/(?=(benchmarks|rspnet|torch)/)", "", place) for place in places))


def median_seconds(run: Callable[[], object], device: torch.device, *, repeats: int = 3) -> float:
    """Return the median seconds of a few calls, each waited for."""
    seconds = []
    for _ in range(repeats):
        wait(device)
        began = time.perf_counter()
        run()
        wait(device)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)
