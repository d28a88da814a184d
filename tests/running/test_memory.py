"""What is freed is there again without asking the system for it."""

import subprocess
import sys

TOUCH = """
import resource, sys
import numpy as np
from rspnet.running.memory import keep_freed_memory

def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.empty(2**27, np.uint8).fill(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if sys.argv[1] == "keep":
    keep_freed_memory()
pages()
print(pages())
"""


def test_freed_memory_is_kept():
    """The second time a block is filled costs no page; else 64 at least, should they be huge ones."""
    kept, let_go = (
        int(subprocess.run([sys.executable, "-c", TOUCH, how], capture_output=True, check=True).stdout)
        for how in ("keep", "let go")
    )
    assert kept < 32 < 64 <= let_go
