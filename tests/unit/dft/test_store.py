"""Calculations on disk: run once, and what comes of those that are killed, starved, stopped or spoilt.

Engines are processes of their own; each failure is a real one.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from cgwgan_core.dft.ase_engine import AseEngine
from cgwgan_core.dft.calculation import CONVERGED, UNFINISHED, Calculation, Outcome, Remedy
from cgwgan_core.dft.store import Store
from tests.support.workflow import ROOT

CALCULATOR = "ase.calculators.emt:EMT"
PYTHON = f"env PYTHONPATH={ROOT} {sys.executable}"
"""Starts an engine that finds the calculators of the tests."""
FAILS = "false"
"""Starts an engine that never computes: what comes of it was there before."""


class Mixing(AseEngine):
    """An engine with remedies for want of convergence."""

    remedies: Sequence[Remedy] = (
        Remedy("more steps", {"arguments": {"steps": 200}}),
        Remedy("weaker mixing", {"arguments": {"mixing": 0.2}}),
    )


def copper(a: float = 3.6) -> Atoms:
    return bulk("Cu", a=a)


def calculation(engine: Any, atoms: Atoms | None = None, **changes: Any) -> Calculation:
    crystal = copper() if atoms is None else atoms
    return Calculation(crystal, engine.name, engine.parameters(crystal, **changes))


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Whether a process is there, and no mere entry of an ended one."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that holds copper by EMT."""
    root = tmp_path_factory.mktemp("computed")
    engine = AseEngine(CALCULATOR, sys.executable)
    assert Store(root, engine).run(calculation(engine)).converged
    return root


@pytest.fixture
def root(computed: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(computed, tmp_path / "store")
    return tmp_path / "store"


# ------------------------------------------------------------------------------------------ run once


def test_a_calculation_is_the_calculators_own_and_is_run_once(root: Path) -> None:
    engine = AseEngine(CALCULATOR, FAILS)
    outcome = Store(root, engine).run(calculation(engine))
    atoms = copper()
    atoms.calc = EMT()
    assert outcome.converged
    assert outcome.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-12)
    assert outcome.forces == [pytest.approx([0.0, 0.0, 0.0], abs=1e-12)]
    folder = root / calculation(engine).key
    assert {path.name for path in folder.iterdir()} == {".lock", "calculation.json", "attempt-1", "result.json"}
    kept = Calculation.from_json(json.loads((folder / "calculation.json").read_text()))
    assert kept.key == folder.name


def test_another_crystal_is_another_calculation(root: Path) -> None:
    engine = AseEngine(CALCULATOR, FAILS)
    outcome = Store(root, engine).run(calculation(engine, copper(3.7)))
    assert outcome.status == "the engine failed (exit status 1): it said nothing"
    assert not outcome.repairable


@given(noise=st.floats(-1e-10, 1e-10), moment=st.floats(0.1, 5.0))
def test_the_key_is_that_of_what_counts(noise: float, moment: float) -> None:
    engine = AseEngine(CALCULATOR, None)
    atoms = bulk("NiO", "rocksalt", a=4.2)
    one = calculation(engine, atoms)
    moved = atoms.copy()
    moved.positions += noise
    assert calculation(engine, moved).key == one.key
    assert Calculation.from_json(json.loads(json.dumps(one.to_json()))).key == one.key
    others = [
        one.with_moments([moment, 0.0]),
        one.with_moments([-moment, 0.0]),
        one.with_parameters(stress=True),
        Calculation(one.atoms, "gpaw", one.parameters),
        calculation(engine, bulk("NiO", "rocksalt", a=4.2 + 1e-6)),
    ]
    assert len({one.key, *(other.key for other in others)}) == 1 + len(others)
    assert not one.atoms.get_initial_magnetic_moments().any()


COMPUTE = """
import sys
from ase.build import bulk
from cgwgan_core.dft.ase_engine import AseEngine
from cgwgan_core.dft.calculation import Calculation
from cgwgan_core.dft.store import Store
root, script, *lengths = sys.argv[1:]
engine = AseEngine("ase.calculators.emt:EMT", f"sh {script}")
for length in lengths:
    print("asking", flush=True)
    atoms = bulk("Cu", a=float(length))
    outcome = Store(root, engine).run(Calculation(atoms, "ase", engine.parameters(atoms)))
    print(outcome.status, outcome.energy, flush=True)
"""
"""A job: computes crystals of the lattice parameters that it is given."""


def start(root: Path, script: Path, *lengths: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", COMPUTE, str(root), str(script), *lengths]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def slow_engine(folder: Path) -> Path:
    """It notes its process in ``started``, and computes as soon as there is ``go``."""
    script = folder / "engine.sh"
    script.write_text(
        f'echo $$ >> {folder}/started\nwhile [ ! -e {folder}/go ]; do sleep 0.05; done\nexec {sys.executable} "$1"\n'
    )
    return script


def processes(folder: Path) -> list[int]:
    path = folder / "started"
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_two_jobs_that_ask_for_the_same_compute_it_once(tmp_path: Path) -> None:
    script = slow_engine(tmp_path)
    jobs = [start(tmp_path / "store", script, "3.6") for _ in range(2)]
    try:
        for job in jobs:
            assert job.stdout is not None
            assert job.stdout.readline() == "asking\n"
        until(lambda: len(processes(tmp_path)) > 0)
        time.sleep(0.5)  # the other one has come to the lock, too
        (tmp_path / "go").touch()
        first, second = (job.communicate(timeout=300)[0] for job in jobs)
    finally:
        for job in jobs:
            job.kill()
    assert first == second
    assert first.startswith(CONVERGED)
    assert len(processes(tmp_path)) == 1


# ------------------------------------------------------------------------------------ killed and stopped


def test_a_killed_engine_is_told_and_tried_again(tmp_path: Path) -> None:
    killed = AseEngine(CALCULATOR, "sh -c 'kill -KILL $$'")
    outcome = Store(tmp_path, killed).run(calculation(killed))
    assert outcome.status == "the engine was killed (SIGKILL); is there too little memory?"
    by_a_shell = AseEngine(CALCULATOR, "sh -c 'sh -c \"kill -KILL \\$\\$\"; exit $?'")
    assert Store(tmp_path, by_a_shell).run(calculation(killed)).status == outcome.status
    segfault = AseEngine(CALCULATOR, "sh -c 'echo deep inside >&2; kill -SEGV $$'")
    assert Store(tmp_path, segfault).run(calculation(killed)).status == "the engine failed (SIGSEGV): deep inside"
    folder = tmp_path / calculation(killed).key
    assert not (folder / "result.json").exists()
    again = AseEngine(CALCULATOR, sys.executable)
    assert Store(tmp_path, again).run(calculation(again)).converged
    assert (folder / "result.json").exists()
    assert [path.name for path in sorted(folder.glob("attempt-*"))] == ["attempt-1"]


def test_a_killed_job_takes_its_engine_along_and_loses_one_calculation(root: Path, tmp_path: Path) -> None:
    """The job is killed (-9) in its third calculation; the first was there before, the second is not lost."""
    script = slow_engine(tmp_path)
    (tmp_path / "go").touch()
    job = start(root, script, "3.6", "3.7", "3.8")
    try:
        assert job.stdout is not None
        lines = [job.stdout.readline() for _ in range(4)]
        (tmp_path / "go").unlink()
        lines.append(job.stdout.readline())
        until(lambda: len(processes(tmp_path)) == 2)
        engine = processes(tmp_path)[1]
        assert is_running(engine)
    finally:
        job.kill()
    job.wait()
    until(lambda: not is_running(engine))
    assert [line.split()[0] for line in lines] == ["asking", CONVERGED] * 2 + ["asking"]
    (tmp_path / "go").touch()
    again = start(root, script, "3.6", "3.7", "3.8").communicate(timeout=300)[0].splitlines()
    assert again[:4] == [line.strip() for line in lines[:4]]
    assert again[5].startswith(CONVERGED)
    assert len(processes(tmp_path)) == 3


def test_at_the_time_limit_all_its_processes_are_stopped(tmp_path: Path) -> None:
    script = tmp_path / "engine.sh"
    script.write_text(f"sleep 600 & echo $! >> {tmp_path}/started; wait\n")
    endless = AseEngine(CALCULATOR, f"sh {script}")
    limit = 0.05
    before = time.monotonic()
    outcome = Store(tmp_path / "store", endless, limit).run(calculation(endless))
    assert time.monotonic() - before < 120
    assert outcome.status == "given up after 0.05 minutes"
    (child,) = processes(tmp_path)
    until(lambda: not is_running(child))
    # asked for again, it is given up at once; with more time it is tried again
    assert Store(tmp_path / "store", endless, limit).run(calculation(endless)).status == outcome.status
    assert len(processes(tmp_path)) == 1
    longer = Store(tmp_path / "store", endless, 2 * limit).run(calculation(endless))
    assert longer.status == "given up after 0.1 minutes"
    assert len(processes(tmp_path)) == 2


# ------------------------------------------------------------------------------------------- unconverged


def test_without_convergence_the_remedies_are_climbed(tmp_path: Path) -> None:
    engine = Mixing("tests.support.calculators:SelfConsistent", PYTHON)
    store = Store(tmp_path, engine)
    asked = calculation(engine)
    outcome = store.run(asked)
    assert outcome.converged
    assert outcome.remedies == ("more steps", "weaker mixing")
    atoms = copper()
    atoms.calc = EMT()
    charge = brentq(lambda q: np.tanh(1 - 4 * q) - q, 0, 1)
    assert outcome.energy == pytest.approx(atoms.get_potential_energy() + charge, abs=1e-9)
    folder = tmp_path / asked.key
    statuses = [engine.read(folder / f"attempt-{i}").status for i in (1, 2, 3)]
    assert statuses == ["not converged", "not converged", CONVERGED]
    # a job that is killed in the third attempt goes on from there
    (folder / "result.json").unlink()
    shutil.rmtree(folder / "attempt-3")
    hopeless = Mixing("tests.support.calculators:SelfConsistent", "sh -c 'kill -KILL $$'")
    assert "killed" in Store(tmp_path, hopeless).run(asked).status
    assert not (folder / "result.json").exists()
    assert store.run(asked) == outcome


def test_what_no_remedy_mends_is_settled(tmp_path: Path) -> None:
    engine = AseEngine("tests.support.calculators:SelfConsistent", PYTHON)
    outcome = Store(tmp_path, engine).run(calculation(engine))
    assert (outcome.status, outcome.energy, outcome.repairable) == ("not converged", None, True)
    again = AseEngine("tests.support.calculators:SelfConsistent", FAILS)
    shutil.rmtree(tmp_path / calculation(engine).key / "attempt-1")
    assert Store(tmp_path, again).run(calculation(again)) == outcome


# ------------------------------------------------------------------------- no memory, no dataset, no room


def test_out_of_memory(tmp_path: Path) -> None:
    engine = AseEngine("tests.support.calculators:Hungry", PYTHON)
    outcome = Store(tmp_path, engine).run(calculation(engine))
    assert "MemoryError: Unable to allocate 8.00 GiB" in outcome.status
    assert not outcome.repairable
    assert not (tmp_path / calculation(engine).key / "result.json").exists()


def test_an_element_without_a_dataset(tmp_path: Path) -> None:
    from cgwgan_core.dft.vasp_engine import Vasp

    engine = Vasp(None)
    outcome = Store(tmp_path, engine).run(calculation(engine, bulk("Po", "sc", a=3.3)))
    assert outcome.status == "the Materials Project's set has no PBE potential for Po"
    assert list(tmp_path.glob("*/attempt-*")) == []
    assert list(tmp_path.glob("*/result.json")) == []
    assert Store(tmp_path, engine).run(calculation(engine)).status.startswith("waiting")  # copper has one


def test_what_cannot_be_started(tmp_path: Path) -> None:
    engine = AseEngine(CALCULATOR, "no-such-program")
    told = Store(tmp_path, engine).run(calculation(engine)).status
    assert told.startswith("the engine cannot be started: [Errno 2]")
    assert "no-such-program" in told


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 128 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=128k", "none", str(disk)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this user cannot mount a small disk; root can")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> Path:
    path = disk / "filler"
    with suppress(OSError), path.open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(4096))
    assert shutil.disk_usage(disk).free == 0
    return path


def test_a_full_disk_is_told_and_loses_nothing(small_disk: Path) -> None:
    engine = AseEngine(CALCULATOR, sys.executable)
    store, asked = Store(small_disk / "store", engine), calculation(engine)
    filler = fill(small_disk)
    assert "No space left on device" in store.run(asked).status  # no room for the inputs
    filler.unlink()
    eater = f"cat /dev/zero > {small_disk}/filler 2>/dev/null"
    full = AseEngine(CALCULATOR, f"sh -c '{eater}; exec {sys.executable} \"$0\"'")
    outcome = Store(store.root, full).run(asked)  # no room for the outcome
    assert outcome.status.startswith("the engine failed (exit status 1)")
    folder = store.root / asked.key
    assert not (folder / "result.json").exists()
    assert not (folder / "attempt-1" / "outcome.json").exists()
    filler.unlink()
    assert store.run(asked).converged
    # no room for the result: the outcome is there, and settled as soon as there is room
    (folder / "result.json").unlink()
    fill(small_disk)
    idle = AseEngine(CALCULATOR, FAILS)
    assert "No space left on device" in Store(store.root, idle).run(asked).status
    filler.unlink()
    assert Store(store.root, idle).run(asked).converged
    assert (folder / "result.json").exists()


# --------------------------------------------------------------------------------------- spoilt, elsewhere


WITHOUT_ENERGY: dict[str, Any] = {"status": CONVERGED, "energy": None, "remedies": []}
SPOILT = [
    b"",
    b'{"status": "converged", "ene',
    b"\x80\xff\x00",
    b"[]",
    b"null",
    json.dumps(WITHOUT_ENERGY).encode(),
    json.dumps({**WITHOUT_ENERGY, "energy": float("nan")}).encode(),
    json.dumps({**WITHOUT_ENERGY, "energy": "low"}).encode(),
    json.dumps({**WITHOUT_ENERGY, "energy": 1.0, "forces": [[0.0, float("nan"), 0.0]]}).encode(),
    json.dumps({**WITHOUT_ENERGY, "energy": 1.0, "forces": [[0.0], [0.0, 1.0]]}).encode(),
    json.dumps({**WITHOUT_ENERGY, "energy": 1.0, "temperature": 300}).encode(),
]


@pytest.mark.parametrize("content", SPOILT)
def test_a_spoilt_result_is_made_again_from_the_attempts(root: Path, content: bytes) -> None:
    engine = AseEngine(CALCULATOR, FAILS)
    asked = calculation(engine)
    result = root / asked.key / "result.json"
    before = result.read_bytes()
    result.write_bytes(content)
    assert Store(root, engine).run(asked).converged
    assert result.read_bytes() == before


@pytest.mark.parametrize("content", SPOILT)
def test_a_spoilt_outcome_is_told(root: Path, content: bytes) -> None:
    engine = AseEngine(CALCULATOR, None)
    folder = root / calculation(engine).key
    (folder / "result.json").unlink()
    (folder / "attempt-1" / "outcome.json").write_bytes(content)
    found = engine.read(folder / "attempt-1")
    assert found.status.startswith("outcome.json cannot be read: ")
    assert not found.repairable
    # where the engine cannot run, the files stay for whoever can mend them
    told = Store(root, engine).run(calculation(engine)).status
    assert told == f"waiting: inputs in {folder.name}/attempt-1, {found.status}"
    assert (folder / "attempt-1" / "outcome.json").read_bytes() == content


def test_a_spoilt_outcome_is_computed_again(root: Path) -> None:
    engine = AseEngine(CALCULATOR, sys.executable)
    folder = root / calculation(engine).key
    before = (folder / "result.json").read_bytes()
    (folder / "result.json").unlink()
    (folder / "attempt-1" / "outcome.json").write_bytes(SPOILT[1])
    assert Store(root, engine).run(calculation(engine)).converged
    assert (folder / "result.json").read_bytes() == before


def test_what_was_computed_elsewhere_is_picked_up(tmp_path: Path) -> None:
    engine = AseEngine(CALCULATOR, None)
    store, asked = Store(tmp_path / "store", engine), calculation(engine)
    folder = store.root / asked.key / "attempt-1"
    assert store.run(asked).status == f"waiting: inputs in {asked.key}/attempt-1"
    assert store.run(asked).status == f"waiting: inputs in {asked.key}/attempt-1, {UNFINISHED}"
    shutil.copytree(folder, tmp_path / "elsewhere")
    subprocess.run([sys.executable, "run.py"], cwd=tmp_path / "elsewhere", check=True)
    shutil.copyfile(tmp_path / "elsewhere" / "outcome.json", folder / "outcome.json")
    outcome = store.run(asked)
    assert outcome.converged
    assert outcome == Outcome.from_json(json.loads((folder.parent / "result.json").read_text()))


def test_what_does_not_converge_elsewhere_gets_inputs_with_the_next_remedy(tmp_path: Path) -> None:
    engine = Mixing("tests.support.calculators:SelfConsistent", None)
    store, asked = Store(tmp_path, engine), calculation(engine)
    store.run(asked)
    (tmp_path / asked.key / "attempt-1" / "outcome.json").write_text('{"status": "no", "repairable": true}')
    outcome = store.run(asked)
    assert outcome.status == f"waiting: inputs in {asked.key}/attempt-2"
    assert outcome.remedies == ("more steps",)
    inputs = json.loads((tmp_path / asked.key / "attempt-2" / "calculation.json").read_text())
    assert inputs["parameters"]["arguments"] == {"steps": 200}
