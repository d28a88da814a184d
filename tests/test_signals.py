"""What ends a program can be heard, and what cannot is not among it."""

import signal

from rspnet.signals import ENDING


def test_what_ends_a_program_can_be_heard():
    assert signal.SIGKILL not in ENDING
    assert {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1} <= set(ENDING)
