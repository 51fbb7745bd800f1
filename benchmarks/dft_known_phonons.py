"""Phonons of a known crystal by a DFT engine, relaxed by it first, in a supercell of the primitive cell.

    python benchmarks/dft_known_phonons.py mp_v2023_11_1.parquet STORE mp-1342 --supercell 2 2 2

Prints what the relaxation changed and the lowest mode at the q-points that fit, the acoustic ones at Γ left out; with
``--elastic`` the elastic constants, too, and those of the potential that gives the Hessian.
"""

import argparse
import time
import warnings

import pyarrow.compute as pc
import pyarrow.parquet as pq

from cgwgan_core.crystallography.structures import row_to_atoms
from cgwgan_core.dft.engines import open_store
from cgwgan_core.dft.geometries import DISPLACEMENT, RelaxOptions, compute_phonons, relax_crystals
from cgwgan_core.phonons.elasticity import elastic_tensor, elasticity
from cgwgan_core.phonons.force_constants import finite_displacements, forces_by
from cgwgan_core.phonons.phonons import PhononOptions
from cgwgan_core.potentials.load import PotentialOptions, load

warnings.filterwarnings("ignore")


def main() -> None:
    """Relax, displace, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database")
    parser.add_argument("store")
    parser.add_argument("material_id")
    parser.add_argument("--supercell", nargs=3, type=int, default=(2, 2, 2))
    parser.add_argument("--elastic", action="store_true")
    options = parser.parse_args()
    table = pq.read_table(options.database)
    (row,) = table.filter(pc.equal(table["material_id"], options.material_id)).to_pylist()
    crystal = {**row, "crystal_id": row["material_id"], "kind": "known"}
    store, potential = open_store({"engine": "gpaw"}, {}, options.store, 60), load(PotentialOptions("sevennet-0"))
    started = time.time()
    (relaxed,) = relax_crystals([crystal], potential, store, RelaxOptions())
    shown = ("status", "steps", "predicted_gain", "gain", "volume_ratio", "pressure", "spacegroup")
    print(f"{row['formula']}: relaxed in {time.time() - started:.0f} s: { ({k: relaxed.get(k) for k in shown}) }")
    started = time.time()
    phonon_options = PhononOptions(min_length=None, supercell=tuple(options.supercell), displacement=DISPLACEMENT)
    asked = [crystal["crystal_id"]] if options.elastic else []
    (found,) = compute_phonons([relaxed], store, phonon_options, 100, asked)
    print(f"{row['formula']}: phonons in {time.time() - started:.0f} s: {found}")
    if options.elastic:
        atoms = row_to_atoms(relaxed)
        phonon = finite_displacements(atoms, forces_by(potential), (2, 2, 2), 0.01)
        print(f"{potential.name}: {elasticity(atoms, elastic_tensor(atoms, phonon, potential))}")


if __name__ == "__main__":
    main()
