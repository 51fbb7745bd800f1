"""Which potential a run uses, and its loading: those of the default environment, and any other by name.

>>> potential = load(PotentialOptions(name="chgnet"))  # doctest: +SKIP
>>> potential.evaluate(crystals).energy_per_atom  # doctest: +SKIP
"""

from dataclasses import dataclass

from cgwgan_core.potentials.protocol import ENERGY_SCALES, Potential
from cgwgan_core.workflow.errors import InputError

SEVENNETS = ("sevennet-0", "sevennet-l3i5")
"""Sizes of SevenNet whose weights come with its package."""
INCLUDED = ("chgnet", *SEVENNETS)
"""Potentials whose weights are installed with the default environment."""
ENGINES = ("mace", "orb", "mattersim", "nequip", "fairchem", "upet")
"""Potentials whose packages are not: :mod:`cgwgan_core.potentials.engines`."""
NAMES = ("m3gnet", "nequix", *INCLUDED, *ENGINES)


@dataclass(frozen=True)
class PotentialOptions:
    """Which potential."""

    name: str
    """One of :data:`NAMES`, or the import path ``package.module:factory`` of a function that gives an ASE calculator or
    a model of torch-sim."""
    path: str | None = None
    """Its weights: a file, a folder or a name, whichever the potential knows; none for :data:`INCLUDED`."""
    energy_scale: str | None = None
    """mp_uncorrected, mp_corrected or matpes; ``None`` where the potential tells it."""
    compile: bool = False
    """Whether M3GNet's layers are compiled. Needs a C++ compiler."""

    def __post_init__(self) -> None:
        if self.name not in NAMES and ":" not in self.name:
            raise InputError(f"name: {self.name!r} is none of {', '.join(NAMES)}, nor package.module:factory")
        if self.energy_scale is not None and self.energy_scale not in ENERGY_SCALES:
            raise InputError(f"energy_scale: {self.energy_scale!r} is not one of {', '.join(ENERGY_SCALES)}")
        if self.path and self.name in INCLUDED:
            raise InputError(f"{self.name} brings its own weights; remove the path or change the name")
        if not self.path and self.name == "m3gnet":
            raise InputError(
                "m3gnet needs its weights; set path or $CGWGAN_POTENTIAL to their folder, or name chgnet or "
                "sevennet-l3i5, whose weights are installed with them"
            )
        if not self.path and self.name in ("nequix", *ENGINES):
            raise InputError(f"{self.name} needs its weights; docs/POTENTIALS.md says which")


def load(options: PotentialOptions) -> Potential:
    """Load a potential. Takes seconds: call it once per process.

    :raises InputError: if its package or files are missing or unreadable, or its energy scale is unknown.
    """
    # ruff: noqa: PLC0415 - each engine is slow to import
    name, path = options.name, str(options.path)
    if name == "m3gnet":
        from cgwgan_core.potentials.m3gnet import M3GNet

        return M3GNet(path, options.energy_scale, options.compile)
    if options.compile:
        raise InputError(f"compile is for m3gnet, not for {name}; set it to false")
    if name == "chgnet":
        from cgwgan_core.potentials.chgnet import CHGNet

        return _on_its_scale(CHGNet(), options)
    if name in SEVENNETS:
        from cgwgan_core.potentials.sevennet import SevenNet

        return _on_its_scale(SevenNet(name), options)
    if name == "nequix":
        from cgwgan_core.potentials.nequix import Nequix

        return _on_its_scale(Nequix(path), options)
    from cgwgan_core.potentials.engines import load_engine, load_imported

    make = load_engine if name in ENGINES else load_imported
    return make(name, options.path, options.energy_scale)


def _on_its_scale(potential: Potential, options: PotentialOptions) -> Potential:
    """The potential, if the configuration says nothing else of its energies."""
    if options.energy_scale not in (None, potential.energy_scale):
        raise InputError(f"{options.name} is {potential.energy_scale}; leave energy_scale null")
    return potential
