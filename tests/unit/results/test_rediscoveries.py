"""Known phases found again: each once, at its best rank, beside those that could have been."""

from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq
import pytest
from ase import Atoms

from cgwgan_core.crystallography.structures import atoms_to_row
from cgwgan_core.results.findings import findings
from cgwgan_core.results.funnel import RunFiles
from cgwgan_core.results.rediscoveries import TOLD, Phase, Sighting, rediscoveries, sentence
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.provenance import Provenance

CHEMISTRY = ["Ba", "Ru", "O"]
MADE_FROM = Provenance("0123456789abcdef", {})
PEROVSKITE = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
SKEW = [(0, 0, 0), (0.4, 0.3, 0.2), (0.8, 0.1, 0.6), (0.3, 0.8, 0.5), (0.6, 0.6, 0.8)]
CRYSTALS = {
    "mp-1": Atoms("BaRuO3", scaled_positions=PEROVSKITE, cell=[4.0] * 3, pbc=True),
    "again": Atoms("BaRuO3", scaled_positions=PEROVSKITE, cell=[4.1] * 3, pbc=True),
    "swapped": Atoms("RuBaO3", scaled_positions=PEROVSKITE, cell=[4.0] * 3, pbc=True),
    "mp-42": Atoms("BaRuO3", scaled_positions=SKEW, cell=[3.9, 4.2, 5.0], pbc=True),
    "binary": Atoms("BaO", scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)], cell=[4.0] * 3, pbc=True),
    "large": Atoms("RuBaO3", scaled_positions=SKEW, cell=[3.9, 4.2, 5.0], pbc=True),
}
"""The run meets mp-1 and mp-42; "large" has more sites than templates have."""


@pytest.fixture
def files(run_files: Callable[..., dict[str, Any]]) -> RunFiles:
    """A run whose database is :data:`CRYSTALS`."""
    files = RunFiles(**run_files(stable=2, chosen=5, repeats=1))
    rows = [
        {
            "material_id": name,
            "formula": atoms.get_chemical_formula("metal"),
            "spacegroup": 221,
            "elements": list(dict.fromkeys(atoms.get_chemical_symbols())),
            **atoms_to_row(atoms),
        }
        for name, atoms in CRYSTALS.items()
    ]
    tables.write(files.structures, tables.to_table(rows, tables.STRUCTURES), tables.STRUCTURES, MADE_FROM)
    tables.write(files.asu, tables.to_table(rows, tables.ASU), tables.ASU, MADE_FROM)
    tables.write(files.training, tables.to_table(rows[:-1], tables.TRAINING), tables.TRAINING, MADE_FROM)
    return files


def test_phases_are_met_once_at_their_best_rank(files: RunFiles) -> None:
    phases = rediscoveries(files, findings(files), CHEMISTRY)
    relaxed = {row["known_match"]: row["rank"] for row in pq.read_table(files.compared).to_pylist()}
    refused = pq.read_table(files.stable_refused).to_pylist()
    (tight,) = (row["candidate_id"] for row in refused if row["match"] == "mp-42")
    (rank,) = (row["rank"] for row in pq.read_table(files.compared).to_pylist() if row["candidate_id"] == tight)
    seen = {phase.material_id: phase.seen for phase in phases if phase.seen}
    # the shortlist names mp-1 as well, at a higher rank
    assert seen == {"mp-1": Sighting(relaxed["mp-1"], True), "mp-42": Sighting(rank, True)}
    assert [phase.seen.rank for phase in phases if phase.seen] == sorted([relaxed["mp-1"], rank])


def test_what_repeats_a_met_phase_or_is_out_of_reach_is_not_missed(files: RunFiles) -> None:
    phases = rediscoveries(files, findings(files), CHEMISTRY)
    assert [phase.material_id for phase in phases if not phase.seen] == ["swapped"]
    assert rediscoveries(files, findings(files), ["Sr", "Ti", "O"]) == []


def test_a_phase_that_is_ranked_as_generated_says_so(files: RunFiles) -> None:
    ranked = pq.read_table(files.ranked).to_pylist()
    ranked[0]["known_match"] = "swapped"
    tables.write(files.ranked, tables.to_table(ranked, tables.RANKED), tables.RANKED, MADE_FROM)
    assert rediscoveries(files, findings(files), CHEMISTRY)[0].seen == Sighting(1, False)


def test_the_sentence_names_phases_and_ranks() -> None:
    zircon = Phase("zircon", "ZrSiO4", 141, Sighting(3, False))
    perovskite = Phase("mp-1", "BaRuO3", 221, Sighting(1_200, True))
    missed = [Phase(f"mp-{i}", "BaO", 225) for i in range(TOLD + 2)]
    assert sentence([zircon, perovskite]) == (
        "Found again: ZrSiO₄ I4₁/amd (zircon), rank 3; BaRuO₃ Pm-3m (mp-1), relaxed from rank 1,200."
    )
    text = sentence(missed)
    assert text.startswith("None was found again. Not met by any candidate: BaO Fm-3m (mp-0); ")
    assert text.endswith("; and 2 more.")
    assert sentence([]) == "The database holds none with all these elements that templates could meet."
