"""The sheet of a crystal that goes to the laboratory: what every judge says of it, and what it looks like.

Words claim what was computed and no more; no distance is called more than one judge's.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup
from pymatgen.core import Composition, Element

from cgwgan_core.crystallography.diffraction import Lines, lines
from cgwgan_core.crystallography.structures import row_to_atoms, row_to_structure
from cgwgan_core.crystallography.symmetry import conventional_cell
from cgwgan_core.phonons.bands import SYMPREC
from cgwgan_core.relaxation.defects import grave
from cgwgan_core.results.agreement import DISPUTED, NEAR_HULL, in_words, near_hull
from cgwgan_core.results.agreement import STABLE as AGREED
from cgwgan_core.results.confidence import chemistry
from cgwgan_core.results.crystal_figures import Figure, bands_figure, cell_figure, diffraction_figure
from cgwgan_core.results.crystals import SURVIVOR
from cgwgan_core.results.findings import BAND_COLUMNS
from cgwgan_core.results.text import NONE, fixed, formula_html, formula_text, spacegroup_html, symbol_text
from cgwgan_core.workflow import tables

Row = Mapping[str, Any]
STRUCTURE = ("lattice", "numbers", "frac_coords")
LEAST = 5e-4
"""eV/atom; smaller differences do not show in three decimals."""
MOST_ATOMS = 24
"""Oxidation states are guessed for formulas of no more atoms; beyond, the guess takes seconds."""
EV_IN_KJ = 96.4853
"""kJ/mol."""
MECHANICAL: Mapping[bool | None, str] = {True: "stable", False: "unstable"}


@dataclass(frozen=True)
class Judge:
    """What one judge says; a dash where nothing."""

    name: str
    above: str
    """eV/atom above the hull of the known phases, each by the judge's own energies."""
    lowest: str
    """Lowest frequency, THz."""
    verdict: str
    elastic: str


@dataclass(frozen=True)
class Card:
    """All that a card shows besides its figures."""

    name: str
    """candidate_id."""
    title: Markup
    plain_title: str
    badges: Sequence[tuple[str, str]]
    """Class and text of what is seen first: verdict, judges, kind of novelty."""
    judges: Sequence[Judge]
    facts: Sequence[tuple[str, Markup]]
    """Name and value."""
    pattern_of: str
    """Known phase whose diffraction pattern is drawn beside; empty: none."""
    drawn: Collection[str]
    """Names of its figures."""
    cif: bool
    """Whether there is a CIF file."""
    stored: bool
    """Whether the run's folder holds its phonopy and DFT files."""


def card(
    row: Row,
    known: Mapping[str, Row],
    drawn: Collection[str] = (),
    cif: bool = False,
    leave_out: Sequence[str] = (),
) -> Card:
    """The words of a crystal's card.

    :param row: of :func:`cgwgan_core.results.crystals.crystals`.
    :param known: material_id -> row of ``tables.KNOWN_PHASES``.
    :param drawn: names of the figures beside them.
    :param cif: whether there is a CIF file.
    :param leave_out: ``hull.leave_out`` of the run.
    """
    phase = nearest_phase(row, known)
    return Card(
        name=row["candidate_id"],
        title=Markup("{} {}").format(formula_html(row["formula"]), spacegroup_html(row["spacegroup"])),
        plain_title=f"{formula_text(row['formula'])} {symbol_text(row['spacegroup'])}",
        badges=list(_badges(row)),
        judges=list(_judges(row)),
        facts=list(_facts(row, phase, _doubted(row, known), leave_out)),
        pattern_of=f"{formula_text(phase['formula'])} ({phase['material_id']})" if phase else "",
        drawn=drawn,
        cif=cif,
        stored=row["fate"] == SURVIVOR,
    )


def nearest_phase(row: Row, known: Mapping[str, Row]) -> Row | None:
    """The known phase to compare with; ``None`` where none has a structure.

    What the crystal is by DFT, else the most alike of its formula, else most of what it falls apart into.
    """
    names = [row.get("dft_known_match"), row["nearest_known"]]
    alike = [known[name] for name in names if name in known and known[name]["lattice"]]
    if alike:
        return alike[0]
    for _, formula in sorted(_shares(row), key=lambda part: -part[0]):
        same = [phase for phase in known.values() if phase["formula"] == formula and phase["lattice"]]
        if same:
            return min(same, key=_energy)
    return None


def _energy(phase: Row) -> float:
    energy: float | None = phase["formation_energy_per_atom"]
    return math.inf if energy is None else energy


def _shares(row: Row) -> list[tuple[float, str]]:
    """Shares of the atoms and formulas of what a crystal falls apart into."""
    parts = [part.split() for part in (row["decomposition"] or "").split(" + ") if part]
    return [(float(share), name) for share, name in parts]


def _badges(row: Row) -> Iterator[tuple[str, str]]:
    verdict = row["verdict"]
    yield (verdict or "none"), f"phonons {verdict}" if verdict else "no phonon verdict"
    if row["agreement"]:
        yield {AGREED: "agreed", DISPUTED: "disputed"}.get(row["agreement"], "unstable"), str(in_words(row))
    elif row["fate"] == SURVIVOR:
        yield "alone", "one judge only"
    if row.get("dft_energy_above_hull") is not None:
        yield "dft", "seen by DFT"
    yield "novelty", _novelty(row)


def _novelty(row: Row) -> str:
    if row.get("novelty"):
        return str(row["novelty"])
    return "found along an imaginary mode" if row["parent_id"] else "kind of novelty not determined"


def _judges(row: Row) -> Iterator[Judge]:
    names = {"": row["potential"] or "judge", "second_": row["second_potential"]}
    for prefix, name in names.items():
        if name:
            yield Judge(
                name,
                _signed(row[f"{prefix}energy_above_hull"]),
                fixed(row[f"{prefix}min_frequency"], 2),
                row[f"{prefix}verdict"] or NONE,
                MECHANICAL.get(row[f"{prefix}mechanically_stable"], NONE),
            )
    if row.get("dft_engine") or row.get("dft_energy_above_hull") is not None:
        above, lowest = _signed(row["dft_energy_above_hull"]), fixed(row["dft_min_frequency"], 2)
        mechanical = MECHANICAL.get(row.get("dft_mechanically_stable"), NONE)
        yield Judge(f"DFT ({row['dft_engine'] or NONE})", above, lowest, row["dft_verdict"] or NONE, mechanical)


def _signed(value: float | None) -> str:
    return ("+" if value is not None and round(value, 3) > 0 else "") + fixed(value, 3)


def _doubted(row: Row, known: Mapping[str, Row]) -> list[Row]:
    """Phases that a crystal falls apart into and whose entry is doubted."""
    phases = [known[name] for name in row["hull_phases"] or () if name in known]
    return [phase for phase in phases if grave(phase["defect"])]


def _facts(
    row: Row, phase: Row | None, doubted: Sequence[Row], leave_out: Sequence[str]
) -> Iterator[tuple[str, Markup]]:
    if row["hull_low"] is not None:
        ends = f"{_signed(row['hull_low'])} to {_signed(row['hull_high'])} eV/atom (90 %)"
        odds = f"at most {NEAR_HULL} above the hull: {100 * row['probability_near_hull']:.0f} %"
        kind = chemistry([element.symbol for element in Composition(row["formula"]).elements])
        ground = f"known {kind} compounds" if kind == "other" else f"known {kind}s"
        yield "DFT is expected at", Markup(f"{ends}; {odds}, by the errors on {ground}")
    without = row["energy_above_hull_uncorrected"]
    if without is not None and abs(without - row["energy_above_hull"]) >= LEAST:
        left = "; no longer near it" if near_hull(row) and without > NEAR_HULL else ""
        yield "Without anion corrections", Markup(f"{_signed(without)} eV/atom from the hull{left}")
    if row["dispute"]:
        yield "Disputed", Markup("{}").format(row["dispute"])
    if row.get("refuted_frequency") is not None:
        told = f"{fixed(row['refuted_frequency'], 2)} THz; elastic constants or a supercell that fits refute it"
        yield "Interpolation dips to", Markup("{}").format(told)
    yield "Falls apart into", reaction(row)
    if doubted:
        told = Markup("; ").join(
            Markup("{} ({}): {}").format(formula_html(one["formula"]), one["material_id"], grave(one["defect"]))
            for one in doubted
        )
        setting = ", ".join([*leave_out, *(one["material_id"] for one in doubted)])
        yield (
            "Doubted of these",
            Markup("{}; to leave it off: <code>hull: {{leave_out: [{}]}}</code>").format(told, setting),
        )
    if row["largest_shift_phase"]:
        hangs = f"{row['largest_shift_phase']}; without it {fixed(row['largest_shift'], 3)} eV/atom lower"
        yield "Its height hangs on", Markup("{}").format(hangs)
    if phase is not None:
        alike = row["nearest_known_similarity"] if phase["material_id"] == row["nearest_known"] else None
        text = Markup("{} ({})").format(formula_html(phase["formula"]), phase["material_id"])
        yield "Nearest known phase", text + (f"; patterns alike to {fixed(alike, 2)}" if alike is not None else "")
    kind = _novelty(row)
    yield (
        "Novelty",
        Markup("{}").format(kind + (f", structure type of {row['prototype']}" if row.get("prototype") else "")),
    )
    if row["parent_id"]:
        gain = f", {fixed(1000 * row['energy_gain'], 1)} meV/atom below it" if row["energy_gain"] is not None else ""
        yield "Led to by", Markup("{}").format(f"an imaginary mode of {row['parent_id']}{gain}")
    yield "Charges", _charges(row)
    yield (
        "Elastic moduli",
        Markup(
            f"bulk {fixed(row['bulk_modulus'], 0)} GPa, shear {fixed(row['shear_modulus'], 0)} GPa"
            if row["bulk_modulus"] is not None
            else "not computed"
        ),
    )
    if row["vibrational_free_energy_per_atom"] is not None:
        free = f"{fixed(row['vibrational_free_energy_per_atom'], 3)} eV/atom vibrational free energy"
        yield "At 300 K", Markup(f"{free}, heat capacity {fixed(row['heat_capacity_per_atom'], 2)} k<sub>B</sub>/atom")
    energy = f"{fixed(row['formation_energy_per_atom'], 3)} eV/atom"
    yield "Formation energy", Markup(energy)
    size = f"{row['n_atoms'] or NONE} atoms in the primitive cell, {fixed(row['volume_per_atom'], 2)} Å³/atom"
    yield "Size", Markup(size)


def reaction(row: Row) -> Markup:
    """What a formula unit falls apart into, in formula units, and the energy that this takes or gives."""
    products = [Composition(name) for _, name in _shares(row)]
    if not products:
        return Markup("not known")
    unit = Composition(row["formula"])
    # the shares in the table are rounded; atoms are not
    atoms = [[product[element] for product in products] for element in unit.elements]
    amounts = np.linalg.lstsq(np.array(atoms), np.array([unit[element] for element in unit.elements]), rcond=None)[0]
    parts = [
        Markup("{} {}").format("" if abs(amount - 1) < 1e-6 else f"{amount:.3g}", formula_html(product.reduced_formula))
        for amount, product in zip(amounts, products, strict=True)
    ]
    told = Markup("{} → {}").format(formula_html(row["formula"]), Markup(" + ").join(parts))
    if len(products) == 1 and products[0].reduced_formula == unit.reduced_formula:
        told += " (its known polymorph)"
    above = row["energy_above_hull"]
    if above is None:
        return told
    size = f"{fixed(abs(above), 3)} eV/atom, {fixed(abs(above) * unit.num_atoms * EV_IN_KJ, 1)} kJ/mol"
    return told + f"; {'gives off' if above >= 0 else 'takes'} {size}, by {row['potential'] or 'the judge'}"


def _charges(row: Row) -> Markup:
    """Usual charges that balance; and what the infill's rules say, where they say otherwise."""
    by_infill = row.get("charge_balanced")
    if Composition(row["formula"]).num_atoms > MOST_ATOMS:
        return Markup({True: "balance", False: "do not balance"}.get(by_infill, "not asked"))  # type: ignore[arg-type]
    states = oxidation_states(row["formula"])
    text = ", ".join(f"{symbol} {state:+.3g}".replace("-", "−") for symbol, state in states.items())
    told = f"balance: {text}" if states else "no usual charges balance"
    if by_infill not in (None, bool(states)):
        told += f"; by the rules of infill they do{'' if by_infill else ' not'}"
    return Markup("{}").format(told)


@cache
def oxidation_states(formula: str) -> Mapping[str, float]:
    """The likeliest usual oxidation states of a formula's elements; empty where none balance.

    States are pymatgen's common ones, and positive ones of ICSD's crystals. The more electronegative elements are the
    negative ones, and metals alone may have a mean of several states. A mean of other elements tells of bonds between
    equal atoms, which no guess by the formula places.
    """
    composition = Composition(formula)
    if composition.num_atoms > MOST_ATOMS:
        return {}
    states = {element.symbol: _usual_states(Element(element.symbol)) for element in composition.elements}
    guesses = composition.oxi_state_guesses(oxi_states_override=states)
    return next((dict(guess) for guess in guesses if _sensible(guess, states)), {})


def _usual_states(element: Element) -> tuple[int, ...]:
    return (*element.common_oxidation_states, *(state for state in element.icsd_oxidation_states if state > 0))


def _sensible(guess: Mapping[str, float], states: Mapping[str, Collection[int]]) -> bool:
    giving = [Element(symbol).X for symbol, state in guess.items() if state > 0]
    taking = [Element(symbol).X for symbol, state in guess.items() if state < 0]
    whole = all(state in states[symbol] or Element(symbol).is_metal for symbol, state in guess.items())
    return whole and 0 not in guess.values() and max(giving, default=math.inf) < min(taking, default=-math.inf)


# ------------------------------------------------------------------------------------------------ figures


class Drawings:
    """The figures of cards, from the run's tables.

    :param shards: files of ``tables.PHONONS``: cells and bands.
    :param names: candidate_id of those that have cards.
    :param known: material_id -> row of ``tables.KNOWN_PHASES``.
    """

    def __init__(self, shards: Sequence[str], names: Sequence[str], known: Mapping[str, Row]) -> None:
        self._known = known
        self._rows: dict[str, Row] = {}
        self._lines: dict[str, Lines] = {}
        wanted = pa.array(list(names), pa.string())
        for shard in shards:
            table = tables.read(shard, tables.PHONONS, ["candidate_id", *STRUCTURE, *BAND_COLUMNS])
            for row in table.filter(pc.is_in(table["candidate_id"], value_set=wanted)).to_pylist():
                self._rows[row["candidate_id"]] = row

    def figures(self, row: Row, thin: int = 1) -> dict[str, Figure]:
        """``cell`` (conventional), ``primitive``, ``bands`` and ``pattern``, as far as they are known.

        :param row: of :func:`cgwgan_core.results.crystals.crystals`.
        :param thin: as in :func:`.crystal_figures.bands_figure`.
        """
        stored = self._rows.get(row["candidate_id"])
        if stored is None or not stored["lattice"]:
            return {}
        structure = row_to_structure(stored)
        primitive = row_to_atoms(stored)
        conventional = conventional_cell(primitive, SYMPREC)
        found = {"cell": cell_figure(conventional)}
        if len(conventional) != len(primitive):
            found["primitive"] = cell_figure(primitive)
        if stored["band_distances"]:
            found["bands"] = bands_figure(stored, thin)
        phase = nearest_phase(row, self._known)
        names = (
            formula_text(row["formula"]),
            f"{formula_text(phase['formula'])} {phase['material_id']}" if phase else "",
        )
        found["pattern"] = diffraction_figure(lines(structure), self._pattern(phase), names)
        return found

    def _pattern(self, phase: Row | None) -> Lines | None:
        if phase is None:
            return None
        name = phase["material_id"]
        if name not in self._lines:
            self._lines[name] = lines(row_to_structure(phase))
        return self._lines[name]
