"""Phonons of many crystals: their order, their children, and what survives a kill."""

import json

import pytest
from ase import Atoms
from ase.build import bulk

from cgwgan_core.phonons.phonons import PhononOptions
from cgwgan_core.phonons.shards import crystals_of_shard, phonon_rows
from cgwgan_core.potentials.load import PotentialOptions
from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.files import KeptRows
from cgwgan_core.workflow.provenance import Provenance
from scripts.phonons import main
from tests.support.crystals import crystal_row, perovskite_atoms


def test_descendants_are_rows_and_survive_a_kill(chgnet: Potential, tmp_path) -> None:
    crystals = [
        crystal_row(perovskite_atoms(4.03, ("Ba", "Ti", "O")), candidate_id="BaTiO3", phonon_rank=1),
        crystal_row(bulk("MgO", "rocksalt", a=4.25), candidate_id="MgO", phonon_rank=2),
        crystal_row(perovskite_atoms(4.06, ("K", "Nb", "O")), candidate_id="KNbO3", phonon_rank=3),
    ]
    options = PhononOptions(min_length=None, follow_modes=2, generations=2)
    with KeptRows(tmp_path / "0.parquet", options) as kept:
        found = list(phonon_rows(crystals, chgnet, options, kept))
        assert list(phonon_rows(crystals, None, options, kept)) == found  # nothing is computed again
        max(kept.folder.glob("*.json"), key=lambda file: file.stat().st_mtime_ns).unlink()
        assert list(phonon_rows(crystals, chgnet, options, kept)) == found  # to the last digit
        tables.write(tmp_path / "0.parquet", found, tables.PHONONS, Provenance())
    names = [done["candidate_id"] for done in found]
    assert names[:2] == ["BaTiO3", "BaTiO3-c1"]
    assert names[-2:] == ["MgO", "KNbO3"]  # the third is not followed, and has no descendants
    parent, born = found[:2]
    assert (parent["parent_id"], parent["ancestor_id"], parent["generation"]) == (None, None, 0)
    assert parent["verdict"] == found[-1]["verdict"] == "unstable"
    assert (born["parent_id"], born["ancestor_id"], born["generation"]) == ("BaTiO3", "BaTiO3", 1)
    assert born["followed_q"] == [0, 0, 0]
    assert born["followed_frequency"] == pytest.approx(parent["min_frequency"])
    assert born["followed_cells"] == 1
    assert born["energy_gain"] > 0.003
    assert born["energy_gain"] == pytest.approx(parent["energy_per_atom"] - born["energy_per_atom"])
    assert born["spacegroup"] in (38, 99, 160)  # the polar phases of barium titanate
    assert born["min_frequency"] > parent["min_frequency"]


def test_rows_resume_and_survive_bad_crystals(chgnet: Potential, tmp_path, caplog) -> None:
    clash = Atoms("Mg2", scaled_positions=[(0, 0, 0), (0.01, 0, 0)], cell=[4, 4, 4], pbc=True)
    compared = tables.to_table(
        [
            crystal_row(bulk("MgO", "rocksalt", a=4.25), candidate_id="second", phonon_rank=2),
            crystal_row(bulk("NaCl", "rocksalt", a=5.6), candidate_id="not asked for", phonon_rank=None),
            crystal_row(clash, candidate_id="clash", phonon_rank=1),
            crystal_row(bulk("CaO", "rocksalt", a=4.8), candidate_id="third", phonon_rank=3),
        ],
        tables.COMPARED,
    )
    shards = [crystals_of_shard(compared, i, 2) for i in range(2)]
    assert [[c["candidate_id"] for c in shard] for shard in shards] == [["clash", "third"], ["second"]]

    crystals = crystals_of_shard(compared, 0, 1)
    options = PhononOptions(min_length=None)
    output = tmp_path / "phonons.parquet"

    def run(potential: Potential, stop_after: int | None = None) -> list[dict]:
        with KeptRows(output, options, chgnet.digest) as kept:
            rows = phonon_rows(crystals, potential, options, kept)
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
    assert [done["status"].split(":")[0] for done in resumed] == ["failed", "ok", "ok"]
    assert "Å" in resumed[0]["status"]
    assert resumed[0]["verdict"] is None
    again = run(chgnet)
    assert again == resumed
    assert output.read_bytes() == first
    table = tables.read(output, tables.PHONONS)
    assert table["candidate_id"].to_pylist() == ["clash", "second", "third"]


def test_script_writes_one_shard_with_the_checked_potential(chgnet: Potential, tmp_path) -> None:
    compared, checked, output = tmp_path / "compared.parquet", tmp_path / "potential.json", tmp_path / "0.parquet"
    rows = [
        crystal_row(bulk("MgO", "rocksalt", a=4.25), candidate_id="a", phonon_rank=1),
        crystal_row(bulk("CaO", "rocksalt", a=4.8), candidate_id="b", phonon_rank=2),
    ]
    tables.write(compared, rows, tables.COMPARED, Provenance())

    def run() -> None:
        main(
            compared=str(compared),
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
    (done,) = tables.read(output, tables.PHONONS).to_pylist()
    assert done["candidate_id"] == "b"
    assert done["status"].startswith("refused: 16 atoms")
    assert done["verdict"] is None
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0.parquet", "compared.parquet", "potential.json"]
