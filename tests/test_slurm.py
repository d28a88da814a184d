"""The file for SLURM, with stand-ins for SLURM's commands and for accelerate: who gets the signal, and what follows."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from accelerate.commands.launch import launch_command_parser

from tests.support import REPO

STAND_INS = {
    # Two machines; as SLURM does, it signals the process groups of the tasks.
    "srun": """
        trap 'for each in $(jobs -p); do kill -USR1 -- -$each; done' USR1  # not `task`, which is waited for
        for node in 0 1; do SLURM_NODEID=$node setsid "$@" & tasks="$tasks $!"; done
        for task in $tasks; do
            wait $task; while kill -0 $task 2>/dev/null; do wait $task; done
            wait $task || status=1
        done
        exit ${status:-0}""",
    "scontrol": 'if [ $1 = show ]; then echo "host1"; echo "host2"; else echo "$@" >> requeued; fi',
    "accelerate": """
        echo "$@" > given.$SLURM_NODEID
        bash -c 'trap "echo kept >> kept.$SLURM_NODEID; exit 130" USR1; echo > ready.$SLURM_NODEID
                 for i in $(seq 400); do [ -e end ] && exit $(cat end); sleep 0.05; done' || exit 1""",
}
SETTINGS = {"SLURM_JOB_NODELIST": "host[1-2]", "SLURM_NNODES": "2", "SLURM_GPUS_ON_NODE": "8", "SLURM_JOB_ID": "7"}


@pytest.fixture
def job(tmp_path):
    """Start the file as SLURM would, in a folder of its own; it has begun."""
    for name, text in STAND_INS.items():
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    environment = os.environ | SETTINGS | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    command = ["bash", REPO / "accelerate_configs/slurm.sbatch", "stages/pretrain.py", "--data.root", "two words"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL) as process:
        until(lambda: len(list(tmp_path.glob("ready.*"))) == 2)
        yield process
        (tmp_path / "end").write_text("0")


def until(there):
    for _ in range(600):
        if there():
            return
        time.sleep(0.05)
    raise TimeoutError


def test_out_of_time_it_keeps_a_checkpoint_and_is_queued_again(tmp_path, job):
    os.kill(job.pid, signal.SIGUSR1)
    assert job.wait(30) == 0
    assert [(tmp_path / f"kept.{node}").read_text() for node in (0, 1)] == ["kept\n", "kept\n"]
    assert (tmp_path / "requeued").read_text() == "requeue 7\n"


@pytest.mark.parametrize("status", [0, 3])
def test_a_run_that_ends_by_itself_is_not_queued_again(tmp_path, job, status):
    (tmp_path / "end").write_text(str(status))
    assert job.wait(30) == min(status, 1)
    assert not (tmp_path / "requeued").exists()
    for node in (0, 1):
        given = (tmp_path / f"given.{node}").read_text().split()
        assert given.pop(0) == "launch"
        told = launch_command_parser().parse_args(given)
        assert (told.num_machines, told.num_processes, told.machine_rank) == (2, 16, node)
        assert (told.main_process_ip, told.training_script) == ("host1", "stages/pretrain.py")
        assert told.training_script_args == ["--data.root", "two", "words"]
        assert yaml.safe_load(Path(REPO, told.config_file).read_text())["distributed_type"] == "MULTI_GPU"
