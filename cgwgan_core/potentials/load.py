"""Which potential a run uses, and its loading: M3GNet through matgl, CHGNet, SevenNet, or any ASE calculator.

>>> potential = load(PotentialOptions(name="chgnet"))  # doctest: +SKIP
>>> potential.evaluate(crystals).energy_per_atom  # doctest: +SKIP
"""

import os
from dataclasses import dataclass

from cgwgan_core.potentials.protocol import ENERGY_SCALES, Potential
from cgwgan_core.workflow.errors import InputError

SEVENNETS = ("sevennet-0", "sevennet-l3i5")
"""Sizes of SevenNet whose weights come with its package."""
NAMES = ("auto", "m3gnet", "chgnet", *SEVENNETS)
VARIABLE = "CGWGAN_POTENTIAL"
"""Environment variable that may hold the folder of the M3GNet potential."""


@dataclass(frozen=True)
class PotentialOptions:
    """Which potential, and how wrong it may be."""

    name: str = "auto"
    """One of :data:`NAMES`, or the import path ``package.module:factory`` of a function that gives an ASE calculator.
    auto is M3GNet where its folder is known, by ``path`` or by ``$CGWGAN_POTENTIAL``, else CHGNet."""
    path: str | None = None
    """Folder of the M3GNet potential, or its name on the Hugging Face hub."""
    tolerance: float = 0.15
    """eV/atom; largest error in the formation energy of a known crystal."""
    energy_scale: str | None = None
    """mp_uncorrected, mp_corrected or matpes; ``None`` where the potential tells it."""
    compile: bool = False
    """Whether M3GNet's layers are compiled. Needs a C++ compiler."""

    def __post_init__(self) -> None:
        if self.name not in NAMES and ":" not in self.name:
            raise InputError(f"potential.name: {self.name!r} is none of {', '.join(NAMES)}, nor package.module:factory")
        if not self.tolerance > 0:
            raise InputError(f"potential.tolerance: {self.tolerance} must be positive")
        if self.energy_scale is not None and self.energy_scale not in ENERGY_SCALES:
            raise InputError(f"potential.energy_scale: {self.energy_scale!r} is not one of {', '.join(ENERGY_SCALES)}")
        if self.path and self.name not in ("auto", "m3gnet"):
            raise InputError(f"potential.path: is for m3gnet, but potential.name is {self.name}; remove one")


def choose(options: PotentialOptions) -> tuple[str, str | None, str]:
    """What :func:`load` would load.

    :returns: m3gnet, chgnet or an import path; the folder or hub name where it has one; and why.
    :raises InputError: if M3GNet is asked for and its folder is nowhere given.
    """
    variable = os.environ.get(VARIABLE)
    path = options.path or variable
    source = "potential.path" if options.path else f"${VARIABLE}"
    if options.name == "auto":
        if path:
            return "m3gnet", path, f"auto: {source} gives an M3GNet potential"
        return "chgnet", None, f"auto: neither potential.path nor ${VARIABLE} gives an M3GNet potential"
    if options.name == "m3gnet":
        if not path:
            raise InputError(
                f"potential: m3gnet needs its weights; set potential.path or ${VARIABLE} to their folder, "
                "or potential.name to chgnet, whose weights are installed with it"
            )
        return "m3gnet", path, f"set by potential.name; {source} gives the weights"
    return options.name, None, "set by potential.name"


def load(options: PotentialOptions) -> Potential:
    """Load a potential. Takes seconds: call it once per process.

    :raises InputError: if its files are missing or unreadable, or its energy scale is unknown.
    """
    name, path, _ = choose(options)
    if name == "m3gnet":
        from cgwgan_core.potentials.m3gnet import M3GNet  # noqa: PLC0415 - each engine is slow to import

        return M3GNet(str(path), options.energy_scale, options.compile)
    if options.compile:
        raise InputError(f"potential.compile: is for m3gnet, not for {name}; set it to false")
    if name == "chgnet":
        from cgwgan_core.potentials.chgnet import CHGNet  # noqa: PLC0415 - as above

        if options.energy_scale not in (None, CHGNet.energy_scale):
            raise InputError(f"potential.energy_scale: CHGNet is {CHGNet.energy_scale}; leave it null")
        return CHGNet()
    if name in SEVENNETS:
        from cgwgan_core.potentials.sevennet import SevenNet  # noqa: PLC0415 - as above

        if options.energy_scale not in (None, SevenNet.energy_scale):
            raise InputError(f"potential.energy_scale: {name} is {SevenNet.energy_scale}; leave it null")
        return SevenNet(name)
    from cgwgan_core.potentials.ase_calculator import ASECalculator  # noqa: PLC0415 - as above

    return ASECalculator(name, options.energy_scale)
