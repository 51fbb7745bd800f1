"""A whole run's files, small and seeded, as the program writes them, for the tests of counts and report."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from ase import Atoms
from ase.spacegroup import crystal
from pymatgen.core import Composition

from cgwgan_core import __version__
from cgwgan_core.crystallography import spacegroups as sg
from cgwgan_core.crystallography.distances import min_distances
from cgwgan_core.crystallography.fingerprint import canonical
from cgwgan_core.crystallography.structures import atoms_to_row, row_to_atoms, row_to_structure
from cgwgan_core.crystallography.symmetry import spacegroup_of
from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.database.training_set import TrainingOptions, select_training
from cgwgan_core.dft.crystals import CANDIDATE, CrystalOptions
from cgwgan_core.generator.draws import Draws
from cgwgan_core.generator.evaluation import summary
from cgwgan_core.generator.quality import BY_SITES, METRICS
from cgwgan_core.generator.selection import Selection
from cgwgan_core.generator.wgan.training import WGANGP
from cgwgan_core.phonons.phonons import PhononOptions, PhononResult
from cgwgan_core.phonons.shards import crystals_of_shard
from cgwgan_core.relaxation.known_crystals import KNOWN_CRYSTALS, report
from cgwgan_core.results.store import write_cifs
from cgwgan_core.results.survivors import JUDGED, SECOND_JUDGED, survivors
from cgwgan_core.screening.candidates import TemplateLookup
from cgwgan_core.screening.cascade import CascadeOptions, promote
from cgwgan_core.screening.comparison import Library
from cgwgan_core.screening.infill import UNBALANCED
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.files import write_json, write_text
from cgwgan_core.workflow.provenance import Provenance
from cgwgan_core.workflow.refusals import OK
from tests.support.dft_run import dft_run
from tests.support.random_templates import random_template

GROUPS = [2, 12, 14, 62, 63, 71, 123, 129, 139, 148, 160, 166, 186, 187, 191, 194, 216, 221, 225, 227]
MADE_FROM = Provenance("0123456789abcdef", {"generator": "fedcba9876543210"})
CHEMISTRY = ("Ba", "Ru", "O")
JUDGE, SCREENING, SECOND = "SevenNet-test", "M3GNet-test", "CHGNet-test"
HIGHER = 0.01
"""eV/atom above the hull by the second potential, more than by the judge."""
PEROVSKITE = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
NOTHING = dict.fromkeys(("energy_per_atom", "formation_energy_per_atom", "energy_above_hull"))
Rows = list[dict[str, Any]]


@cache
def _templates(seed: int, n: int, density: float, groups: Sequence[int], sites: int) -> Templates:
    """Random templates of so many sites, some groups much more frequent than others."""
    rng = np.random.default_rng(seed)
    weights = rng.permutation(np.arange(1, len(groups) + 1)) ** 1.5
    found = []
    while len(found) < n:
        number = int(rng.choice(groups, p=weights / weights.sum()))
        letters = rng.choice(np.flatnonzero(sg.MULTIPLICITY[number])[:6], sites).tolist()
        repeated = any(letters.count(letter) > 1 and not sg.N_FREE[number, letter] for letter in letters)
        if not repeated and sg.MULTIPLICITY[number, letters].sum() <= 20:
            found.append(random_template(rng, number, letters, float(np.clip(rng.normal(density, 0.018), 0.012, 0.2))))
    return canonical(Templates.concat(found))[0]


@cache
def _database(seed: int, training: int) -> tuple[pa.Table, pa.Table, Rows]:
    """Tables of asymmetric units and of the training set, and the rows of what is unfit for it."""
    parts = [
        _templates(seed, training, 0.065, tuple(GROUPS), 3),
        _templates(seed + 1, 150, 0.065, (1, 2, 14, 62), 5),
        _templates(seed + 2, 50, 0.065, (1,), 3),
    ]
    everything = Templates.concat(parts)
    n = len(everything)
    columns = {
        "material_id": [f"s{i}" for i in range(n)],
        "formula": ["BaRuO3"] * n,
        **everything.to_columns(),
        "elements": [["Ba", "Ru", *["O"] * (k - 2)] for k in everything.n_sites],
        "symprec": [0.1] * n,
    }
    asu = tables.to_table(columns, tables.ASU)
    return asu, *select_training(asu, TrainingOptions(), seed)


def _bands(rng: np.random.Generator, n_atoms: int, lowest: float) -> dict[str, Any]:
    """Bands of a chain's shape: acoustic ones from zero, and ``lowest`` at the second labelled point."""
    x = np.linspace(0, 1, 31)
    acoustic = np.linspace(1.5, 3.5, 3)[:, None] * np.sin(np.pi * x / 2)
    optical = np.sort(rng.uniform(4, 20, 3 * n_atoms - 3))[:, None] + 0.6 * np.cos(np.pi * x)
    leg = np.concatenate([acoustic, optical]).T
    leg[:, 0] += (lowest - leg[-1, 0]) * x**2
    distances = np.concatenate([0.13 * x, 0.13 + 0.13 * x, 0.26 + 0.13 * x])
    return {
        "band_distances": distances.tolist(),
        "band_frequencies": np.concatenate([leg, leg[::-1], leg]).ravel().tolist(),
        "band_breaks": [0, 31, 62],
        "band_ticks": [0.0, 0.13, 0.26, 0.39],
        "band_labels": ["Γ", "X", "Γ|K", "Σ₀"],
    }


def _potential_json(name: str) -> dict[str, Any]:
    """The report of a potential that errs by 1 meV/atom, up and down in turn."""
    rows = []
    for i, known in enumerate(KNOWN_CRYSTALS):
        expected = round(known.expected("mp_uncorrected"), 3)
        error = (-1) ** i / 1000
        rows.append(
            {
                "formula": known.formula,
                "material_id": known.material_id,
                "spacegroup": known.spacegroup,
                "status": OK,
                "energy_per_atom": -6.0,
                "formation_energy_per_atom": round(expected + error, 3),
                "expected_formation_energy_per_atom": expected,
                "error": error,
                "lattice_error": 0.004,
                "passed": True,
            }
        )
    facts = {"energy_scale": "mp_uncorrected", "digest": "00aa11bb22cc33dd", "versions": {"matgl": "4.1.2"}}
    potential = SimpleNamespace(name=name, **facts)
    return report(potential, rows, 0.1, "named by the configuration") | {"cgwgan_core": __version__}


def _phonons(
    rng: np.random.Generator, potential: str, atoms: Atoms, energy: float, lowest: float, **columns: Any
) -> PhononResult:
    options = PhononOptions()
    verdict = options.verdict(lowest)
    properties = {
        "vibrational_free_energy_per_atom": 0.01,
        "heat_capacity_per_atom": 2.4,
        "elastic_tensor": np.diag([200.0] * 3 + [70.0] * 3).ravel().tolist(),
        "elastic_min_eigenvalue": 140.0,
        "mechanically_stable": True,
        "bulk_modulus": 150.2,
        "shear_modulus": 70.4,
    }
    return PhononResult(
        status=OK,
        potential=potential,
        atoms=atoms,
        spacegroup=spacegroup_of(atoms, 0.01),
        energy_per_atom=energy,
        relaxed_fmax=0.0007,
        across_cutoff=0.0,
        min_frequency=lowest,
        min_frequency_q=[0.5, 0, 0],
        verdict=verdict,
        supercell=(2, 2, 2),
        n_displacements=6,
        bands=_bands(rng, len(atoms), lowest),
        properties=properties if verdict != "unstable" else {},
        **columns,
    )


def make_run(
    folder: Path,
    stable: int = 2,
    chosen: int = 5,
    repeats: int = 0,
    children: bool = False,
    alone: bool = False,
    dft: int = 0,
) -> dict[str, Any]:
    """Write the files of a run into ``folder``.

    :param stable: crystals that come out stable or borderline, in turn.
    :param chosen: crystals with phonons asked for; the last of them, if not stable, fails.
    :param repeats: of the stable ones, how many are known phases after all.
    :param children: whether unstable crystals are followed: the first child passes; the second is unstable, and its own
        child comes back to it; the third comes back to its parent.
    :param alone: whether one potential does all. Otherwise another screens, with a cascade to the judge, and a third
        judges again: it disputes every second of the crystals that pass.
    :param dft: survivors that DFT sees, the best by the judge; the first of them is unstable by DFT. 0: there is no
        DFT.
    :returns: the files by the names that the report's parameters have.
    """
    rng = np.random.default_rng(0)
    files: dict[str, Any] = {}

    def put(name: str, schema: pa.Schema, rows: Any) -> str:
        tables.write(folder / name, rows, schema, MADE_FROM)
        return str(folder / name)

    def put_json(name: str, content: dict[str, Any]) -> str:
        write_json(folder / name, content)
        return str(folder / name)

    def put_shards(name: str, schema: pa.Schema, rows: Rows) -> list[str]:
        half = len(rows) // 2
        return [put(f"{name}/{i}.parquet", schema, part) for i, part in enumerate((rows[:half], rows[half:]))]

    training = _write_database(files, put)
    _write_model(files, folder, training)
    kept = _write_templates(files, put, put_json)
    candidates = _write_candidates(files, put_shards, put_json, kept)
    _write_potentials(files, put_json, alone)
    screened = _write_energies(files, put_shards, candidates, rng)
    if not alone:
        candidates, screened = _write_cascade(files, put, put_json, screened, rng)
    shortlist = _write_shortlist(files, put, put_json, candidates, screened, chosen + 6)
    compared = _write_relaxed(files, put, put_shards, shortlist, TemplateLookup(kept), chosen, alone)
    phonons = _write_phonons(files, put, compared, stable, chosen, children, rng)
    files["second_phonons"] = [] if alone else _write_second(files, put, compared, rng)

    known = Library()
    for row in [row for row in phonons if row["verdict"] in ("stable", "borderline")][:repeats]:
        known.add("mp-42", row_to_structure(row))
    judged = tables.to_table(phonons, tables.PHONONS).select(JUDGED)
    again = [tables.read(path, tables.SECOND_PHONONS, SECOND_JUDGED) for path in files["second_phonons"]]
    second = pa.concat_tables([tables.SECOND_PHONONS.empty_table().select(SECOND_JUDGED), *again])
    survive, refused = survivors(compared, judged, second, known)
    nearest = {"nearest_known": "mp-7", "nearest_known_similarity": 0.913}
    files["stable"] = put("stable.parquet", tables.STABLE, [row | nearest for row in survive])
    files["stable_refused"] = put("stable_refused.parquet", tables.STABLE_REFUSED, refused)
    files["known_phases"] = put("known_phases.parquet", tables.KNOWN_PHASES, _known_phases())
    files["cifs"] = str(folder / "cif")
    write_cifs(files["cifs"], survive)
    _write_dft(files, put, put_json, dft)
    return files


def _write_database(files: dict[str, Any], put: Callable[..., str]) -> pa.Table:
    asu, training, unfit = _database(0, 300)
    cell = atoms_to_row(Atoms("Ba", cell=[4.0] * 3, pbc=True))
    structures = [{"material_id": f"s{i}", "formula": "Ba", **cell} for i in range(520)]
    no_symmetry = "no symmetry found at symprec 0.1 Å (too many translations)"
    refused = [{"record": str(i), "stage": "read", "reason": "no structure"} for i in range(7)]
    refused += [{"record": f"s{i}", "stage": "asu", "reason": no_symmetry} for i in range(500, 520)]
    files["structures"] = put("data/structures.parquet", tables.STRUCTURES, structures)
    files["refused"] = put("data/refused.parquet", tables.REFUSED, refused + unfit)
    files["asu"] = put("data/asu.parquet", tables.ASU, asu)
    files["training"] = put("data/training.parquet", tables.TRAINING, training)
    return training


def _write_model(files: dict[str, Any], folder: Path, training: pa.Table) -> None:
    rng = np.random.default_rng(0)
    curve = 3 * np.exp(-np.arange(250) / 50)[:, None] + 0.2 * rng.normal(size=(250, len(WGANGP.losses)))
    lines = [",".join(["step", *WGANGP.losses])]
    lines += [",".join([f"{10 * i}", *(f"{loss:.4f}" for loss in row)]) for i, row in enumerate(curve)]
    files["training_curve"] = str(folder / "model/training.csv")
    write_text(files["training_curve"], "\n".join(lines) + "\n")
    sets = ["generator", "held-out", "training", "jittered", "independent"]
    side = Draws(Templates.from_table(training.filter(pc.equal(training["split"], "train"))))
    real = side.templates[side.distinct]
    keys = [*METRICS, *(f"{key}_{n}" for key in BY_SITES for n in (3, 4))]
    content = {
        "samples": 500,
        "seeds": 3,
        "figures": {name: summary([{key: rng.uniform() for key in keys} for _ in range(3)]) for name in sets},
        "latent": {side: rng.normal(0, 5, (40, 2)).round(2).tolist() for side in ("real", "generated")},
        "training": {name: getattr(real, name).tolist() for name in ("spacegroup", "n_atoms", "number_density")},
        "made_from": MADE_FROM.metadata(),
    }
    files["quality"] = str(folder / "quality.json")
    write_text(files["quality"], json.dumps(content, allow_nan=False) + "\n")


def _write_templates(files: dict[str, Any], put: Callable[..., str], put_json: Callable[..., str]) -> pa.Table:
    found = _templates(3, 60, 0.072, tuple(GROUPS), 3)
    n = len(found)
    columns = {
        **Selection(np.arange(n), found.spacegroup, min_distances(found), found, Counter()).to_columns(),
        "template_id": [f"t{i:07d}" for i in range(1, n + 1)],
        "in_training": [i % 9 == 0 for i in range(n)],
        "in_held_out": [False] * n,
    }
    table = tables.to_table(columns, tables.TEMPLATES)
    files["templates"] = put("templates.parquet", tables.TEMPLATES, table)
    refused = {"atom count": 210, "duplicate": 30, "number density": 4, "short distance": 900}
    counts = {"sampled": n + sum(refused.values()), "kept": n, "refused": refused}
    files["template_counts"] = put_json("template_counts.json", counts)
    return table


def _write_candidates(
    files: dict[str, Any], put_shards: Callable[..., list[str]], put_json: Callable[..., str], templates: pa.Table
) -> Rows:
    """Four of the six assignments of each template; ten more are refused in each shard."""
    candidates = []
    for template in templates.select(["template_id", "multiplicities", "n_atoms"]).to_pylist():
        for elements in list(permutations(CHEMISTRY))[:4]:
            atoms = dict(zip(elements, template["multiplicities"], strict=True))
            candidates.append(
                {
                    "candidate_id": f"{template['template_id']}-{'-'.join(elements)}",
                    "template_id": template["template_id"],
                    "elements": list(elements),
                    "formula": Composition(atoms).reduced_formula,
                    "charge_balanced": True,
                    "n_atoms": template["n_atoms"],
                    "volume_scale": 1.1,
                }
            )
    files["candidates"] = put_shards("candidates", tables.CANDIDATES, candidates)
    half = len(candidates) // 2
    counts = {"assigned": half + 5, "kept": half, "refused": {UNBALANCED: 5}}
    files["candidate_counts"] = [put_json(f"candidates/{i}.json", counts) for i in range(2)]
    return candidates


def _write_potentials(files: dict[str, Any], put_json: Callable[..., str], alone: bool) -> None:
    files["potential"] = put_json("potential.json", _potential_json(JUDGE))
    for role, name in (("screening_potential", SCREENING), ("second_potential", SECOND)):
        files[role] = [] if alone else [put_json(f"{role}.json", _potential_json(name))]


def _write_energies(
    files: dict[str, Any], put_shards: Callable[..., list[str]], candidates: Rows, rng: np.random.Generator
) -> Rows:
    """What is screened, one candidate of it without an energy."""
    hull = rng.gamma(2.0, 0.7, len(candidates)).tolist()
    screened = [_with_energies(candidate, height) for candidate, height in zip(candidates, hull, strict=True)]
    screened[3] |= {**NOTHING, "status": "two atoms are 0.21 Å apart"}
    files["screened"] = put_shards("screened", tables.SCREENED, screened)
    for name in ("promoted", "promotion_counts", "evaluated"):
        files[name] = []
    return screened


def _with_energies(candidate: dict[str, Any], height: float) -> dict[str, Any]:
    """A row of ``tables.SCREENED``.

    :param height: above the hull, eV/atom.
    """
    energies = {
        "energy_per_atom": -6.0 + height,
        "formation_energy_per_atom": -2.0 + height,
        "energy_above_hull": height,
        "status": OK,
    }
    return {name: candidate[name] for name in ("candidate_id", "formula", "volume_scale")} | energies


def _write_cascade(
    files: dict[str, Any],
    put: Callable[..., str],
    put_json: Callable[..., str],
    screened: Rows,
    rng: np.random.Generator,
) -> tuple[Rows, Rows]:
    """A fifth and 20 others go on to the judge, who puts them 0.05 eV/atom higher and gives no energy to the last."""
    options = CascadeOptions(share=0.2, margin=0.0, sample=20)
    table, counts = promote(files["screened"], files["candidates"], options, "energy_above_hull", 0)
    files["promotion_counts"] = [put_json("promoted.json", counts)]
    promoted = table.to_pylist()
    above = table["screening_energy_above_hull"].to_numpy() + rng.normal(0.05, 0.02, len(promoted))
    evaluated = [_with_energies(row, height) for row, height in zip(promoted, above.tolist(), strict=True)]
    evaluated[-1] |= {**NOTHING, "status": "failed: RuntimeError"}
    for name, schema, rows in (("promoted", tables.PROMOTED, promoted), ("evaluated", tables.SCREENED, evaluated)):
        files[name] = [put(f"{name}/{i}.parquet", schema, rows[i::2]) for i in range(2)]
    return promoted, evaluated


def _write_shortlist(
    files: dict[str, Any],
    put: Callable[..., str],
    put_json: Callable[..., str],
    candidates: Rows,
    screened: Rows,
    top: int,
) -> Rows:
    """The best by the judge; the next is a known phase."""
    order = [i for i, row in enumerate(screened) if row["status"] == OK]
    order.sort(key=lambda i: screened[i]["energy_above_hull"])
    ranked = [{**candidates[i], **screened[i], "rank": n} for n, i in enumerate(order[: top + 1], start=1)]
    # a known phase met on the way has its rank, and goes no further
    ranked[-1]["known_match"] = "mp-1"
    files["ranked"] = put("ranked.parquet", tables.RANKED, ranked)
    refused = {"below the shortlist": len(order) - top - 4, "duplicate": 3, "known phase": 1, "no energy": 1}
    counts = {"screened": len(screened), "kept": top, "refused": refused}
    files["ranking_counts"] = put_json("ranking_counts.json", counts)
    return ranked[:-1]


def _write_relaxed(
    files: dict[str, Any],
    put: Callable[..., str],
    put_shards: Callable[..., list[str]],
    shortlist: Rows,
    templates: TemplateLookup,
    chosen: int,
    alone: bool,
) -> pa.Table:
    """The shortlist relaxed, the last of it refused; of the rest, the last is known and the one before repeats."""
    relaxed = []
    for row in shortlist:
        atoms = templates.atoms(row)
        relaxed.append(
            {
                **row,
                **atoms_to_row(atoms),
                "n_steps": 40,
                "fmax": 0.03,
                "volume_ratio": 1.02,
                "spacegroup_before": spacegroup_of(atoms, 1e-3),
                "spacegroup": spacegroup_of(atoms, 1e-3),
                "energy_above_hull": row["energy_above_hull"] * 0.5,
                "decomposition": "0.40 RuO2 + 0.60 BaRuO3",
                "symmetry_broken": False,
            }
        )
    relaxed[-1]["status"] = "not converged after 150 steps: gradient of atoms and cell 0.21 eV/Å"
    files["relaxed"] = put_shards("relaxed", tables.RELAXED, relaxed)
    compared = [{**row, "phonon_rank": i + 1 if i < chosen else None} for i, row in enumerate(relaxed)]
    if not alone:
        for row in compared:
            above = row["energy_above_hull"] + HIGHER
            row |= {"second_potential": SECOND, "second_energy_above_hull": above, "disagreement": HIGHER}
    compared[-2]["known_match"] = "mp-1"
    compared[-3]["duplicate_of"] = compared[0]["candidate_id"]
    table = tables.to_table(compared, tables.COMPARED)
    files["compared"] = put("compared.parquet", tables.COMPARED, table)
    return table


def _write_phonons(
    files: dict[str, Any],
    put: Callable[..., str],
    compared: pa.Table,
    stable: int,
    chosen: int,
    children: bool,
    rng: np.random.Generator,
) -> Rows:
    """Phonons in two shards; see :func:`make_run`."""
    options = PhononOptions()
    too_large = PhononResult("refused: 648 atoms in the supercell, more than max_atoms (400)", JUDGE)
    found: dict[int, Rows] = {}
    for i, one in enumerate(crystals_of_shard(compared, 0, 1)):
        name, atoms, energy = one["candidate_id"], row_to_atoms(one), one["energy_per_atom"] - 0.004
        if i == chosen - 1 and i >= stable:
            found[i] = [too_large.row(name, options)]
            continue
        lowest = (-0.05, -0.3)[i % 2] if i < stable else -2.0 - i
        found[i] = [_phonons(rng, JUDGE, atoms, energy, lowest).row(name, options)]
        if children and i >= stable:
            line = {"parent_id": name, "ancestor_id": name, "generation": 1}
            if i < stable + 2:
                atoms.rattle(0.05, seed=i)
                lowest = 0.1 if i == stable else -1.0
                born = _phonons(rng, JUDGE, atoms, energy - 0.01, lowest, **line, energy_gain=0.01)
                found[i].append(born.row(f"{name}-c1", options))
                line |= {"parent_id": f"{name}-c1", "generation": 2}
            if i > stable:
                lost = PhononResult("refused: comes back to its parent", JUDGE, **line)
                found[i].append(lost.row(f"{name}-c{line['generation']}", options))
    shards = [[row for i, rows in found.items() if i % 2 == shard for row in rows] for shard in range(2)]
    files["phonons"] = [put(f"phonons/{i}.parquet", tables.PHONONS, rows) for i, rows in enumerate(shards)]
    return [row for rows in shards for row in rows]


def _write_second(
    files: dict[str, Any], put: Callable[..., str], compared: pa.Table, rng: np.random.Generator
) -> list[str]:
    """The second potential's verdicts on what the judge has a verdict on."""
    options, paths = PhononOptions(), []
    before = {row["candidate_id"]: row for row in compared.to_pylist()}
    for i, path in enumerate(files["phonons"]):
        rows = []
        for row in tables.read(path, tables.PHONONS).to_pylist():
            if row["verdict"] is None:
                continue
            crystal = before[row["ancestor_id"] or row["candidate_id"]]
            disputed = row["parent_id"] is None and crystal["phonon_rank"] % 2 == 0
            lowest = -1.5 if disputed or row["verdict"] == "unstable" else 0.05
            found = _phonons(rng, SECOND, row_to_atoms(row), row["energy_per_atom"], lowest)
            above = {"energy_above_hull": crystal["energy_above_hull"] + HIGHER}
            rows.append(found.row(row["candidate_id"], options) | above)
        paths.append(put(f"second_phonons/{i}.parquet", tables.SECOND_PHONONS, rows))
    return paths


def _known_phases() -> Rows:
    """The elements, rutile's RuO2, and a perovskite that the database is doubted of."""
    perovskite = Atoms("BaRuO3", cell=[4.0] * 3, pbc=True, scaled_positions=PEROVSKITE)
    rutile = crystal(["Ru", "O"], [(0, 0, 0), (0.306, 0.306, 0)], spacegroup=136, cellpar=[4.5, 4.5, 3.1, 90, 90, 90])
    found = [
        {"material_id": name, "formula": formula, **atoms_to_row(atoms), "formation_energy_per_atom": energy}
        | {"database_formation_energy_per_atom": energy + 0.02, "energy_above_hull": 0.0, "defect": defect}
        for name, formula, atoms, energy, defect in (
            ("mp-7", "BaRuO3", perovskite, -2.0, "other: strange"),
            ("mp-8", "RuO2", rutile, -1.0, None),
        )
    ]
    elements = [{"material_id": "element", "formula": symbol, "energy_above_hull": 0.0} for symbol in CHEMISTRY]
    return [row | {"status": OK} for row in [*found, *(row | {"formation_energy_per_atom": 0.0} for row in elements)]]


def _write_dft(files: dict[str, Any], put: Callable[..., str], put_json: Callable[..., str], top: int) -> None:
    """DFT puts the judge's best far below the hull, with imaginary modes, and all others far above it."""
    rows = tables.read(files["stable"], tables.STABLE).to_pylist()
    names = ("dft_crystals", "dft", "dft_next", "dft_counts")
    if not top:
        files |= {name: [] for name in names}
        return
    best = min(rows, key=lambda row: (row["energy_above_hull"], row["candidate_id"]))["candidate_id"]
    crystals, found, coming, content = dft_run(
        rows,
        lambda row: -1.0 if row["crystal_id"] == best else 2.0 * (row["kind"] == CANDIDATE),
        CrystalOptions(top=top),
        phonons={best: -1.5},
    )
    paths = (
        put("dft_crystals.parquet", tables.DFT_CRYSTALS, crystals),
        put("dft.parquet", tables.DFT, found),
        put("dft_next.parquet", tables.DFT_NEXT, coming),
        put_json("dft.json", content),
    )
    files |= {name: [path] for name, path in zip(names, paths, strict=True)}


@pytest.fixture(scope="session")
def write_run() -> Callable[..., dict[str, Any]]:
    """The function :func:`make_run`."""
    return make_run


@pytest.fixture
def run_files(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """:func:`make_run` in a folder of the test's own."""
    return lambda **options: make_run(tmp_path / "results", **options)
