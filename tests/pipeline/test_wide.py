"""A quinary through the shipped flow of up to eight sites, from training of one's own to candidates."""

import json
from pathlib import Path

from cgwgan_core.crystallography.composition import can_hold
from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.workflow import tables
from tests.support.workflow import snakemake

DOUBLE_PEROVSKITE = {
    "chemistry": ["Ba", "Sr", "Ru", "Ti", "O"],
    "quality": {"samples": 300, "seeds": 2},
    "infill": {"formulas": ["BaSrRuTiO6"], "charge": "tag"},
    "templates": {
        "samples": 600,
        "keep": 40,
        "n_sites": [5, 6, 7, 8],
        "formulas": ["ABCDX6", "ABX3"],
        "energy_above_hull": 0.0,
        "max_atoms": 40,
        "number_density": [0.06, 0.1],
    },
}


def test_a_quinary_by_the_shipped_flow(tmp_path: Path) -> None:
    """Every template has the sites and density that are asked for and can hold the formula, so all give candidates."""
    config = DOUBLE_PEROVSKITE | {"model": {"kind": "flow", "init": "pretrained", "max_steps": 0}}
    names = [f"results/candidates/{shard}.parquet" for shard in range(2)]
    done = snakemake(tmp_path, "results/quality.json", *names, config=config)
    assert done.returncode == 0, done.stderr[-3000:]
    templates = Templates.from_table(tables.read(tmp_path / "results/templates.parquet", tables.TEMPLATES))
    assert len(templates) == 40
    assert set(templates.n_sites) <= {5, 6, 7, 8}
    assert templates.n_atoms.max() <= 40
    refused = json.loads((tmp_path / "results/template_counts.json").read_text())["refused"]
    assert not {"number of sites", "formula", "atom count", "number density"} & set(refused)
    held = [can_hold([m for m in row if m], (1, 1, 1, 1, 6)) for row in templates.multiplicities.tolist()]
    assert sum(held) > 30, "moyo finds a higher symmetry in some, with fewer sites"
    candidates = [tables.read(tmp_path / name, tables.CANDIDATES) for name in names]
    assert {formula for table in candidates for formula in table["formula"].to_pylist()} == {"BaSrTiRuO6"}
    figures = json.loads((tmp_path / "results/quality.json").read_text())["figures"]["generator"]
    assert figures["symmetric"][0] == 1.0
    assert figures["valid"][0] > 0.9
    for n in range(1, 9):
        assert figures[f"valid_{n}"][0] is None or figures[f"valid_{n}"][0] > 0.8, n


def test_a_flow_of_ones_own_is_trained_and_drawn_from(tmp_path: Path) -> None:
    config = {
        "training": {"n_sites": [1, 2, 3, 4, 5]},
        "model": {"kind": "flow", "max_steps": 60, "flow": {"width": 24, "layers": 2, "steps": 4}},
        "templates": {"samples": 300},
        "quality": {"samples": 100},
    }
    done = snakemake(tmp_path, "results/quality.json", "results/templates.parquet", config=config)
    assert done.returncode == 0, done.stderr[-3000:]
    templates = Templates.from_table(tables.read(tmp_path / "results/templates.parquet", tables.TEMPLATES))
    assert len(templates) > 0
    assert (tmp_path / "results/model/training.csv").read_text().startswith("step,letters_nll,coordinates,cell\n")
