"""A real Slurm of one node on this machine, as root and without systemd: munged, slurmctld, slurmd."""

import importlib.util
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

CONFIG = Path("/etc/slurm/slurm.conf")
"""Where ``srun`` inside a job looks: Snakemake's plugin takes ``SLURM_CONF`` out of a job's environment."""
SOCKET = Path("/run/munge/munge.socket.2")
"""munge's own, which all parts of Slurm know."""
DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")
PATH = f"{os.environ['PATH']}:/usr/sbin"

TEMPLATE = """\
# written by the tests
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmctldPort={port}
SlurmdPort={slurmd_port}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
MailProg=/bin/true
MpiDefault=none
ReturnToService=2
MinJobAge=3600
# no cgroups: works in a container
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
# a job's memory is looked at every second, and a job above its own is killed
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory}
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE
"""


def missing() -> str | None:
    """Why no Slurm can be started here, or ``None``."""
    if os.name != "posix" or os.geteuid() != 0:
        return "Slurm's daemons need root"
    if absent := [name for name in DAEMONS if shutil.which(name, path=PATH) is None]:
        return f"not installed: {', '.join(absent)} (Debian: slurmctld, slurmd, slurm-client, munge)"
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        return "not installed: snakemake-executor-plugin-slurm"
    if CONFIG.exists() and not CONFIG.read_text().startswith(TEMPLATE.splitlines()[0]):
        return f"{CONFIG} exists: this machine has a Slurm of its own"
    return None


@contextmanager
def slurm(folder: Path, cpus: int = 2) -> Iterator[None]:
    """Slurm on this machine while the body runs, with all of its memory; its logs lie in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    host, port = socket.gethostname().split(".")[0], _free_port()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 9 // 10 // 2**20
    for name in ("state", "spool"):
        (folder / name).mkdir(exist_ok=True)
    text = TEMPLATE.format(host=host, port=port, slurmd_port=_free_port(), folder=folder, cpus=cpus, memory=memory)
    with ExitStack() as stack:
        if not _answers("munge", "-n"):
            key = folder / "munge.key"
            key.write_bytes(secrets.token_bytes(1024))
            key.chmod(0o400)
            SOCKET.parent.mkdir(mode=0o755, exist_ok=True)
            SOCKET.parent.chmod(0o755)
            shutil.chown(SOCKET.parent, 0, 0)
            files = [f"--{name}-file={folder / name}" for name in ("pid", "seed")]
            _start(stack, folder, "munged", "-F", "--force", f"--key-file={key}", *files)
            _wait(lambda: _answers("munge", "-n"), "munged", folder)
        CONFIG.parent.mkdir(exist_ok=True)
        CONFIG.write_text(text)
        stack.callback(CONFIG.unlink)
        _start(stack, folder, "slurmctld", "-D")
        _wait(lambda: _answers("scontrol", "ping"), "slurmctld", folder)
        _start(stack, folder, "slurmd", "-D", "-N", host)
        _wait(lambda: "idle" in _says("sinfo", "--noheader", "--format=%t"), "slurmd", folder)
        yield


def jobs() -> list[str]:
    """Identifiers of the jobs that wait or work."""
    return _says("squeue", "--noheader", "--format=%i").split()


def _start(stack: ExitStack, folder: Path, name: str, *arguments: str) -> None:
    """Start a daemon in the foreground, to be stopped when the stack unwinds."""
    log = stack.enter_context((folder / f"{name}.log").open("wb"))
    program = shutil.which(name, path=PATH)
    assert program
    process = subprocess.Popen([program, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    stack.callback(process.wait, 30)
    stack.callback(process.terminate)


def _wait(ready: Callable[[], bool], what: str, folder: Path, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            log = (folder / f"{what}.log").read_text()
            raise RuntimeError(f"{what} does not come up: {log[-1000:]}")
        time.sleep(0.1)


def _says(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _answers(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number
