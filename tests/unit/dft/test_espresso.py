"""Quantum ESPRESSO: inputs read back, pseudopotentials told apart, outputs whole, cut and spoilt; and pw.x itself."""

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read as ase_read
from ase.io.espresso import read_espresso_in, read_fortran_namelist

from cgwgan_core.dft.calculation import CONVERGED, UNFINISHED, Calculation, Outcome
from cgwgan_core.dft.espresso import INPUT, Espresso
from cgwgan_core.dft.pseudopotentials import Pseudopotentials
from cgwgan_core.dft.store import ERRORS, OUTPUT, Store
from cgwgan_core.workflow.errors import InputError

IRON = (Path(__file__).parent / "data" / "pw-6.7-antiferromagnetic-iron.out").read_text()
"""Output of pw.x 6.7 for two iron atoms with opposite moments, one of them off its place."""
IRON_MD5 = "3d20a9f5d9996e2e97aa36e5d42e8950"
VALENCE = {"Li": 3, "O": 6, "Mg": 10, "Si": 4, "Mn": 15, "Fe": 16, "Ba": 10}

UPF2 = """<UPF version="2.0.1">
<PP_INFO>made for a test</PP_INFO>
<PP_HEADER generated="a test" element=" {element}" pseudo_type="{kind}" z_valence="{valence:.3e}"
 wfc_cutoff="{wfc:.6E}" rho_cutoff="{rho:.6E}"/>
"""
UPF1 = """<PP_INFO>
</PP_INFO>
<PP_HEADER>
   0                   Version Number
  {element}                   Element
   {kind}                   a kind of pseudopotential
   {valence:.8f}      Z valence
  {wfc:.4f}  {rho:.4f} Suggested cutoff for wfc and rho
</PP_HEADER>
"""


def write_upf(folder: Path, element: str, name: str | None = None, form: str = UPF2, **header: Any) -> Path:
    """A UPF file as far as its header, which is all that the inputs depend on."""
    asked = {"element": element, "kind": "US", "valence": VALENCE[element], "wfc": 40.0, "rho": 320.0, **header}
    folder.mkdir(exist_ok=True)
    path = folder / (name or f"{element}.upf")
    path.write_text(form.format(**asked))
    return path


def write_table(folder: Path, elements: dict[str, tuple[float, float]]) -> Path:
    """SSSP's table of what lies in the folder."""
    table = {}
    for element, (wfc, rho) in elements.items():
        md5 = hashlib.md5((folder / f"{element}.upf").read_bytes()).hexdigest()
        table[element] = {"filename": f"{element}.upf", "md5": md5, "cutoff_wfc": wfc, "cutoff_rho": rho}
    path = folder / "SSSP.json"
    path.write_text(json.dumps(table))
    return path


@pytest.fixture
def library(tmp_path: Path) -> Path:
    folder = tmp_path / "pseudopotentials"
    for element in VALENCE:
        write_upf(folder, element)
    return folder


def calculation(engine: Espresso, atoms: Atoms, **changes: Any) -> Calculation:
    return Calculation(atoms, engine.name, engine.parameters(atoms, **changes))


def written(engine: Espresso, asked: Calculation, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Namelists and cards of what is written for a calculation."""
    folder.mkdir(parents=True, exist_ok=True)
    engine.write(asked, folder)
    assert [path.name for path in folder.iterdir()] == [INPUT]
    with (folder / INPUT).open() as stream:
        found: tuple[dict[str, Any], list[str]] = read_fortran_namelist(stream)
        return found


# Inputs


def random_crystal(rng: np.random.Generator) -> Atoms:
    n_atoms = int(rng.integers(1, 21))
    atoms = Atoms(
        rng.choice(list(VALENCE), n_atoms),
        cell=np.diag(rng.uniform(3, 9, 3)) + rng.uniform(-1.5, 1.5, (3, 3)),
        scaled_positions=rng.uniform(-0.2, 1.2, (n_atoms, 3)),
        pbc=True,
    )
    moments = np.where(atoms.symbols == "Fe", rng.choice([3.0, -3.0], n_atoms), 0.0)
    atoms.set_initial_magnetic_moments(moments + np.where(atoms.symbols == "Mn", 0.5, 0.0))
    return atoms


def moments_written(data: dict[str, Any], cards: list[str]) -> list[float]:
    """Starting moments of the atoms, μB, by the labels of their species."""
    where = next(i for i, card in enumerate(cards) if card.startswith("ATOMIC_SPECIES"))
    labels = [cards[where + 1 + i].split()[0] for i in range(data["system"]["ntyp"])]
    where = next(i for i, card in enumerate(cards) if card.startswith("ATOMIC_POSITIONS"))
    found = []
    for card in cards[where + 1 : where + 1 + data["system"]["nat"]]:
        label = card.split()[0]
        start = data["system"].get(f"starting_magnetization({labels.index(label) + 1})", 0.0)
        found.append(start * VALENCE[label.rstrip("0123456789")])
    return found


def test_fifty_crystals_are_read_back(library: Path, tmp_path: Path) -> None:
    engine, rng = Espresso(library, None), np.random.default_rng(0)
    for i in range(50):
        atoms = random_crystal(rng)
        data, cards = written(engine, calculation(engine, atoms), tmp_path / str(i))
        back = read_espresso_in(tmp_path / str(i) / INPUT)
        assert list(back.numbers) == list(atoms.numbers)
        np.testing.assert_allclose(back.cell, atoms.cell, atol=1e-6)
        np.testing.assert_allclose(back.positions, atoms.positions, atol=1e-6)
        moments = atoms.get_initial_magnetic_moments()
        np.testing.assert_allclose(moments_written(data, cards), moments, atol=1e-4)
        assert data["system"].get("nspin", 1) == (2 if moments.any() else 1)


def test_same_calculation_same_bytes(library: Path, tmp_path: Path) -> None:
    atoms = random_crystal(np.random.default_rng(1))
    for name in "ab":
        engine = Espresso(library, None)
        written(engine, calculation(engine, atoms), tmp_path / name)
    assert (tmp_path / "a" / INPUT).read_bytes() == (tmp_path / "b" / INPUT).read_bytes()


def test_settings_are_those_of_the_balanced_protocol(library: Path, tmp_path: Path) -> None:
    engine = Espresso(library, None)
    data, cards = written(engine, calculation(engine, bulk("Si")), tmp_path / "si")
    assert data["system"] | {"ecutwfc": 40.0, "ecutrho": 320.0, "occupations": "smearing"} == data["system"]
    assert data["system"] | {"smearing": "cold", "degauss": 0.02} == data["system"]
    assert data["electrons"] == {"conv_thr": 4e-10, "mixing_beta": 0.4, "electron_maxstep": 80}
    assert data["control"]["tprnfor"] is True
    assert data["control"]["tstress"] is False
    assert "14 14 14  0 0 0" in [card.strip() for card in cards]  # 2π/3.135 Å / 0.15 1/Å = 13.4


def test_stress_changes_no_cutoff(library: Path, tmp_path: Path) -> None:
    engine = Espresso(library, None)
    plain, stressed = engine.parameters(bulk("Si")), engine.parameters(bulk("Si"), stress=True)
    assert stressed == {**plain, "tstress": True}
    assert written(engine, calculation(engine, bulk("Si"), stress=True), tmp_path / "si")[0]["control"]["tstress"]


def test_opposite_moments_are_two_species(library: Path, tmp_path: Path) -> None:
    iron = bulk("Fe", cubic=True)
    iron.set_initial_magnetic_moments([2.4, -2.4])
    engine = Espresso(library, None)
    system = written(engine, calculation(engine, iron), tmp_path / "fe")[0]["system"]
    assert (system["ntyp"], system["nspin"]) == (2, 2)
    assert system["starting_magnetization(1)"] == -system["starting_magnetization(2)"] == pytest.approx(2.4 / 16)


def test_moments_that_are_noise_are_none(library: Path, tmp_path: Path) -> None:
    iron = Atoms("Fe", cell=[3] * 3, pbc=True, magmoms=[1e-7])
    engine = Espresso(library, None)
    assert "nspin" not in written(engine, calculation(engine, iron), tmp_path / "fe")[0]["system"]


def test_large_moments_get_bands(library: Path, tmp_path: Path) -> None:
    manganese = Atoms("Mn", cell=[5] * 3, pbc=True, magmoms=[5.0])
    engine = Espresso(library, None)
    system = written(engine, calculation(engine, manganese), tmp_path / "mn")[0]["system"]
    assert system["nbnd"] >= (15 + 5) / 2 + 2


def test_a_molecule_keeps_its_moment(library: Path, tmp_path: Path) -> None:
    oxygen = Atoms("O2", [[0, 0, 0], [0, 0, 1.2]], cell=[8, 8, 9], magmoms=[1.0, 1.0])
    engine = Espresso(library, None)
    data, cards = written(engine, calculation(engine, oxygen), tmp_path / "o2")
    assert data["system"]["tot_magnetization"] == 2.0
    assert "2 2 2  1 1 1" in [card.strip() for card in cards]


def test_too_many_species_are_refused(library: Path, tmp_path: Path) -> None:
    atoms = Atoms("Fe11", np.eye(3)[[0] * 11] * np.arange(11)[:, None], cell=[20, 3, 3], pbc=True)
    atoms.set_initial_magnetic_moments(np.linspace(1, 2, 11))
    engine = Espresso(library, None)
    with pytest.raises(InputError, match="11 species"):
        engine.write(calculation(engine, atoms), tmp_path)


def test_changes_have_names_of_pw(library: Path) -> None:
    engine = Espresso(library, None)
    assert engine.parameters(bulk("Si"), kpts=[2, 2, 2], degauss=0.01)["kpts"] == [2, 2, 2]
    with pytest.raises(InputError, match="ecut_wfc"):
        engine.parameters(bulk("Si"), ecut_wfc=30)


def test_remedies_can_be_written(library: Path, tmp_path: Path) -> None:
    engine = Espresso(library, None)
    for i, remedy in enumerate(engine.remedies):
        asked = calculation(engine, bulk("Si")).with_parameters(**remedy.changes)
        data, _ = written(engine, asked, tmp_path / str(i))
        assert {**data["system"], **data["electrons"]}.items() >= dict(remedy.changes).items()


def test_command(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Espresso(library, "mpirun -np 4 'my pw.x'").command() == ["mpirun", "-np", "4", "my pw.x", "-in", INPUT]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Espresso(library, None).command() is None
    (tmp_path / "pw.x").write_text("#!/bin/sh\n")
    (tmp_path / "pw.x").chmod(0o755)
    assert Espresso(library, None).command() == ["pw.x", "-in", INPUT]


# Pseudopotentials


def cutoffs(folder: Path, symbols: str, cutoff: float | None = None) -> tuple[float, float]:
    parameters = Espresso(folder, None, cutoff=cutoff).parameters(Atoms(symbols, cell=[9] * 3, pbc=True))
    return parameters["ecutwfc"], parameters["ecutrho"]


def test_cutoffs_of_the_table_come_before_those_of_the_files(library: Path) -> None:
    assert cutoffs(library, "MgO") == (40.0, 320.0)
    write_table(library, {"Mg": (30.0, 240.0), "O": (50.0, 400.0), "Fe": (90.0, 1080.0)})
    assert cutoffs(library, "MgO") == (50.0, 400.0)
    assert cutoffs(library, "FeO") == (90.0, 1080.0)
    assert cutoffs(library, "FeO", cutoff=60) == (60.0, 720.0)


@pytest.mark.parametrize("form", [UPF1, UPF2])
def test_headers_of_both_versions(tmp_path: Path, form: str) -> None:
    write_upf(tmp_path, "Si", form=form, wfc=23.557, rho=371.902)
    found = Pseudopotentials(tmp_path)["Si"]
    assert (found.valence, found.ecutwfc) == (4, 23.557)
    assert found.ecutwfc * found.dual == pytest.approx(371.902)


@pytest.mark.parametrize(("kind", "rho"), [("NC", 80), ("US", 160)])
def test_without_suggestion_a_cutoff_is_asked_for(tmp_path: Path, kind: str, rho: float) -> None:
    write_upf(tmp_path, "Si", kind=kind, wfc=0.0, rho=6.01)  # the latter as ONCVPSP writes it: a radius
    with pytest.raises(InputError, match=r"Si\.upf suggests no cutoff for Si.*set the cutoff"):
        cutoffs(tmp_path, "Si")
    assert cutoffs(tmp_path, "Si", cutoff=20) == (20, rho)


def test_missing_element(library: Path) -> None:
    with pytest.raises(InputError, match=rf"{library}: no UPF file for Cl; put one there"):
        cutoffs(library, "NaCl")
    write_table(library, {"Mg": (30, 240)})
    with pytest.raises(InputError, match="no pseudopotential for O"):
        cutoffs(library, "MgO")


def test_two_files_for_an_element(library: Path) -> None:
    write_upf(library, "O", "O.other.UPF")
    with pytest.raises(InputError, match=r"O\.other\.UPF and O\.upf are both for O"):
        cutoffs(library, "MgO")
    assert cutoffs(library, "Mg") == (40.0, 320.0)
    write_table(library, {"O": (50, 400)})
    assert cutoffs(library, "O") == (50.0, 400.0)


def test_a_changed_file_is_an_error(library: Path, tmp_path: Path) -> None:
    write_table(library, {"Si": (30, 240)})
    engine = Espresso(library, None)
    asked = calculation(engine, bulk("Si"))
    write_upf(library, "Si", rho=321.0)
    with pytest.raises(InputError, match=r"Si\.upf: MD5 sum .* download"):
        cutoffs(library, "Si")
    (library / "SSSP.json").unlink()
    with pytest.raises(InputError, match="not the pseudopotential of Si"):
        Espresso(library, None).write(asked, tmp_path)


def test_the_files_are_part_of_the_key(library: Path) -> None:
    engine = Espresso(library, None)
    before = calculation(engine, bulk("Si")).key
    assert calculation(Espresso(library, None), bulk("Si")).key == before
    write_upf(library, "Si", valence=4.0, kind="NC")
    assert calculation(Espresso(library, None), bulk("Si")).key != before


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("Si.upf", "no header", "PP_HEADER"),
        ("Si.upf", '<PP_HEADER element="Si"/>', "z_valence"),
        ("a.json", "{", "not a readable table"),
        ("a.json", "[]", "not a table"),
        ("a.json", '{"Si": {"filename": "Si.upf"}}', "needs filename, md5"),
        ("a.json", '{"Si": {"filename": "X.upf", "md5": "", "cutoff_wfc": 1, "cutoff_rho": 4}}', "missing"),
    ],
)
def test_what_cannot_be_read_is_named(library: Path, name: str, text: str, told: str) -> None:
    (library / name).write_text(text)
    with pytest.raises(InputError, match=told):
        cutoffs(library, "Si")


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder of pseudopotentials"):
        Espresso(tmp_path / "none", None)


# Outputs


def outcome(folder: Path, output: str | bytes | None, errors: str = "", md5: str = IRON_MD5) -> Outcome:
    folder.mkdir(exist_ok=True)
    if output is not None:
        (folder / OUTPUT).write_bytes(output if isinstance(output, bytes) else output.encode())
    (folder / ERRORS).write_text(errors)
    (folder / INPUT).write_text(f"! MD5 sum of Fe.upf: {md5}\n")
    write_upf(folder / "pseudo", "Fe")
    return Espresso(folder / "pseudo", None).read(folder)


def test_output_as_ase_reads_it(tmp_path: Path) -> None:
    found = outcome(tmp_path, IRON)
    by_ase = ase_read(tmp_path / OUTPUT, format="espresso-out")
    assert found.status == CONVERGED
    assert found.energy == pytest.approx(by_ase.get_potential_energy(), abs=1e-9)
    np.testing.assert_allclose(found.forces, by_ase.get_forces(), atol=1e-12)
    np.testing.assert_allclose(found.stress, by_ase.get_stress(), atol=1e-12)
    assert found.version == "Quantum ESPRESSO 6.7MaX"


def test_moments(tmp_path: Path) -> None:
    found = outcome(tmp_path, IRON)
    assert found.magnetic_moment == pytest.approx(0, abs=0.02)
    assert found.magnetic_moments == [1.1733, -1.1750]


def test_moments_as_releases_from_7_write_them(tmp_path: Path) -> None:
    newer = re.sub(r"atom: +(\d) +charge: +(\S+) +magn: +(\S+) .*", r"atom   \1 (R=0.357)  charge= \2  magn= \3", IRON)
    assert "magn= 1.1733" in newer
    assert outcome(tmp_path, newer).magnetic_moments == [1.1733, -1.1750]


def test_a_cut_output_is_never_a_result(tmp_path: Path) -> None:
    lines = IRON.splitlines(keepends=True)
    end = next(i for i, line in enumerate(lines) if "JOB DONE" in line)
    for n in range(0, end, 7):
        assert outcome(tmp_path, "".join(lines[:n])).status == UNFINISHED or n < 2
    assert outcome(tmp_path, "".join(lines[: end + 1])).status == CONVERGED


def test_a_second_run_that_was_cut_is_unfinished(tmp_path: Path) -> None:
    assert outcome(tmp_path, IRON + IRON[: len(IRON) // 2]).status == UNFINISHED


def test_another_pseudopotential_is_told(tmp_path: Path) -> None:
    found = outcome(tmp_path, IRON, md5="0" * 32)
    assert found.status == f"pw.x took another pseudopotential, of MD5 sum {IRON_MD5}"
    assert not found.repairable


def test_nothing_there(tmp_path: Path) -> None:
    assert outcome(tmp_path, None).status == outcome(tmp_path, "").status == UNFINISHED


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (r"^!.*$", "", "total energy"),
        (r"^(!    total energy *=).*Ry", r"\1 ******** Ry", "could not convert"),
        (r"^(!    total energy *=).*Ry", r"\1 NaN Ry", "NaN"),
        (r"^ +atom +2 type.*$", "", "1 of 2 atoms"),
        (r"(force = +0.00000000 +)0.00000000", r"\1*********", "could not convert"),
        (r"^ +atom: +1 .*$", "", "Magnetic moment per site"),
        (r"^.*convergence has been achieved.*$", "", "before it had converged"),
    ],
)
def test_a_spoilt_output_is_told(tmp_path: Path, old: str, new: str, told: str) -> None:
    spoilt = re.sub(old, new, IRON, count=1, flags=re.MULTILINE)
    assert spoilt != IRON
    found = outcome(tmp_path, spoilt)
    assert told in found.status
    assert (found.energy, found.repairable) == (None, False)


def test_bytes_that_are_no_output(tmp_path: Path) -> None:
    found = outcome(tmp_path, bytes(range(256)))
    assert "not pw.x's output" in found.status
    assert not found.repairable


def stopped(routine: str, message: str) -> str:
    """What pw.x prints when it stops."""
    line = "%" * 78
    return (
        f"{IRON[:4000]}\n {line}\n     Error in routine {routine} (1):\n     {message}\n {line}\n\n     stopping ...\n"
    )


@pytest.mark.parametrize(
    ("routine", "message", "repairable"),
    [
        ("readpp", "file ./pseudo/Fe.UPF not found", False),
        ("setup", "too few bands", False),
        ("cdiaghg", "problems computing cholesky", True),
        ("c_bands", "too many bands are not converged", True),
        ("cdiaghg", "S matrix not positive definite", True),
        ("mix_rho", "factorization", True),
    ],
)
def test_errors_of_pw(tmp_path: Path, routine: str, message: str, repairable: bool) -> None:
    found = outcome(tmp_path, stopped(routine, message))
    assert found.status == f"pw.x: {routine}: {message}"
    assert found.repairable == repairable


@pytest.mark.parametrize(
    ("errors", "told"),
    [
        ("slurmstepd: error: Detected 1 oom-kill event(s)", "out of memory"),
        ("Operating system error: Cannot allocate memory", "out of memory"),
        ("forrtl: No space left on device", "no room on the disk"),
    ],
)
def test_failures_of_the_machine(tmp_path: Path, errors: str, told: str) -> None:
    found = outcome(tmp_path, IRON[:4000], errors)
    assert found.status == f"{told}: {errors}"
    assert not found.repairable
    assert outcome(tmp_path, IRON, errors).converged


def test_want_of_memory_is_not_mended(tmp_path: Path) -> None:
    found = outcome(tmp_path, stopped("cegterg", "cannot allocate psi"))
    assert found.status == "out of memory: cannot allocate psi"
    assert not found.repairable


def test_not_converged(tmp_path: Path) -> None:
    output = re.sub(
        "convergence has been achieved in +12 iterations", "convergence NOT achieved after 80 iterations", IRON
    )
    found = outcome(tmp_path, output)
    assert found.status == "not converged in 80 iterations"
    assert found.repairable
    assert found.energy is None


# pw.x itself


def real_library(folder: Path, *elements: str) -> Path:
    """Real pseudopotentials: the folder that the environment names, or Debian's, of which one file per element."""
    debian = Path("/usr/share/espresso/pseudo")
    named = os.environ.get("CGWGAN_TEST_PSEUDOPOTENTIALS")
    if not shutil.which("pw.x"):
        pytest.skip("pw.x is not on the path")
    if named:
        return Path(named)
    files = {"Si": "Si.pz-vbc.UPF", "Fe": "Fe.pz-nd-rrkjus.UPF"}
    if not all((debian / files[element]).is_file() for element in elements):
        pytest.skip("$CGWGAN_TEST_PSEUDOPOTENTIALS names no folder of UPF files")
    folder.mkdir()
    for element in elements:
        (folder / files[element]).symlink_to(debian / files[element])
    return folder


@pytest.fixture
def silicon(tmp_path: Path) -> Espresso:
    return Espresso(real_library(tmp_path / "upf", "Si"), None, kspacing=1.2, cutoff=14)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def shifted(shift: float = 0.0) -> Atoms:
    atoms = bulk("Si", a=5.4)
    atoms.positions[1] += [0.1 + shift, 0.05, 0.0]
    return atoms


def test_forces_are_the_slope_of_the_energy(silicon: Espresso, tmp_path: Path) -> None:
    store = Store(tmp_path / "store", silicon, max_minutes=2)
    tight = {"conv_thr": 1e-11}
    there = store.run(calculation(silicon, shifted(), stress=True, **tight))
    assert there.status == CONVERGED
    before, after = (store.run(calculation(silicon, shifted(d), **tight)) for d in (-0.01, 0.01))
    assert before.energy is not None
    assert after.energy is not None
    assert there.forces[1][0] == pytest.approx(-(after.energy - before.energy) / 0.02, abs=2e-3)
    assert abs(there.forces[1][0]) > 0.1
    by_ase = ase_read(
        next((tmp_path / "store").glob(f"{calculation(silicon, shifted(), stress=True, **tight).key}/*/stdout"))
    )
    np.testing.assert_allclose(there.stress, by_ase.get_stress(), atol=1e-12)


def test_remedies_mend_what_did_not_converge(silicon: Espresso, tmp_path: Path) -> None:
    found = Store(tmp_path / "store", silicon, max_minutes=2).run(calculation(silicon, shifted(), electron_maxstep=1))
    assert found.status == CONVERGED
    assert found.remedies == ("weaker mixing", "more iterations")
    (attempt,) = (tmp_path / "store").glob("*/attempt-1")
    assert silicon.read(attempt).status == "not converged in 1 iterations"
    whole = Store(tmp_path / "other", silicon, max_minutes=2).run(calculation(silicon, shifted()))
    assert found.energy == pytest.approx(whole.energy, abs=1e-6)


def run_in(folder: Path, engine: Espresso) -> Outcome:
    command = engine.command()
    assert command is not None
    with (folder / OUTPUT).open("w") as output:
        subprocess.run(command, cwd=folder, stdout=output, stderr=subprocess.DEVNULL, check=False)
    return engine.read(folder)


def test_pw_without_its_pseudopotential(silicon: Espresso, tmp_path: Path) -> None:
    folder = tmp_path / "attempt"
    folder.mkdir()
    silicon.write(calculation(silicon, shifted()), folder)
    text = (folder / INPUT).read_text()
    (folder / INPUT).write_text(re.sub(r"^(Si \S+) \S+\.upf", r"\1 None.upf", text, flags=re.MULTILINE | re.IGNORECASE))
    found = run_in(folder, silicon)
    assert "readpp" in found.status
    assert "not found" in found.status
    assert not found.repairable


def test_pw_with_another_pseudopotential(silicon: Espresso, tmp_path: Path) -> None:
    folder, other = tmp_path / "attempt", tmp_path / "attempt" / "other"
    other.mkdir(parents=True)
    asked = calculation(silicon, shifted())
    silicon.write(asked, folder)
    assert run_in(folder, silicon).status == CONVERGED
    text = (folder / INPUT).read_text()
    upf = Path(re.findall(r"pseudo_dir += '(.*)'", text)[0]) / asked.parameters["pseudopotentials"]["Si"]["file"]
    (other / upf.name).write_text(upf.read_text() + "\n")
    (folder / INPUT).write_text(re.sub(r"pseudo_dir .*", "pseudo_dir = './other'", text))
    assert "took another pseudopotential" in run_in(folder, silicon).status


def test_moments_of_pw(tmp_path: Path) -> None:
    engine = Espresso(real_library(tmp_path / "upf", "Fe"), None, kspacing=1.5, cutoff=20)
    iron = bulk("Fe", cubic=True)
    iron.set_initial_magnetic_moments([2.0, 2.0])
    store = Store(tmp_path / "store", engine, max_minutes=3)
    found = store.run(calculation(engine, iron, conv_thr=1e-6))
    assert found.status == CONVERGED
    assert found.magnetic_moment is not None
    assert found.magnetic_moment > 1
    assert found.magnetic_moments[0] == pytest.approx(found.magnetic_moments[1], abs=0.01)
    assert found.magnetic_moments[0] > 0.5


# ph.x


def test_phonons_of_silicon(silicon: Espresso, tmp_path: Path) -> None:
    if not shutil.which("ph.x"):
        pytest.skip("ph.x is not on the path")
    folder = tmp_path / "phonons"
    folder.mkdir()
    silicon.write_ph(calculation(silicon, bulk("Si", a=5.4)), folder, insulator=True)
    for program in ("pw", "ph"):
        run = [f"{program}.x", "-in", f"{program}.in"]
        done = subprocess.run(run, cwd=folder, capture_output=True, text=True, check=False)
        assert "JOB DONE" in done.stdout, done.stdout[-2000:]
    assert "Effective charges" in done.stdout
    modes = [float(x) for x in re.findall(r"freq \(.*?= +(\S+) \[THz\]", (folder / "dyn").read_text())]
    assert np.abs(modes[:3]).max() < 1
    assert modes[3:] == pytest.approx([modes[3]] * 3, abs=1e-3)
    assert 12 < modes[3] < 19  # 15.5 THz is measured; two k-points


def test_inputs_of_phonons(library: Path, tmp_path: Path) -> None:
    engine = Espresso(library, None)
    engine.write_ph(calculation(engine, bulk("Si")), tmp_path, (2, 2, 2))
    text = (tmp_path / "ph.in").read_text()
    assert re.search(r"ldisp += .true.", text)
    assert re.search(r"nq1 += 2", text)
    assert re.search(r"epsil += .false.", text)
    assert "relax" in (tmp_path / "README.md").read_text()
    iron = bulk("Fe")
    iron.set_initial_magnetic_moments([2.0])
    with pytest.raises(InputError, match="magnetic insulator"):
        engine.write_ph(calculation(engine, iron), tmp_path, insulator=True)
