"""The signals that end a program."""

import signal

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
"""Ctrl-C, and what schedulers send before they kill a job: Slurm, PBS and Kubernetes SIGTERM, Slurm's --signal and SGE
SIGUSR1 and SIGUSR2, a limit of processor time SIGXCPU, a terminal that closes SIGHUP."""
