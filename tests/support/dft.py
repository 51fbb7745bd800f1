"""A potential in the place of a DFT engine."""

from ase import Atoms

from cgwgan_core.dft.calculation import CONVERGED, Calculation, Outcome
from cgwgan_core.potentials.protocol import Potential, voigt


class PotentialAsEngine:
    """Gives what a store gives, and keeps what it has computed, by the calculations' keys."""

    def __init__(self, potential: Potential) -> None:
        self.potential = potential
        self.kept: dict[str, Outcome] = {}
        self.computed: list[Atoms] = []

    def __call__(self, atoms: Atoms) -> Outcome:
        key = Calculation(atoms, self.potential.name, {}).key
        if key not in self.kept:
            self.computed.append(atoms)
            self.kept[key] = self._outcome(atoms)
        return self.kept[key]

    def _outcome(self, atoms: Atoms) -> Outcome:
        found = self.potential.evaluate([atoms], forces=True, stress=True)
        if found.errors[0] is not None:
            return Outcome(found.errors[0])
        assert found.forces is not None
        assert found.stresses is not None
        return Outcome(
            CONVERGED,
            energy=float(found.energies[0]),
            forces=found.forces[0].tolist(),
            stress=voigt(found.stresses[0]).tolist(),
        )
