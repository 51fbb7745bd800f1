"""Electrons of a self-consistent density by GPAW: ``python electrons.py`` in a folder beside ``density.gpw``.

A copy lies in every such folder. It reads ``asked.json``, and writes the all-electron density ``density.cube``, and
bands and densities of states ``electrons.json``. It needs GPAW and nothing else, so that the folder can be computed on
any machine. Energies are in eV from the Fermi level.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from ase.io.cube import write_cube
from ase.units import Bohr

Json = dict[str, Any]
CONDUCTION, PER_ATOM, UNCONVERGED = 1.2, 2, 5
"""Bands as a share of the occupied ones, and more for each atom, are converged; as many above them are not."""


def main() -> None:
    """Read what is asked for, compute it, write it."""
    from gpaw import GPAW  # noqa: PLC0415 - this file is also imported where there is none
    from gpaw.mpi import world  # noqa: PLC0415

    asked = json.loads(Path("asked.json").read_text())
    calculator = GPAW("../density.gpw", txt=None)
    density = all_electron_density(calculator, asked["grid_spacing"])
    found = {
        "n_electrons": float(density.sum() * calculator.atoms.get_volume() / density.size),
        "fermi_level": float(calculator.get_fermi_level()),
        **states(calculator, asked),
        "bands": bands(calculator, asked),
    }
    if world.rank == 0:
        with Path(".cube.part").open("w") as stream:
            write_cube(stream, calculator.atoms, data=density * Bohr**3)
        Path(".cube.part").replace("density.cube")
        Path(".electrons.part").write_text(json.dumps(found))
        Path(".electrons.part").replace("electrons.json")


def all_electron_density(calculator: Any, spacing: float) -> Any:
    """Electrons per Å³, of both spins, on a grid of at most this spacing (Å): (a, b, c).

    GPAW adds what the grid misses of a core to the point nearest to the nucleus, so that the sum is exact.
    """
    found = calculator.dft.densities().all_electron_densities(grid_spacing=spacing)
    return found.gather(broadcast=True).data.sum(axis=0)


def bands(calculator: Any, asked: Json) -> Any:
    """Eigenvalues along the path: (spins, points, bands)."""
    fixed = at_fixed_density(calculator, asked, kpts=asked["path"], symmetry="off", txt="bands.txt")
    return eigenvalues(fixed, range(len(asked["path"]))).tolist()


def states(calculator: Any, asked: Json) -> Json:
    """Eigenvalues and densities of states on a mesh.

    :returns: ``mesh_eigenvalues`` (spins, points, bands), ``energies`` (e,), ``dos`` (spins, e) per eV and cell, of one
        spin each where there are two; ``projected``, the same by element: what lies in the spheres of GPAW's datasets.
    """
    fixed = at_fixed_density(calculator, asked, kpts={"size": asked["mesh"], "gamma": True}, txt="dos.txt")
    dos = fixed.dos(shift_fermi_level=True)
    energies = np.arange(asked["lowest"], asked["highest"] + 1e-9, asked["step"])
    spins = range(fixed.get_number_of_spins())
    in_state = 3 - len(spins)  # electrons
    projected: Json = {}
    for atom, symbol in enumerate(fixed.atoms.get_chemical_symbols()):
        shares = in_sphere(fixed, atom)
        for spin in spins:
            one = dos.calculate(energies, dos.eig_skn[spin], shares[spin], width=asked["width"])
            projected.setdefault(symbol, np.zeros((len(spins), len(energies))))[spin] += in_state * one
    return {
        "mesh_eigenvalues": eigenvalues(fixed, range(len(fixed.get_ibz_k_points()))).tolist(),
        "energies": energies.tolist(),
        "dos": [(in_state * dos.raw_dos(energies, spin=spin, width=asked["width"])).tolist() for spin in spins],
        "projected": {symbol: value.tolist() for symbol, value in projected.items()},
    }


def in_sphere(calculator: Any, atom: int) -> Any:
    """Share of each state that lies in the sphere of an atom's dataset: (spins, points, bands).

    There the state is a sum of partial waves, with its projections as coefficients.
    """
    setup = calculator.setups[atom]
    radial, waves = setup.data.rgd, setup.data.phi_jg
    inside = radial.r_g < max(setup.rcut_j)
    channels = [(j, m) for j, angular in enumerate(setup.l_j) for m in range(2 * angular + 1)]
    overlaps = np.zeros((len(channels), len(channels)))
    for a, (j, m) in enumerate(channels):
        for b, (k, n) in enumerate(channels):
            if setup.l_j[j] == setup.l_j[k] and m == n:
                integrand = waves[j] * waves[k] * radial.r_g**2 * radial.dr_g
                overlaps[a, b] = integrand[inside].sum()
    states = calculator.wfs
    shares = np.zeros((states.kd.nspins, states.kd.nibzkpts, states.bd.nbands))
    for of_point in states.kpt_u:
        found = of_point.projections
        if atom in found:
            share = np.einsum("ni,ij,nj->n", found[atom].conj(), overlaps, found[atom]).real
            shares[of_point.s, of_point.k, states.bd.get_slice()] = share
    calculator.world.sum(shares)
    return shares


def at_fixed_density(calculator: Any, asked: Json, **what: Any) -> Any:
    """The calculator at other k-points, with its own density and Fermi level, and some converged empty bands."""
    number = converged_bands(calculator)
    return calculator.fixed_density(
        nbands=number + UNCONVERGED,
        convergence={"bands": number, "eigenstates": asked["eigenstates"]},
        maxiter=asked["maxiter"],
        **what,
    )


def converged_bands(calculator: Any) -> int:
    """How many bands are computed, occupied and empty, of each spin."""
    moment = abs(calculator.get_magnetic_moment()) if calculator.get_number_of_spins() == 2 else 0.0
    occupied = (calculator.get_number_of_electrons() + moment) / 2
    return int(np.ceil(CONDUCTION * occupied)) + PER_ATOM * len(calculator.atoms)


def eigenvalues(calculator: Any, points: Any) -> Any:
    """(spins, points, bands), from the Fermi level."""
    number = calculator.get_number_of_bands() - UNCONVERGED
    spins = range(calculator.get_number_of_spins())
    values = [[calculator.get_eigenvalues(kpt=k, spin=spin)[:number] for k in points] for spin in spins]
    return np.round(np.array(values) - calculator.get_fermi_level(), 5)


if __name__ == "__main__":
    main()
