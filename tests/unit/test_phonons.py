"""Phonons: against springs solved by hand, and with a real potential."""

import dataclasses
import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.data import atomic_masses, atomic_numbers
from ase.neighborlist import neighbor_list
from phonopy.physical_units import get_physical_units

from cgwgan_core import phonons, tables
from cgwgan_core.errors import InputError
from cgwgan_core.jobs import Provenance
from cgwgan_core.phonons import PhononOptions
from cgwgan_core.potentials import Potential, PotentialOptions, load
from cgwgan_core.resume import KeptRows
from scripts.phonons import main

A = 4.0
MASS = atomic_masses[atomic_numbers["Cu"]]


def springs(stiffness: float) -> phonons.Forces:
    """Springs between the nearest neighbours of fcc copper, at rest at its lattice constant."""
    rest = A / np.sqrt(2)

    def forces(structures: list[Atoms]) -> list[np.ndarray]:
        found = []
        for atoms in structures:
            i, lengths, vectors = neighbor_list("idD", atoms, 1.2 * rest)
            total = np.zeros((len(atoms), 3))
            np.add.at(total, i, stiffness * (lengths - rest)[:, None] * vectors / lengths[:, None])
            found.append(total)
        return found

    return forces


def thz(stiffness: float) -> float:
    """sqrt(k/m)/2π in THz of a stiffness in eV/Å² on a copper atom."""
    return get_physical_units().DefaultToTHz * np.sqrt(stiffness / MASS)


def perovskite(a: str, b: str, edge: float) -> Atoms:
    places = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    return Atoms([a, b, "O", "O", "O"], scaled_positions=places, cell=[edge] * 3, pbc=True)


@pytest.fixture(scope="module")
def chgnet() -> Potential:
    return load(PotentialOptions(name="chgnet"))


def test_springs_at_zone_boundary() -> None:
    """At X of fcc with springs to the 12 nearest neighbours: m ω² = 8k, and 4k twice (by hand)."""
    cell, spacegroup, path = phonons.standardise(bulk("Cu", "fcc", a=A, cubic=True))
    assert (len(cell), spacegroup) == (1, 225)
    phonon = phonons.finite_displacements(cell, springs(2.0), (2, 2, 2), 0.01)
    bands = phonons.band_columns(phonon.run_band_structure(path.legs), path)
    frequencies = np.reshape(bands["band_frequencies"], (-1, 3))
    at = bands["band_distances"].index(bands["band_ticks"][bands["band_labels"].index("X")])
    assert frequencies[at] == pytest.approx([thz(8), thz(8), thz(16)], rel=1e-3)


def test_acoustic_modes_at_gamma_are_no_instability() -> None:
    cell, _, path = phonons.standardise(bulk("Cu", "fcc", a=A))
    forces = springs(2.0)
    phonon = phonons.finite_displacements(cell, forces, (2, 2, 2), 0.01)
    lowest, q = phonons.lowest_mode(phonon, phonon.run_band_structure(path.legs), (1, 1, 1))
    assert lowest > 0
    assert np.abs(q).max() > 0.005
    # One atom in the cell and Γ alone: nothing is left to judge, and nothing is imaginary.
    gamma_only = phonons.BandPath([np.zeros((1, 3))], [("GAMMA", "GAMMA")])
    assert phonons.lowest_mode(phonon, phonon.run_band_structure(gamma_only.legs), (1, 1, 1))[0] == np.inf


def test_negative_springs_are_imaginary_at_the_right_point() -> None:
    cell, _, path = phonons.standardise(bulk("Cu", "fcc", a=A))
    phonon = phonons.finite_displacements(cell, springs(-2.0), (2, 2, 2), 0.01)
    lowest, q = phonons.lowest_mode(phonon, phonon.run_band_structure(path.legs), (4, 4, 4))
    assert lowest == pytest.approx(-thz(16), rel=1e-3)
    at_x = np.sort(np.abs(np.array(q)))
    assert at_x == pytest.approx([0, 0.5, 0.5])


def test_mesh_finds_what_the_path_misses() -> None:
    cell, _, _ = phonons.standardise(bulk("Cu", "fcc", a=A))
    phonon = phonons.finite_displacements(cell, springs(-2.0), (2, 2, 2), 0.01)
    short = phonons.BandPath([np.array([[0, 0, 0], [0.05, 0.05, 0.05]])], [("GAMMA", "L")])
    assert phonons.lowest_mode(phonon, phonon.run_band_structure(short.legs), (1, 1, 1))[0] > -3
    assert phonons.lowest_mode(phonon, phonon.run_band_structure(short.legs), (2, 2, 2))[0] == pytest.approx(
        -thz(16), rel=1e-3
    )


def test_noise_of_a_potential_gives_no_acoustic_modes_at_gamma() -> None:
    """A crystal moved as a whole feels no force, whatever drift and noise the potential has."""
    ordered = Atoms("CuAu", scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)], cell=[A / 2**0.5, A / 2**0.5, A], pbc=True)
    cell, spacegroup, _ = phonons.standardise(ordered)
    assert (len(cell), spacegroup) == (2, 123)
    rng = np.random.default_rng(0)

    def noisy(structures: list[Atoms]) -> list[np.ndarray]:
        return [f + 0.02 + rng.normal(0, 0.002, f.shape) for f in springs(2.0)(structures)]

    at_gamma = phonons.finite_displacements(cell, noisy, (2, 2, 2), 0.01).run_qpoints([[0, 0, 0]]).frequencies[0]
    assert np.sort(np.abs(at_gamma))[:3] == pytest.approx([0, 0, 0], abs=1e-3)
    assert np.sort(np.abs(at_gamma))[3] > 1


@pytest.mark.parametrize("rotated", [np.eye(3), [[1, 1, 0], [0, 1, 0], [0, 0, 1]], [[0, 1, 1], [1, 0, 1], [1, 1, 0]]])
def test_standard_cell_does_not_depend_on_the_given_one(rotated: np.ndarray) -> None:
    rutile = Atoms(
        "Ti2O4",
        scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)]
        + [(x, y, z) for x, y, z in [(0.305, 0.305, 0), (0.695, 0.695, 0), (0.195, 0.805, 0.5), (0.805, 0.195, 0.5)]],
        cell=[4.6, 4.6, 2.95],
        pbc=True,
    )
    cell, spacegroup, path = phonons.standardise(make_supercell(rutile, rotated))
    assert (len(cell), spacegroup) == (6, 136)
    assert np.sort(cell.cell.lengths()) == pytest.approx([2.95, 4.6, 4.6])
    assert path.ends[0] == ("GAMMA", "X")
    assert ((cell.get_scaled_positions(wrap=False) >= 0) & (cell.get_scaled_positions(wrap=False) < 1)).all()


def test_noise_below_tolerance_is_idealised() -> None:
    noisy = perovskite("Sr", "Ti", 3.94)
    noisy.positions += np.random.default_rng(0).uniform(-0.002, 0.002, (5, 3))
    cell, spacegroup, _ = phonons.standardise(noisy)
    assert spacegroup == 221
    assert np.ptp(cell.cell.lengths()) < 1e-12


def test_band_columns_fit_together() -> None:
    cell, _, path = phonons.standardise(bulk("Cu", "fcc", a=A))
    phonon = phonons.finite_displacements(cell, springs(2.0), (2, 2, 2), 0.01)
    bands = phonons.band_columns(phonon.run_band_structure(path.legs), path)
    distances, starts = bands["band_distances"], bands["band_breaks"]
    assert bands["band_labels"] == ["Γ", "X", "U|K", "Γ", "L", "W", "X"]
    assert len(bands["band_frequencies"]) == 3 * len(distances)
    assert len(starts) == len(bands["band_ticks"]) - 1 == len(path.legs)
    assert (np.diff(distances) >= 0).all()
    assert [distances[i] for i in starts] == pytest.approx(bands["band_ticks"][:-1], abs=2e-6)
    assert bands["band_ticks"][1] == pytest.approx(1 / A, abs=1e-6)  # Γ-X of fcc is 1/a
    assert max(np.diff([*starts, len(distances)])) <= phonons.POINTS_PER_LEG


@pytest.mark.parametrize(("name", "printed"), [("GAMMA", "Γ"), ("SIGMA_0", "Σ₀"), ("H_2", "H₂"), ("X", "X")])
def test_labels(name: str, printed: str) -> None:
    assert phonons._label(name) == printed


# ------------------------------------------------------------------------------------ with a real potential


def test_verdicts_name_their_potential(chgnet: Potential) -> None:
    stable = phonons.phonons(bulk("MgO", "rocksalt", a=4.25, cubic=True), chgnet, PhononOptions())
    assert (stable.status, stable.verdict, stable.potential) == ("ok", "stable", chgnet.name)
    assert (stable.spacegroup, len(stable.atoms), stable.n_displacements) == (225, 2, 2)
    assert stable.min_frequency > 0
    assert stable.supercell == (4, 4, 4)  # edges of 3.0 Å
    assert len(stable.finalist["force_constants"]) == 2 * 128 * 9
    assert stable.finalist["mechanically_stable"]
    assert 100 < stable.finalist["bulk_modulus"] < 170  # GPa; 163 measured
    places = np.array(stable.row("MgO", PhononOptions())["frac_coords"])
    assert ((places >= 0) & (places < 1)).all()
    unstable = phonons.phonons(perovskite("Ba", "Ti", 4.03), chgnet, PhononOptions(min_length=None))
    assert (unstable.status, unstable.verdict) == ("ok", "unstable")
    assert unstable.min_frequency < -3
    assert unstable.min_frequency_q == [0, 0, 0]  # the ferroelectric mode
    assert unstable.finalist == {}
    lenient = phonons.phonons(perovskite("Ba", "Ti", 4.03), chgnet, PhononOptions(min_length=None, borderline=-20))
    assert (lenient.verdict, lenient.min_frequency) == ("borderline", unstable.min_frequency)
    assert lenient.row("a", PhononOptions(borderline=-20))["paper_stable"] is False


def test_too_large_a_supercell_is_refused(chgnet: Potential) -> None:
    result = phonons.phonons(perovskite("Ba", "Ti", 4.03), chgnet, PhononOptions(min_length=None, max_atoms=39))
    assert result.status == "refused: 40 atoms in the supercell, more than max_atoms (39)"
    assert result.verdict is None


@pytest.mark.parametrize(
    ("lowest", "verdict"),
    [(0.1, "stable"), (-0.1, "stable"), (-0.11, "borderline"), (-0.5, "borderline"), (-0.51, "unstable")],
)
def test_three_verdicts(lowest: float, verdict: str) -> None:
    assert PhononOptions().verdict(lowest) == verdict


def test_supercell_by_length() -> None:
    cell = Atoms("Cu", cell=[2.6, 5.0, 12.0], pbc=True)
    assert PhononOptions(min_length=10.0).repeats(cell) == (4, 2, 1)
    assert PhononOptions(min_length=12.0).repeats(cell) == (6, 4, 1)
    assert PhononOptions(min_length=None, supercell=(3, 2, 1)).repeats(cell) == (3, 2, 1)


def test_a_crystal_over_its_time_is_recorded(chgnet: Potential) -> None:
    result = phonons.phonons(bulk("MgO", "rocksalt", a=4.3), chgnet, PhononOptions(max_minutes=1e-6))
    assert result.status == "refused: takes longer than max_minutes (1e-06)"
    assert result.verdict is None


def test_children_are_rows_and_survive_a_kill(chgnet: Potential, tmp_path) -> None:
    unique = [
        _crystal("BaTiO3", perovskite("Ba", "Ti", 4.03), 1),
        _crystal("MgO", bulk("MgO", "rocksalt", a=4.25), 2),
        _crystal("KNbO3", perovskite("K", "Nb", 4.06), 3),
    ]
    options = PhononOptions(min_length=None, follow=2)
    with KeptRows(tmp_path / "0.parquet", options) as kept:
        found = list(phonons.phonon_rows(unique, chgnet, options, kept))
        assert list(phonons.phonon_rows(unique, None, options, kept)) == found  # nothing is computed again
        max(kept.folder.glob("*.json"), key=lambda file: file.stat().st_mtime_ns).unlink()
        assert list(phonons.phonon_rows(unique, chgnet, options, kept)) == found  # to the last digit
        tables.write(tmp_path / "0.parquet", found, tables.PHONONS, Provenance())
    assert [row["candidate_id"] for row in found] == ["BaTiO3", "BaTiO3-child", "MgO", "KNbO3"]
    parent, born = found[:2]
    assert (born["parent_id"], parent["parent_id"], parent["verdict"]) == ("BaTiO3", None, "unstable")
    assert born["energy_gain"] > 0.003
    assert born["energy_gain"] == pytest.approx(parent["energy_per_atom"] - born["energy_per_atom"])
    assert born["spacegroup"] in (38, 99, 160)  # the polar phases of barium titanate
    assert born["min_frequency"] > parent["min_frequency"]


def test_a_crystal_that_cannot_get_to_fmax_is_taken_as_near_as_is_accepted(chgnet: Potential) -> None:
    options = PhononOptions(min_length=None, fmax=1e-12, max_steps=40)
    result = phonons.phonons(bulk("MgO", "rocksalt", a=4.3), chgnet, options)
    assert result.status == "ok"
    assert result.relaxed_fmax is not None
    assert result.relaxed_fmax <= options.fmax_accepted
    strict = dataclasses.replace(options, fmax_accepted=1e-12)
    assert phonons.phonons(bulk("MgO", "rocksalt", a=4.3), chgnet, strict).status.startswith("not converged")


def test_no_verdict_without_convergence(chgnet: Potential) -> None:
    result = phonons.phonons(bulk("MgO", "rocksalt", a=4.6), chgnet, PhononOptions(max_steps=1))
    assert result.status.startswith("not converged")
    assert result.verdict is None


def _crystal(name: str, atoms: Atoms, rank: int | None) -> dict:
    return {
        "candidate_id": name,
        "lattice": atoms.cell.array.ravel().tolist(),
        "numbers": atoms.numbers.tolist(),
        "frac_coords": atoms.get_scaled_positions().ravel().tolist(),
        "phonon_rank": rank,
    }


def test_rows_resume_and_survive_bad_crystals(chgnet: Potential, tmp_path, caplog) -> None:
    clash = Atoms("Mg2", scaled_positions=[(0, 0, 0), (0.01, 0, 0)], cell=[4, 4, 4], pbc=True)
    unique = tables.to_table(
        [
            _crystal("second", bulk("MgO", "rocksalt", a=4.25), 2),
            _crystal("not asked for", bulk("NaCl", "rocksalt", a=5.6), None),
            _crystal("clash", clash, 1),
            _crystal("third", bulk("CaO", "rocksalt", a=4.8), 3),
        ],
        tables.UNIQUE,
    )
    shards = [phonons.crystals_of_shard(unique, i, 2) for i in range(2)]
    assert [[c["candidate_id"] for c in shard] for shard in shards] == [["clash", "third"], ["second"]]

    crystals = phonons.crystals_of_shard(unique, 0, 1)
    options = PhononOptions(min_length=None)
    output = tmp_path / "phonons.parquet"

    def run(potential: Potential, stop_after: int | None = None) -> list[dict]:
        with KeptRows(output, options, chgnet.digest) as kept:
            rows = phonons.phonon_rows(crystals, potential, options, kept)
            if stop_after is not None:
                for _ in range(stop_after):
                    next(rows)
                raise KeyboardInterrupt
            done = list(rows)
            tables.write(output, done, tables.PHONONS, Provenance())
        return done

    with pytest.raises(KeyboardInterrupt):
        run(chgnet, stop_after=2)
    assert len(list((tmp_path / ".phonons.parquet.rows").iterdir())) == 2
    resumed = run(chgnet)
    first = output.read_bytes()
    assert not (tmp_path / ".phonons.parquet.rows").exists()
    assert [row["status"].split(":")[0] for row in resumed] == ["failed", "ok", "ok"]
    assert "Å" in resumed[0]["status"]
    assert resumed[0]["verdict"] is None
    again = run(chgnet)
    assert again == resumed
    assert output.read_bytes() == first
    table = tables.read(output, tables.PHONONS)
    assert table["candidate_id"].to_pylist() == ["clash", "second", "third"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"supercell": [2, 2]}, {"mesh": [8, 8, 0]}, {"displacement": 0.0}, {"max_steps": 0}, {"min_length": 0.0},
        {"max_minutes": -1.0}, {"follow": -1}, {"stable": 0.1}, {"borderline": -0.05},
    ],
)  # fmt: skip
def test_options_are_checked(wrong: dict) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        PhononOptions(**wrong)


def test_script_writes_one_shard_with_the_checked_potential(chgnet: Potential, tmp_path) -> None:
    unique, checked, output = tmp_path / "unique.parquet", tmp_path / "potential.json", tmp_path / "0.parquet"
    rows = [_crystal("a", bulk("MgO", "rocksalt", a=4.25), 1), _crystal("b", bulk("CaO", "rocksalt", a=4.8), 2)]
    tables.write(unique, rows, tables.UNIQUE, Provenance())

    def run() -> None:
        main(
            unique=str(unique),
            checked=str(checked),
            phonons=str(output),
            potential=PotentialOptions(name="chgnet"),
            options=PhononOptions(min_length=None, max_atoms=15),
            shard=1,
            shards=2,
            made_from=Provenance(),
        )

    report = {"name": chgnet.name, "energy_scale": chgnet.energy_scale, "digest": chgnet.digest}
    checked.write_text(json.dumps({**report, "digest": "of other weights"}))
    with pytest.raises(InputError, match=r"potential\.json"):
        run()
    checked.write_text(json.dumps(report))
    run()
    (row,) = tables.read(output, tables.PHONONS).to_pylist()
    assert row["candidate_id"] == "b"
    assert row["status"].startswith("refused: 16 atoms")
    assert row["verdict"] is None
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0.parquet", "potential.json", "unique.parquet"]


def test_kept_rows_depend_on_their_context(tmp_path) -> None:
    row = {"x": 0.1 + 0.2, "list": [1.5, -0.0]}
    options = PhononOptions()
    kept = KeptRows(tmp_path / "a.parquet", options).__enter__()
    assert kept.get("crystal") is None
    assert kept.put("crystal", row) == row
    assert kept.get("crystal") == row
    assert kept.get("other") is None
    kept.__exit__(KeyboardInterrupt)
    with KeptRows(tmp_path / "a.parquet", dataclasses.replace(options, fmax=0.01)) as kept:
        assert kept.get("crystal") is None
        assert list(kept.folder.iterdir())
    assert not kept.folder.exists()
