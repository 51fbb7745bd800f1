"""Relaxation of sound and unsound crystals, of a shortlist, and of the known phases."""

import logging
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.fd import calculate_numerical_stress
from ase.constraints import FixSymmetry
from ase.eos import calculate_eos
from ase.filters import UnitCellFilter
from ase.optimize import BFGS
from ase.spacegroup import crystal

from cgwgan_core import tables
from cgwgan_core.crystal import Templates, to_atoms
from cgwgan_core.energetics import Hull, formation_energies
from cgwgan_core.errors import InputError
from cgwgan_core.jobs import Provenance
from cgwgan_core.potentials import Potential, PotentialOptions, load
from cgwgan_core.potentials.protocol import Batch
from cgwgan_core.relaxation import (
    ACROSS,
    STALLED,
    KnownPhasesOptions,
    RelaxOptions,
    at_cutoff,
    orbits_of,
    rattled,
    relax,
    relax_candidates,
    relax_known_phases,
    relax_together,
    settled,
    within,
)
from scripts.known_phases import main as known_phases_script
from scripts.relax import main as relax_script

PEROVSKITE = [(0, 0, 0), (0.5, 0.5, 0.5), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)]
HEUSLER = Templates(
    np.array([225], np.int16),
    np.array([[6.0, 6, 6, 90, 90, 90]]),
    np.array([[0, 1, 2]], np.int8),
    np.array([[[0, 0, 0], [0.5] * 3, [0.25] * 3]]),
)
EMT = PotentialOptions(name="ase.calculators.emt:EMT", energy_scale="mp_uncorrected")


@pytest.fixture(scope="module")
def emt() -> Potential:
    return load(EMT)


@pytest.fixture(scope="module")
def chgnet() -> Potential:
    return load(PotentialOptions(name="chgnet"))


def test_finds_the_minimum_of_the_equation_of_state(emt: Potential) -> None:
    start = bulk("Cu", a=3.75)
    relaxed = relax(start, emt, RelaxOptions(fmax=1e-4))
    reference = bulk("Cu", a=3.6)
    reference.calc = emt.calculator()
    volume, energy, _ = calculate_eos(reference, npoints=9, eps=0.02).fit()
    assert relaxed.ok
    assert relaxed.atoms.get_volume() == pytest.approx(volume, rel=1e-3)
    assert relaxed.energy_per_atom == pytest.approx(energy, abs=1e-4)
    assert relaxed.volume_change == pytest.approx(volume / start.get_volume(), rel=1e-3)
    assert (relaxed.spacegroup_before, relaxed.spacegroup) == (225, 225)
    assert start.cell.array == pytest.approx(bulk("Cu", a=3.75).cell.array)


def test_keeps_the_symmetry_and_finds_free_coordinates(chgnet: Potential) -> None:
    """Rutile RuO2 from a wrong axial ratio and a wrong u; Materials Project mp-825 has c/a 0.694, u 0.3054."""
    start = Atoms(
        "Ru2O4",
        scaled_positions=[
            (0, 0, 0),
            (0.5, 0.5, 0.5),
            (0.28, 0.28, 0),
            (0.72, 0.72, 0),
            (0.78, 0.22, 0.5),
            (0.22, 0.78, 0.5),
        ],
        cell=[4.7, 4.7, 3.0],
        pbc=True,
    )
    relaxed = relax(start, chgnet, RelaxOptions(fmax=0.01))
    assert relaxed.ok
    assert (relaxed.spacegroup_before, relaxed.spacegroup) == (136, 136)
    a, _, c = relaxed.atoms.cell.lengths()
    assert c / a == pytest.approx(0.694, abs=0.01)
    scaled = relaxed.atoms.get_scaled_positions()
    u = (scaled[2] - scaled[0] + 0.5) % 1 - 0.5
    assert u == pytest.approx([0.3054, 0.3054, 0], abs=0.004)
    assert relaxed.fmax <= 0.01


@pytest.mark.parametrize(
    ("atoms", "status"),
    [
        (bulk("Cu", a=2.6), "fell apart: volume"),
        (bulk("Cu", a=4.6), "collapsed: volume"),
        (bulk("Ba", a=5.0), "failed: "),
        (Atoms("Cu2", positions=[[0, 0, 0], [0.5, 0, 0]], cell=[4, 4, 4], pbc=True), "collapsed: two atoms are"),
        (Atoms("Cu", positions=[[np.nan, 0, 0]], cell=[4, 4, 4], pbc=True), "failed: a coordinate is not"),
    ],
)
def test_unsound_crystals_are_refused_with_a_reason(emt: Potential, atoms: Atoms, status: str) -> None:
    relaxed = relax(atoms, emt, RelaxOptions())
    assert relaxed.status.startswith(status)
    assert not relaxed.ok


def test_crystals_relax_together_as_they_do_alone(emt: Potential) -> None:
    crystals = [
        bulk("Cu", a=3.75),
        bulk("Cu", a=2.6),
        Atoms("AuCuCu3", scaled_positions=PEROVSKITE, cell=[4.1] * 3, pbc=True),
        Atoms("Cu", positions=[[np.nan, 0, 0]], cell=[4, 4, 4], pbc=True),
    ]
    together = dict(relax_together(crystals, emt, RelaxOptions()))
    assert sorted(together) == [0, 1, 2, 3]
    for i, atoms in enumerate(crystals):
        alone = relax(atoms, emt, RelaxOptions())
        assert together[i].status == alone.status
        assert together[i].n_steps == alone.n_steps
        assert together[i].energy_per_atom == pytest.approx(alone.energy_per_atom, abs=1e-9, nan_ok=True)
        if i != 3:
            assert together[i].atoms.positions == pytest.approx(alone.atoms.positions, abs=1e-9)


def test_the_optimiser_is_that_of_ase(emt: Potential) -> None:
    """Step by step what ASE's own loop does."""
    start = Atoms("AuCuCu3", scaled_positions=PEROVSKITE, cell=[4.1] * 3, pbc=True)
    moving = start.copy()
    moving.calc = emt.calculator()
    moving.set_constraint(FixSymmetry(moving, symprec=0.01))
    optimiser = BFGS(UnitCellFilter(moving), logfile=None)
    assert optimiser.run(fmax=0.01, steps=200)
    relaxed = relax(start, emt, RelaxOptions(fmax=0.01))
    assert relaxed.n_steps == optimiser.nsteps
    assert relaxed.atoms.cell.array == pytest.approx(moving.cell.array, abs=1e-9)
    assert relaxed.energy_per_atom == pytest.approx(moving.get_potential_energy() / len(moving), abs=1e-9)


def test_atoms_at_the_cutoff_are_told(emt: Potential, monkeypatch: pytest.MonkeyPatch) -> None:
    atoms = bulk("Cu", a=3.8)
    assert at_cutoff(atoms, 3.8 + 0.004)
    assert not at_cutoff(atoms, 3.8 + 0.006)
    assert not at_cutoff(atoms, 1.0)
    monkeypatch.setattr(emt, "cutoff", 3.6)
    monkeypatch.setattr("cgwgan_core.relaxation.AT_CUTOFF", 0.2)
    stuck = relax(bulk("Cu", a=3.6), emt, RelaxOptions(fmax=1e-9, max_steps=1))
    assert stuck.status.endswith("where the potential ends and may have a kink")


class Groove(Potential):
    """Pairs repel with a constant force up to the cutoff, where it ends; the volume is held by a spring."""

    name, energy_scale, digest, versions = "groove", "matpes", "", {}
    cutoff = 3.0 * np.sqrt(2)
    push, stiffness, volume = 0.1, 40.0, 26.5  # eV/Å, eV, Å³ for each atom

    def unknown(self, symbols: set[str]) -> set[str]:
        return set()

    def compute(self, crystals, pairs, forces, stress) -> Batch:
        energies, all_forces, stresses = [], [], []
        for atoms, found in zip(crystals, pairs, strict=True):
            bonds = found.bonds(atoms)
            unit = bonds / found.distance[:, None]
            excess = atoms.get_volume() / (self.volume * len(atoms)) - 1
            energies.append(
                self.push / 2 * (self.cutoff - found.distance).sum() + len(atoms) * self.stiffness / 2 * excess**2
            )
            pulls = np.zeros((len(atoms), 3))
            np.add.at(pulls, found.centre, -self.push * unit)
            all_forces.append(pulls)
            pressure = self.stiffness * excess / self.volume
            stresses.append(-self.push / 2 * bonds.T @ unit / atoms.get_volume() + pressure * np.eye(3))
        return Batch(np.array(energies), all_forces, np.array(stresses))


def test_a_crystal_in_the_kink_gets_to_a_minimum_with_its_neighbours_kept() -> None:
    """Simple cubic: the second neighbours push until they are no longer within the cutoff, then the spring pulls."""
    groove, options = Groove(), RelaxOptions(fmax=1e-4, max_steps=500)
    atoms = Atoms("Cu", cell=[2.97] * 3, pbc=True)
    found = groove.evaluate([atoms], forces=True, stress=True)
    numerical = atoms.copy()
    numerical.calc = groove.calculator()
    assert found.stresses[0] == pytest.approx(calculate_numerical_stress(numerical, voigt=False), abs=1e-6)

    stuck = relax(atoms, groove, options)
    assert stuck.status.startswith("not converged after")
    assert stuck.status.endswith("where the potential ends and may have a kink")
    kept = relax(atoms, groove, options, keep_pairs=True)
    assert (kept.status, kept.fmax < 1e-4) == ("ok", True)
    edge = kept.atoms.cell.lengths()
    assert edge == pytest.approx(np.full(3, edge[0]))
    assert kept.across == pytest.approx(abs(np.sqrt(2) * edge[0] - groove.cutoff))
    assert 0 < kept.across < ACROSS
    # a minimum of one side, with 6 or with 18 neighbours: dE/da = 0
    excess = edge[0] ** 3 / groove.volume - 1
    spring = groove.stiffness * excess * 3 * edge[0] ** 2 / groove.volume
    assert any(
        spring == pytest.approx(p, abs=1e-3) for p in (3 * groove.push, 3 * groove.push + 6 * np.sqrt(2) * groove.push)
    )


def test_neighbours_far_across_the_cutoff_are_no_minimum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cgwgan_core.relaxation.ACROSS", 1e-6)
    atoms, options = Atoms("Cu", cell=[2.97] * 3, pbc=True), RelaxOptions(fmax=1e-4, max_steps=500)
    refused = relax(atoms, Groove(), options, keep_pairs=True)
    assert "on the other side of the potential's cutoff" in refused.status
    near = relax(atoms, Groove(), options, keep_pairs=True, accepted=10.0)
    assert (near.ok, near.across) == (True, 0.0)  # as it was before its neighbours were kept


def test_a_crystal_beside_others_is_given_up_after_its_own_time(
    emt: Potential, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that ticks once a minute, an evaluation lasts a minute: 32 parts of 33 are the larger crystal's."""
    done = relax(bulk("Cu", a=3.6), emt, RelaxOptions(fmax=1e-4)).atoms
    crystals = [bulk("Cu", a=3.7, cubic=True).repeat(2), done]
    ticks = count(0.0, 60.0)
    monkeypatch.setattr("cgwgan_core.relaxation.time.monotonic", lambda: next(ticks))
    found = dict(relax_together(crystals, emt, RelaxOptions(fmax=1e-3), max_minutes=0.5))
    assert found[0].status == "refused: takes longer than max_minutes (0.5)"
    assert found[1].ok
    assert [found[0].minutes, found[1].minutes] == pytest.approx([32 / 33, 1 / 33])


def test_kept_neighbours_change_nothing_where_a_minimum_is_reached(chgnet: Potential) -> None:
    atoms = bulk("MgO", "rocksalt", a=4.3)
    plain, kept = (relax(atoms, chgnet, RelaxOptions(fmax=0.01), keep_pairs=keep) for keep in (False, True))
    assert (kept.n_steps, kept.energy_per_atom) == (plain.n_steps, plain.energy_per_atom)


def test_a_relaxation_that_comes_no_nearer_ends_at_its_best_point(emt: Potential) -> None:
    """Forces are noise far above 1e-15 eV/Å."""
    start = Atoms("AuCuCu3", scaled_positions=PEROVSKITE, cell=[4.1] * 3, pbc=True)
    start.rattle(0.02, seed=1)
    given_up = relax(start, emt, RelaxOptions(fmax=1e-15, max_steps=5000))
    assert given_up.status.startswith("not converged after ")
    assert STALLED < given_up.n_steps < 1000
    accepted = relax(start, emt, RelaxOptions(fmax=1e-15, max_steps=5000), accepted=1e-6)
    assert (accepted.ok, accepted.n_steps) == (True, given_up.n_steps)
    for relaxed in (given_up, accepted):
        assert np.abs(relaxed.fmax) < 1e-8
        atoms = relaxed.atoms.copy()
        atoms.calc = emt.calculator()
        assert np.linalg.norm(atoms.get_forces(), axis=1).max() == pytest.approx(relaxed.fmax, abs=1e-12)


def test_symmetry_that_is_not_exact_is_made_so() -> None:
    """Only atoms that symmetry relates to the last digit may stand for each other."""
    rutile = crystal("TiO", [(0, 0, 0), (0.3, 0.3, 0)], spacegroup=136, cellpar=[4.6, 4.6, 2.9, 90, 90, 90])
    rutile.rattle(0.001, seed=0)
    moving = rutile.copy()
    symmetry = FixSymmetry(moving, symprec=0.01)
    assert orbits_of(moving, symmetry).tolist() == [0, 0, 1, 1, 1, 1]
    assert orbits_of(rutile, symmetry).tolist() == list(range(6))


def test_unconverged_crystals_are_refused(emt: Potential) -> None:
    relaxed = relax(bulk("Cu", a=3.8), emt, RelaxOptions(fmax=1e-4, max_steps=2))
    assert relaxed.status.startswith("not converged after 2 steps")
    assert relaxed.n_steps == 2
    assert np.isfinite(relaxed.energy_per_atom)


@pytest.mark.parametrize("options", [{"fmax": 0.0}, {"max_steps": 0}])
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        RelaxOptions(**options)
    with pytest.raises(InputError):
        KnownPhasesOptions(**options)
    with pytest.raises(InputError):
        KnownPhasesOptions(max_atoms=0)


def test_a_saddle_point_is_left_and_a_minimum_is_not(emt: Potential) -> None:
    """AuCu4 as a perovskite is a saddle of EMT, as Heusler a minimum."""
    options = RelaxOptions()
    saddle = relax(Atoms("AuCuCu3", scaled_positions=PEROVSKITE, cell=[4.2] * 3, pbc=True), emt, options)
    free = relax(rattled(saddle, "one"), emt, options, keep_symmetry=False)
    assert saddle.ok
    assert free.ok
    assert free.energy_per_atom < saddle.energy_per_atom - 0.1
    assert free.spacegroup != saddle.spacegroup == 221
    # EMT remembers lists of neighbours, whose order changes last digits: each time a new one
    first, second = (relax(rattled(saddle, "one"), load(EMT), options, keep_symmetry=False).atoms for _ in range(2))
    assert first == second
    # settled: the same crystal, exactly in the symmetry that it was found to have
    exact = settled(free, emt, options)
    assert exact.ok
    assert exact.energy_per_atom == pytest.approx(free.energy_per_atom, abs=2e-3)
    assert exact.spacegroup_before == exact.spacegroup == free.spacegroup

    heusler = relax(to_atoms(HEUSLER, 0, ["Au", "Cu", "Cu"]), emt, options)
    stays = relax(rattled(heusler, "one"), emt, options, keep_symmetry=False)
    assert stays.energy_per_atom == pytest.approx(heusler.energy_per_atom, abs=1e-3)
    assert stays.spacegroup == heusler.spacegroup == 225


# ------------------------------------------------------------------------------ the shortlist and the hull


def template_table() -> pa.Table:
    """AuCu3's and AuCu's templates."""
    templates = Templates(
        np.array([221, 123], dtype=np.int16),
        np.array([[3.9, 3.9, 3.9, 90, 90, 90], [2.9, 2.9, 3.7, 90, 90, 90]]),
        np.array([[0, 2], [0, 3]], dtype=np.int8),
        np.array([[[0, 0, 0], [0, 0.5, 0.5]], [[0, 0, 0], [0.5, 0.5, 0.5]]]),
    )
    return tables.to_table({"template_id": ["t0", "t1"], **templates.to_columns()}, tables.TEMPLATES)


def ranked_table() -> pa.Table:
    rows = [
        ("t0", ["Au", "Cu"], "Cu3Au"),
        ("t1", ["Au", "Cu"], "CuAu"),
        ("t9", ["Au", "Cu"], "CuAu"),
        ("t0", ["Cu", "Au"], "CuAu3"),
        ("t0", ["Ba", "Cu"], "BaCu3"),
    ]
    return pa.Table.from_pylist(
        [
            {
                "rank": i + 1,
                "candidate_id": f"{template}-{'-'.join(elements)}",
                "template_id": template,
                "elements": elements,
                "formula": formula,
                "volume_scale": 1.05,
            }
            for i, (template, elements, formula) in enumerate(rows)
        ],
        schema=tables.RANKED,
    )


def structure_table() -> pa.Table:
    def row(name: str, atoms: Atoms) -> dict[str, Any]:
        return {
            "material_id": name,
            "formula": atoms.get_chemical_formula(),
            "lattice": atoms.cell.array.ravel(),
            "numbers": atoms.numbers,
            "frac_coords": atoms.get_scaled_positions().ravel(),
            "formation_energy_per_atom": -0.05,
        }

    places = [(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)]
    ordered = Atoms("AuCu3", scaled_positions=places, cell=[3.8, 3.8, 3.8], pbc=True)
    rows = [
        row("a", ordered),
        row("b", bulk("Cu", a=3.6)),
        row("c", bulk("NaCl", "rocksalt", a=5.6)),
        row("d", ordered.repeat(3)),
        row("e", Atoms("AuCu", scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)], cell=[2, 2, 2.6], pbc=True)),
    ]
    return pa.Table.from_pylist(rows, schema=tables.STRUCTURES)


def test_within_takes_subsets_of_the_chemistry() -> None:
    structures = structure_table()
    assert within(structures, ["Au", "Cu"])["material_id"].to_pylist() == ["a", "b", "d", "e"]
    assert within(structures, ["Na", "Cl", "Cu"])["material_id"].to_pylist() == ["b", "c"]
    assert within(structures.slice(1, 2), ["Na", "Cl"])["material_id"].to_pylist() == ["c"]
    assert within(structures.slice(0, 0), ["Cu"]).num_rows == 0


def test_known_phases_and_their_hull(emt: Potential, caplog: pytest.LogCaptureFixture) -> None:
    structures = within(structure_table(), ["Au", "Cu"])
    with caplog.at_level(logging.INFO, logger="cgwgan"):
        rows = relax_known_phases(structures, ["Cu", "Au"], emt, KnownPhasesOptions(max_atoms=50))
    status = {row["material_id"]: row["status"] for row in rows}
    assert list(status) == ["element-Au", "element-Cu", "a", "b", "d", "e"]
    assert [status[name] for name in ("element-Au", "element-Cu", "a")] == ["ok", "ok", "ok"]
    assert status["b"] == "an element: its reference energy is used"
    assert status["d"] == "108 atoms, more than 50"
    assert status["e"].startswith("fell apart")
    table = pa.Table.from_pylist(rows, schema=tables.KNOWN_PHASES)
    hull, relaxed = Hull.from_known_phases(table), rows[2]
    expected = min(0.0, relaxed["formation_energy_per_atom"])
    assert hull.energy_per_atom("Cu3Au") == pytest.approx(expected)
    assert relaxed["energy_above_hull"] == pytest.approx(relaxed["formation_energy_per_atom"] - expected)
    assert "no compound" not in caplog.text


def test_a_database_without_compounds_is_told(emt: Potential, caplog: pytest.LogCaptureFixture) -> None:
    structures = within(structure_table(), ["Cu", "Ag"])
    with caplog.at_level(logging.INFO, logger="cgwgan"):
        rows = relax_known_phases(structures, ["Cu", "Ag"], emt, KnownPhasesOptions())
    assert "no compound of Cu-Ag" in caplog.text
    assert [row["status"] for row in rows].count("ok") == 2


def test_candidates_leave_as_they_came_one_row_each(emt: Potential) -> None:
    hull = Hull([("Cu3Au", -0.03)], ["Ba"])
    rows = list(relax_candidates(ranked_table(), template_table(), emt, hull, RelaxOptions()))
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5]
    assert [row["status"].split(":")[0] for row in rows] == ["ok", "ok", "failed", "ok", "failed"]
    assert "t9" in rows[2]["status"]
    table = pa.Table.from_pylist(rows, schema=tables.RELAXED)
    assert table["spacegroup"].to_pylist()[:2] == [221, 123]
    atoms = Atoms(
        rows[0]["numbers"],
        cell=np.reshape(rows[0]["lattice"], (3, 3)),
        scaled_positions=np.reshape(rows[0]["frac_coords"], (-1, 3)),
        pbc=True,
    )
    found = emt.evaluate([atoms], forces=True)
    assert found.energy_per_atom[0] == pytest.approx(rows[0]["energy_per_atom"], abs=1e-8)
    (formation,) = formation_energies([atoms], found.energy_per_atom, "mp_uncorrected")
    assert rows[0]["formation_energy_per_atom"] == pytest.approx(formation)
    assert rows[0]["energy_above_hull"] == pytest.approx(formation + 0.03)
    assert rows[4]["energy_per_atom"] is None


def test_candidates_leave_saddle_points_if_asked_to(emt: Potential) -> None:
    """The lower crystal goes on, and the row tells of both."""
    perovskite = Templates(
        np.array([221], np.int16),
        np.array([[4.2, 4.2, 4.2, 90, 90, 90]]),
        np.array([[0, 1, 2]], np.int8),
        np.array([[[0, 0, 0], [0.5] * 3, [0, 0.5, 0.5]]]),
    )
    templates = tables.to_table({"template_id": ["t0"], **perovskite.to_columns()}, tables.TEMPLATES)
    row = {"candidate_id": "t0-Au-Cu-Cu", "template_id": "t0", "elements": ["Au", "Cu", "Cu"], "formula": "Cu4Au"}
    ranked = pa.Table.from_pylist([{**row, "rank": 1, "volume_scale": 1.0}], schema=tables.RANKED)
    hull = Hull([], ["Au", "Cu"])
    (free,) = relax_candidates(ranked, templates, emt, hull, RelaxOptions())
    (kept,) = relax_candidates(ranked, templates, emt, hull, RelaxOptions(free=False))
    assert (free["freed"], kept["freed"]) == (True, False)
    assert free["symmetric_energy_per_atom"] == kept["energy_per_atom"] == kept["symmetric_energy_per_atom"]
    assert free["energy_per_atom"] == pytest.approx(free["free_energy_per_atom"], abs=2e-3)
    assert free["energy_per_atom"] < kept["energy_per_atom"] - 0.1
    assert (free["symmetric_spacegroup"], free["spacegroup"]) == (221, free["free_spacegroup"])
    assert kept["free_energy_per_atom"] is None
    assert free["n_steps"] > kept["n_steps"]
    atoms = Atoms(
        free["numbers"],
        cell=np.reshape(free["lattice"], (3, 3)),
        scaled_positions=np.reshape(free["frac_coords"], (-1, 3)),
        pbc=True,
    )
    assert emt.evaluate([atoms]).energy_per_atom[0] == pytest.approx(free["energy_per_atom"], abs=1e-8)
    start = to_atoms(perovskite, 0, ["Au", "Cu", "Cu"])
    change = atoms.get_volume() / len(atoms) / (start.get_volume() / len(start))
    assert free["volume_change"] == pytest.approx(change)


def test_scripts_from_structures_to_relaxed_shards(tmp_path: Path) -> None:
    """The two stages on files, with a report of EMT as it would be had EMT passed; all shards make all rows."""
    emt = load(EMT)
    report = {"name": emt.name, "energy_scale": emt.energy_scale, "digest": emt.digest}
    checked = tmp_path / "potential.json"
    checked.write_text(str(report).replace("'", '"'))
    made_from = Provenance()
    path = {name: str(tmp_path / f"{name}.parquet") for name in ("structures", "known", "ranked", "templates")}
    tables.write(path["structures"], structure_table(), tables.STRUCTURES, made_from)
    tables.write(path["ranked"], ranked_table().slice(0, 4), tables.RANKED, made_from)
    tables.write(path["templates"], template_table(), tables.TEMPLATES, made_from)
    known = (path["structures"], str(checked), path["known"], ["Au", "Cu"], EMT)
    known_phases_script(*known, KnownPhasesOptions(), made_from)
    shards = []
    for shard in range(3):
        output = str(tmp_path / f"relaxed-{shard}.parquet")
        arguments = (path["ranked"], path["templates"], path["known"], str(checked), output)
        relax_script(*arguments, EMT, RelaxOptions(), shard, 3, made_from)
        first = Path(output).read_bytes()
        relax_script(*arguments, EMT, RelaxOptions(), shard, 3, made_from)
        assert Path(output).read_bytes() == first
        shards.append(tables.read(output, tables.RELAXED)["rank"].to_pylist())
    assert shards == [[1, 4], [2], [3]]
    checked.write_text(checked.read_text().replace(emt.digest, "0" * 16))
    with pytest.raises(InputError, match="rerun verify_potential"):
        known_phases_script(*known, KnownPhasesOptions(), made_from)
