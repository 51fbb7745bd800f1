"""A whole run's files, small and seeded, for the tests of the funnel and of the report."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cgwgan_core import tables
from cgwgan_core.jobs import Provenance
from cgwgan_core.quality import METRICS
from cgwgan_core.spacegroups import constrain_cell, symbol

GROUPS = [1, 2, 12, 14, 62, 63, 71, 123, 129, 139, 148, 160, 166, 186, 187, 191, 194, 216, 221, 225, 227]
MADE_FROM = Provenance("0123456789abcdef", {"generator": "fedcba9876543210"})


def _templates(rng: np.random.Generator, n: int, mean_density: float) -> list[dict[str, Any]]:
    weights = rng.permutation(np.arange(1, len(GROUPS) + 1)) ** 1.5
    spacegroup = rng.choice(GROUPS, n, p=weights / weights.sum())
    n_atoms = rng.choice([4, 5, 6, 8, 10, 12, 14, 16, 20, 24, 40], n)
    density = np.clip(rng.normal(mean_density, 0.018, n), 0.012, 0.2)
    side = (n_atoms / density) ** (1 / 3)
    cell = np.column_stack([side, side, side, np.full((n, 3), 90.0)])
    cell = constrain_cell(spacegroup.astype(np.int16), cell)
    return [
        {
            "spacegroup": int(spacegroup[i]),
            "spacegroup_requested": int(spacegroup[i]),
            **dict(zip(("a", "b", "c", "alpha", "beta", "gamma"), cell[i].tolist(), strict=True)),
            "n_atoms": int(n_atoms[i]),
            "n_sites": 3,
            "letters": ["a", "b", "c"],
            "multiplicities": [1, 1, int(n_atoms[i]) - 2],
            "coords": [0.0] * 9,
            "number_density": float(density[i]),
            "coarse_key": f"{spacegroup[i]}-a b c",
        }
        for i in range(n)
    ]


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


def make_run(
    folder: Path,
    stable: int = 2,
    chosen: int = 5,
    seed: int = 0,
    training: int = 300,
    templates: int = 60,
    repeats: int = 0,
    children: bool = False,
) -> dict[str, Any]:
    """Write the files of a run into ``folder``.

    :param stable: crystals that come out stable or borderline, in turn.
    :param chosen: crystals with phonons asked for; one of them, if not stable, fails.
    :param repeats: of the stable ones, how many are known phases after all.
    :param children: whether an unstable crystal is followed.
    :returns: the files by the names that the report's parameters have.
    """
    rng = np.random.default_rng(seed)

    def put(name: str, schema: Any, rows: list[dict[str, Any]]) -> str:
        tables.write(folder / name, rows, schema, MADE_FROM)
        return str(folder / name)

    def put_json(name: str, content: dict[str, Any]) -> str:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))
        return str(folder / name)

    files: dict[str, Any] = {}
    # ---- database
    n_asu, n_structures = training + 200, training + 220
    blank = {"lattice": [4.0, 0, 0, 0, 4, 0, 0, 0, 4], "numbers": [56], "frac_coords": [0.0, 0, 0]}
    files["structures"] = put(
        "data/structures.parquet", tables.STRUCTURES,
        [{"material_id": f"s{i}", "formula": "Ba", **blank} for i in range(n_structures)],
    )  # fmt: skip
    rejected = [("read", "no positions")] * 7 + [("asu", "symmetry not found: tolerance 0.1 Å")] * 20
    rejected += [("training", "5 or more sites")] * 150 + [("training", "P1")] * 50
    files["rejected"] = put(
        "data/rejected.parquet", tables.REJECTED,
        [{"record": str(i), "stage": s, "reason": r} for i, (s, r) in enumerate(rejected)],
    )  # fmt: skip
    rows = _templates(rng, training, 0.065)
    rows = [
        {**r, "material_id": f"s{i}", "formula": "BaRuO3", "elements": ["Ba", "Ru", "O"], "symprec": 0.1,
         "fingerprint": f"f{i % (training * 2 // 3)}", "split": "train" if i % 10 else "held-out"}
        for i, r in enumerate(rows)
    ]  # fmt: skip
    files["asu"] = put("data/asu.parquet", tables.ASU, [rows[i % training] for i in range(n_asu)])
    files["training"] = put("data/training.parquet", tables.TRAINING, rows)

    # ---- generator
    steps = np.arange(0, 2500, 10)
    curve = np.column_stack(
        [steps, -3 * np.exp(-steps / 400) - 1 + 0.2 * rng.normal(size=250),
         3 * np.exp(-steps / 500) + 0.8 + 0.15 * rng.normal(size=250), 0.3 + 0.05 * rng.normal(size=250)]
    )  # fmt: skip
    text = "step,critic_loss,wasserstein,gradient_penalty\n"
    text += "".join(f"{int(s)},{a:.4f},{b:.4f},{c:.4f}\n" for s, a, b, c in curve)
    (folder / "model").mkdir(parents=True, exist_ok=True)
    (folder / "model/training.csv").write_text(text)
    files["training_curve"] = str(folder / "model/training.csv")
    sets = ["generator", "held-out", "training", "jittered", "independent"]
    other = np.random.default_rng(seed)
    files["quality"] = put_json(
        "quality.json",
        {"samples": 500, "seeds": 3,
         "figures": {name: {key: [round(other.uniform(0, 1), 6), 0.0123] for key in METRICS} for name in sets},
         "training": {name: [row[name] for row in rows] for name in ("spacegroup", "n_atoms", "number_density")},
         "latent": {side: other.normal(0, 5, (40, 2)).round(2).tolist() for side in ("real", "generated")}},
    )  # fmt: skip
    kept = [
        {**r, "template_id": f"t{i:05}", "fingerprint": f"g{i}", "in_training": i % 9 == 0, "min_distance": 1.6}
        for i, r in enumerate(_templates(rng, templates, 0.072))
    ]
    files["templates"] = put("templates.parquet", tables.TEMPLATES, kept)
    refused = {"short distance": 900, "duplicate": 30, "atom count": 210, "number density": 4}
    files["template_counts"] = put_json(
        "template_counts.json",
        {"sampled": templates + sum(refused.values()), "kept": templates, "refused": refused},
    )

    # ---- candidates and energies
    files["potential"] = put_json(
        "potential.json",
        {"name": "M3GNet-test", "energy_scale": "mp_uncorrected", "digest": "00aa11bb22cc33dd",
         "versions": {"matgl": "4.1.2"}, "reason": "named by the configuration", "folder": str(folder / "weights"),
         "checks": [
             {"crystal": "MgO", "energy_per_atom": -5.9561, "expected": -5.9560, "error": -0.0001, "passed": True},
             {"crystal": "SrTiO3", "energy_per_atom": -8.0231, "expected": -8.0239, "error": 0.0008, "passed": True},
         ]},
    )  # fmt: skip
    candidates = [
        {"candidate_id": f"{t['template_id']}-{'-'.join(e)}", "template_id": t["template_id"], "elements": e,
         "formula": "".join(e), "n_atoms": t["n_atoms"], "volume_scale": 1.1}
        for t in kept
        for e in (["Ba", "Ru", "O"], ["Ba", "O", "Ru"], ["Ru", "Ba", "O"], ["O", "Ru", "Ba"])
    ]  # fmt: skip
    half = len(candidates) // 2
    parts = candidates[:half], candidates[half:]
    files["candidates"] = [put(f"candidates/{i}.parquet", tables.CANDIDATES, p) for i, p in enumerate(parts)]
    files["candidate_counts"] = [
        put_json(
            f"candidates/{i}.json",
            {"assigned": len(p) + 5, "kept": len(p), "refused": {"charges do not balance": 5}},
        )
        for i, p in enumerate(parts)
    ]
    hull = rng.gamma(2.0, 0.7, len(candidates))
    energies = [
        {"candidate_id": c["candidate_id"], "formula": c["formula"], "energy_per_atom": -6.0 + h,
         "formation_energy_per_atom": -2.0 + h, "energy_above_hull": h, "status": "ok"}
        for c, h in zip(candidates, hull.tolist(), strict=True)
    ]  # fmt: skip
    empty = {"energy_per_atom": None, "formation_energy_per_atom": None, "energy_above_hull": None}
    energies[3] |= {**empty, "status": "two atoms are 0.21 Å apart"}
    parts = energies[:half], energies[half:]
    files["screened"] = [put(f"screened/{i}.parquet", tables.SCREENED, p) for i, p in enumerate(parts)]
    order = sorted((i for i, e in enumerate(energies) if e["status"] == "ok"), key=lambda i: hull[i])
    shortlist = [{**candidates[i], **energies[i], "rank": n} for n, i in enumerate(order[: chosen + 6], start=1)]
    # a known phase met on the way has its rank, and goes no further
    i = order[chosen + 6]
    known = {**candidates[i], **energies[i], "rank": len(shortlist) + 1, "known_match": "mp-1"}
    files["ranked"] = put("ranked.parquet", tables.RANKED, [*shortlist, known])
    n_ok, n_short = len(order), len(shortlist)
    files["ranking_counts"] = put_json(
        "ranking_counts.json",
        {
            "screened": len(energies),
            "kept": n_short,
            "refused": {"below the shortlist": n_ok - n_short - 4, "duplicate": 3, "known phase": 1, "no energy": 1},
        },
    )

    # ---- shortlist
    lattice = {"lattice": [4.0, 0, 0, 0, 4, 0, 0, 0, 4], "numbers": [56, 44, 8, 8, 8], "frac_coords": [0.1] * 15}
    relaxed = [
        {**r, **lattice, "n_steps": 40, "fmax": 0.03, "volume_change": 1.02, "spacegroup_before": 221,
         "spacegroup": GROUPS[-1 - i % 9], "energy_above_hull": r["energy_above_hull"] * 0.5}
        for i, r in enumerate(shortlist)
    ]  # fmt: skip
    relaxed[-1]["status"] = "not converged: 0.21 eV/Å after 150 steps"
    half = len(relaxed) // 2
    parts = relaxed[:half], relaxed[half:]
    files["relaxed"] = [put(f"relaxed/{i}.parquet", tables.RELAXED, p) for i, p in enumerate(parts)]
    unique = [{**r, "phonon_rank": i + 1 if i < chosen else None} for i, r in enumerate(relaxed[:-1])]
    unique[-1]["known_match"] = "mp-1"
    unique[-2]["duplicate_of"] = unique[0]["candidate_id"]
    files["unique"] = put("unique.parquet", tables.UNIQUE, unique)

    phonons = []
    for i, row in enumerate(unique[:chosen]):
        lowest = (-0.05, -0.3)[i % 2] if i < stable else -2.0 - i
        base = {
            "candidate_id": row["candidate_id"],
            "stable_from": -0.1,
            "borderline_from": -0.5,
            "potential": "M3GNet-test",
            "supercell": [2, 2, 2],
        }
        if i == chosen - 1 and i >= stable:
            phonons.append({**base, "status": "refused: 648 atoms in the supercell, more than max_atoms (400)"})
        else:
            verdict = ("stable", "borderline")[i % 2] if i < stable else "unstable"
            phonons.append(
                {**base, "verdict": verdict, "min_frequency": lowest, "min_frequency_q": [0.5, 0, 0],
                 "n_displacements": 6, **_bands(rng, 5, lowest), "status": "ok",
                 "spacegroup": row["spacegroup"], "energy_per_atom": row["energy_per_atom"] - 0.004, **lattice}
            )  # fmt: skip
    if children:
        # the first unstable one is followed; of its children one passes, one does not, one has no verdict
        parent, fates = phonons[stable], (("stable", 0.1), ("unstable", -1.0), (None, None))
        for i, (verdict, lowest) in enumerate(fates):
            row = {**parent, "candidate_id": f"{parent['candidate_id']}-child{i}", "parent_id": parent["candidate_id"]}
            row |= {"verdict": verdict, "min_frequency": lowest, "energy_gain": 0.01, "spacegroup": 99}
            row |= {"status": "ok"} if verdict else {"status": "refused: comes back to its parent"}
            phonons.append(row)
    parts = phonons[::2], phonons[1::2]
    files["phonons"] = [put(f"phonons/{i}.parquet", tables.PHONONS, p) for i, p in enumerate(parts)]
    before = {row["candidate_id"]: row for row in unique}
    passing = [row for row in phonons if row.get("verdict") in ("stable", "borderline")]
    survivors = [
        {**before[row.get("parent_id") or row["candidate_id"]], **row,
         "spacegroup_symbol": symbol(row["spacegroup"]), "n_atoms": 5, "volume_per_atom": 12.8,
         "bulk_modulus": 150.2, "shear_modulus": 70.4, "mechanically_stable": True, "nearest_known": "mp-7",
         "nearest_known_similarity": 0.913,
         "energy_above_hull": before[row.get("parent_id") or row["candidate_id"]]["energy_above_hull"] - 0.004}
        for row in passing[repeats:]
    ]  # fmt: skip
    files["stable"] = put("stable.parquet", tables.STABLE, survivors)
    refused = [
        {"candidate_id": row["candidate_id"], "reason": "known already", "match": "mp-42"} for row in passing[:repeats]
    ]
    files["stable_refused"] = put("stable_refused.parquet", tables.STABLE_REFUSED, refused)
    return files


@pytest.fixture(scope="session")
def write_run() -> Callable[..., dict[str, Any]]:
    """The function :func:`make_run`."""
    return make_run


@pytest.fixture
def run_files(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """:func:`make_run` in a folder of the test's own."""
    return lambda **options: make_run(tmp_path / "results", **options)
