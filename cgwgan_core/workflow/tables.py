"""The tables between stages: Parquet schemas written once, used by every reader and writer.

Units and meaning stand in each field's metadata (``pq.read_schema(path).field("a").metadata``). Lengths are
in Å, angles in degrees, energies in eV or eV/atom (the name says which), frequencies in THz. Rows are in a
deterministic order, and equal tables are equal bytes.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.files import replacing
from cgwgan_core.workflow.provenance import Provenance

F64, I16, I32, STR, BOOL = pa.float64(), pa.int16(), pa.int32(), pa.string(), pa.bool_()


def _field(name: str, kind: pa.DataType, what: str, unit: str = "") -> pa.Field:
    return pa.field(name, kind, metadata={"description": what, **({"unit": unit} if unit else {})})


def _extend(base: pa.Schema, *fields: pa.Field) -> pa.Schema:
    return pa.schema([*base, *fields])


# --------------------------------------------------------------------------------------------- database

STRUCTURES = pa.schema(
    [
        _field("material_id", STR, "identifier in the database"),
        _field("formula", STR, "reduced formula"),
        _field("lattice", pa.list_(F64), "lattice vectors as rows, flattened [9]", "Å"),
        _field("numbers", pa.list_(I16), "atomic numbers [n]"),
        _field("frac_coords", pa.list_(F64), "fractional coordinates, flattened [3n]"),
        _field("formation_energy_per_atom", F64, "from the database, where known", "eV/atom"),
        _field("energy_above_hull", F64, "from the database, where known", "eV/atom"),
        _field("remark", STR, "what was doubtful in the record and how it was read; null where nothing was"),
    ]
)
REFUSED = pa.schema(
    [
        _field("record", STR, "material_id, or the record's place in its file"),
        _field("stage", STR, "stage that refused it: read, asu or training"),
        _field("reason", STR, "why"),
    ]
)

# -------------------------------------------------------------------------------------------- templates

_CELL = [
    _field("a", F64, "conventional cell", "Å"),
    _field("b", F64, "conventional cell", "Å"),
    _field("c", F64, "conventional cell", "Å"),
    _field("alpha", F64, "conventional cell", "°"),
    _field("beta", F64, "conventional cell", "°"),
    _field("gamma", F64, "conventional cell", "°"),
]
_SITES = [
    _field("n_atoms", I32, "atoms in the conventional cell"),
    _field("n_sites", I16, "sites of the asymmetric unit, k"),
    _field("letters", pa.list_(STR), "Wyckoff letter of each site [k]"),
    _field("multiplicities", pa.list_(I16), "multiplicity of each site in the conventional cell [k]"),
    _field("coords", pa.list_(F64), "representative fractional coordinates of each site, flattened [3k]"),
]
_DENSITY = _field("number_density", F64, "atoms per volume", "1/Å³")

ASU = pa.schema(
    [
        _field("material_id", STR, "identifier in the database"),
        _field("formula", STR, "reduced formula"),
        _field("spacegroup", I16, "International Tables number, standard setting"),
        *_CELL,
        *_SITES,
        _field("elements", pa.list_(STR), "element of each site [k]"),
        _DENSITY,
        _field("energy_above_hull", F64, "from the database, where known", "eV/atom"),
        _field("symprec", F64, "tolerance the symmetry was found with", "Å"),
    ]
)
TRAINING = _extend(
    ASU,
    _field("isopointal_type", STR, "space group and Wyckoff letters: the key that the split is made by"),
    _field("fingerprint", STR, "canonical key of the template"),
    _field("split", STR, "train or held-out; all structures of one isopointal type are on one side"),
)
TEMPLATES = pa.schema(
    [
        _field("template_id", STR, "identifier of the template in this run"),
        _field("spacegroup", I16, "International Tables number, standard setting, that moyo finds in all its atoms"),
        _field("spacegroup_requested", I16, "space group it was generated in: the same, or a subgroup"),
        *_CELL,
        *_SITES,
        _DENSITY,
        _field("min_distance", F64, "shortest distance between any two atoms, images included", "Å"),
        _field("isopointal_type", STR, "space group and Wyckoff letters"),
        _field("fingerprint", STR, "canonical key of the template"),
        _field("in_training", BOOL, "whether the generator was trained on a structure of this template"),
        _field("in_held_out", BOOL, "whether a held-out structure is of this template: one rediscovered"),
    ]
)

# ------------------------------------------------------------------------------------------- candidates

CANDIDATES = pa.schema(
    [
        _field("candidate_id", STR, "template_id and the elements in order of the sites"),
        _field("template_id", STR, "template that was filled"),
        _field("elements", pa.list_(STR), "element of each site [k]"),
        _field("formula", STR, "reduced formula"),
        _field("charge_balanced", BOOL, "whether oxidation states of the elements add up to zero"),
        _field("n_atoms", I32, "atoms in the conventional cell"),
        _field("volume_scale", F64, "factor on the template's volume that elements or template ask for"),
    ]
)
SCREENED = pa.schema(
    [
        _field("candidate_id", STR, "as in candidates"),
        _field("formula", STR, "reduced formula"),
        _field("volume_scale", F64, "factor on the template's volume that the energies are for"),
        _field("energy_per_atom", F64, "energy by the potential, uncorrected", "eV/atom"),
        _field("formation_energy_per_atom", F64, "corrected, against elemental references", "eV/atom"),
        _field("energy_above_hull", F64, "over the hull of the known phases (negative: below it)", "eV/atom"),
        _field("status", STR, "ok, or why there is no energy"),
    ]
)
_SCREENING = [
    _field("screening_energy_above_hull", F64, "by the screening potential, over its own hull", "eV/atom"),
    _field("screening_rank", pa.int64(), "by the screening potential, 1 is the best"),
    _field(
        "promoted_as", STR, "best by the screening potential, or sample: drawn at random; null: there was no cascade"
    ),
]
_AT_SCREENED_VOLUME = _field("volume_scale", F64, "factor on the template's volume that the screening ended with")
PROMOTED = _extend(
    pa.schema([_AT_SCREENED_VOLUME if field.name == "volume_scale" else field for field in CANDIDATES]), *_SCREENING
)
RANKED = pa.schema(
    [
        _field("rank", I32, "1 is the best"),
        _field("candidate_id", STR, "as in candidates"),
        _field("template_id", STR, "template that was filled"),
        _field("elements", pa.list_(STR), "element of each site [k]"),
        _field("formula", STR, "reduced formula"),
        _field("charge_balanced", BOOL, "whether oxidation states of the elements add up to zero"),
        _field("n_atoms", I32, "atoms in the conventional cell"),
        _field("volume_scale", F64, "factor on the template's volume that the energies are for"),
        _field("energy_per_atom", F64, "energy by the potential, uncorrected", "eV/atom"),
        _field("formation_energy_per_atom", F64, "corrected, against elemental references", "eV/atom"),
        _field("energy_above_hull", F64, "over the hull of the known phases (negative: below it)", "eV/atom"),
        *_SCREENING,
        _field("known_match", STR, "known phase that it is, and that is hence not relaxed; null: goes on"),
    ]
)
RANKING_REFUSED = pa.schema(
    [
        _field("candidate_id", STR, "as in candidates"),
        _field("reason", STR, "why it is not on the shortlist"),
        _field("match", STR, "better candidate that it repeats, or known phase that a better candidate is"),
    ]
)

# ---------------------------------------------------------------------------- relaxed crystals, phonons

_RELAXED_CELL = [
    _field("lattice", pa.list_(F64), "relaxed primitive cell, vectors as rows, flattened [9]", "Å"),
    _field("numbers", pa.list_(I16), "atomic numbers [n]"),
    _field("frac_coords", pa.list_(F64), "fractional coordinates, flattened [3n]"),
]
_UNCORRECTED = _field("uncorrected_formation_energy_per_atom", F64, "without MP2020's corrections of anions", "eV/atom")
RELAXED = pa.schema(
    [
        _field("candidate_id", STR, "as in candidates"),
        _field("template_id", STR, "template that was filled"),
        _field("formula", STR, "reduced formula"),
        _field("charge_balanced", BOOL, "whether oxidation states of the elements add up to zero"),
        _field("rank", I32, "rank before relaxation"),
        *_RELAXED_CELL,
        _field("energy_per_atom", F64, "after relaxation, by the potential, uncorrected", "eV/atom"),
        _field("formation_energy_per_atom", F64, "corrected, after relaxation", "eV/atom"),
        _UNCORRECTED,
        _field("energy_above_hull", F64, "over the hull of the known phases, after relaxation", "eV/atom"),
        _field("n_steps", I32, "optimiser steps"),
        _field("fmax", F64, "largest force on an atom at the end", "eV/Å"),
        _field("volume_ratio", F64, "volume after over volume before"),
        _field("spacegroup_before", I16, "International Tables number before relaxation"),
        _field("spacegroup", I16, "International Tables number after relaxation"),
        _field("constrained_energy_per_atom", F64, "relaxed in its symmetry, by the potential, uncorrected", "eV/atom"),
        _field("constrained_spacegroup", I16, "International Tables number, relaxed in its symmetry"),
        _field(
            "unconstrained_energy_per_atom", F64, "relaxed on without symmetry; null: not done, or failed", "eV/atom"
        ),
        _field(
            "unconstrained_spacegroup", I16, "International Tables number, relaxed on without symmetry; null as before"
        ),
        _field("symmetry_broken", BOOL, "whether this is the crystal that was relaxed on without its first symmetry"),
        _field("status", STR, "ok, or why the crystal is refused"),
    ]
)
_SECOND = [
    _field("second_potential", STR, "another potential that was asked; null: none, or it cannot treat the crystal"),
    _field("second_energy_above_hull", F64, "by that potential, over its own hull, same geometries", "eV/atom"),
    _field("disagreement", F64, "the second potential's distance to the hull less the first's", "eV/atom"),
]
_FALLS_APART = _field("decomposition", STR, "known phases on the hull at its composition, with shares of the atoms")
COMPARED = _extend(
    RELAXED,
    _field("known_match", STR, "material_id of the known phase it matches after relaxation; null: novel"),
    _field("known_rms", F64, "distance of corresponding atoms from that phase, over the free length per atom"),
    _field("energy_above_known", F64, "over that phase, by the same potential", "eV/atom"),
    _field("novelty", STR, "known, new composition of a known structure type, or new structure type"),
    _field("prototype", STR, "material_id of a structure of the same type; null: there is none"),
    _field("prototype_rms", F64, "distance of corresponding atoms from it, over the free length per atom"),
    _field("duplicate_of", STR, "better candidate that it repeats after relaxation; null: distinct"),
    *_SECOND,
    _FALLS_APART,
    _field("phonon_rank", I32, "order of the phonon calculations, 1 is first; null: not calculated"),
)
_ACROSS = _field(
    "across_cutoff",
    F64,
    "how far a pair is across the potential's cutoff at this minimum of kept neighbours; 0: of the potential itself",
    "Å",
)
_PROPERTIES = [
    _field("vibrational_free_energy_per_atom", F64, "harmonic, at 300 K, with zero-point energy", "eV/atom"),
    _field("heat_capacity_per_atom", F64, "harmonic, at 300 K; 3 is the classical limit", "k_B"),
    _field("mechanically_stable", BOOL, "whether all six eigenvalues of the elastic tensor exceed 0.1 GPa"),
    _field("elastic_min_eigenvalue", F64, "lowest eigenvalue of the elastic tensor, Kelvin's notation", "GPa"),
    _field("bulk_modulus", F64, "average of Voigt and Reuss", "GPa"),
    _field("shear_modulus", F64, "average of Voigt and Reuss", "GPa"),
]
PHONONS = pa.schema(
    [
        _field("candidate_id", STR, "as in candidates"),
        _field("min_frequency", F64, "lowest frequency that counts; negative: imaginary", "THz"),
        _field("min_frequency_q", pa.list_(F64), "q-point of the lowest frequency [3], reduced coordinates"),
        _field("lowest_is_acoustic", BOOL, "whether the lowest mode is on an acoustic branch, by its eigenvector"),
        _field("lowest_is_exact", BOOL, "whether its q-point fits a supercell that was computed; else interpolated"),
        _field(
            "refuted_frequency",
            F64,
            "lowest imaginary frequency by interpolation alone; elastic constants or a supercell that fits refute it",
            "THz",
        ),
        _field("verdict", STR, "stable, borderline or unstable; null where there is none"),
        _field("stable_from", F64, "lowest frequency from which the verdict is stable", "THz"),
        _field("borderline_from", F64, "lowest frequency from which it is borderline, unstable below", "THz"),
        _field("paper_stable", BOOL, "the paper's criterion: lowest frequency of -0.5 THz or above"),
        _field("parent_id", STR, "of a child: crystal whose imaginary mode was followed; null: not a child"),
        _field("ancestor_id", STR, "of a child: generated crystal that its line of parents begins with"),
        _field("generation", I16, "modes followed from that crystal on; 0: not a child"),
        _field("energy_gain", F64, "of a child: how far it lies below its parent", "eV/atom"),
        _field("followed_q", pa.list_(F64), "of a child: q-point of its parent's mode [3], in the parent's basis"),
        _field("followed_frequency", F64, "of a child: frequency of that mode; null: a strain was followed", "THz"),
        _field("followed_cells", I32, "of a child: primitive cells of its parent that the mode needs"),
        _field("potential", STR, "potential that the verdict holds for"),
        _field("supercell", pa.list_(I32), "repeats of the primitive cell [3]"),
        _field("n_displacements", I32, "displaced supercells computed"),
        _field("band_distances", pa.list_(F64), "band path: distance of each q-point [p]", "1/Å"),
        _field("band_frequencies", pa.list_(F64), "band path: frequencies, flattened [p × 3n]", "THz"),
        _field("band_breaks", pa.list_(I32), "index of the first q-point of each segment of the path"),
        _field("band_ticks", pa.list_(F64), "band path: distance of each labelled point", "1/Å"),
        _field("band_labels", pa.list_(STR), "band path: its labels"),
        *_RELAXED_CELL,
        _field("spacegroup", I16, "International Tables number of this cell, relaxed to the phonons' fmax"),
        _field("energy_per_atom", F64, "of this cell, by the potential, uncorrected", "eV/atom"),
        _field("relaxed_fmax", F64, "largest force on an atom after that relaxation", "eV/Å"),
        _ACROSS,
        *_PROPERTIES,
        _field("elastic_tensor", pa.list_(F64), "elastic constants, Voigt's notation, flattened [36]", "GPa"),
        _field(
            "force_constants",
            pa.list_(F64),
            "of what passes: each atom of this cell with all of phonopy's supercell, flattened [n × N × 9]",
            "eV/Å²",
        ),
        _field("status", STR, "ok, or why there are no phonons"),
    ]
)
SECOND_PHONONS = _extend(
    PHONONS,
    _field(
        "energy_above_hull", F64, "by the second potential, over its own hull, in the judge's geometries", "eV/atom"
    ),
)
STABLE = pa.schema(
    [
        _field("candidate_id", STR, "as in candidates"),
        _field("formula", STR, "reduced formula"),
        _field("spacegroup", I16, "International Tables number after relaxation"),
        _field("spacegroup_symbol", STR, "Hermann-Mauguin symbol"),
        *_RELAXED_CELL,
        _field("n_atoms", I32, "atoms in the relaxed primitive cell"),
        _field("volume_per_atom", F64, "after relaxation", "Å³"),
        _field("energy_per_atom", F64, "by the potential, uncorrected", "eV/atom"),
        _field("formation_energy_per_atom", F64, "corrected", "eV/atom"),
        _UNCORRECTED,
        _field("energy_above_hull", F64, "over the hull of the known phases", "eV/atom"),
        *_SECOND,
        _field("second_min_frequency", F64, "lowest phonon frequency by that potential", "THz"),
        _field("second_verdict", STR, "stable, borderline or unstable by it; null: none"),
        _field("second_mechanically_stable", BOOL, "by it; null: none, or its phonons do not pass"),
        _field("agreement", STR, "agreed stable, agreed unstable or disputed; null: there is one judge only"),
        _field("dispute", STR, "what the judges dispute, the first one's value first"),
        _field(
            "hull_low",
            F64,
            "90 % lie between this and hull_high by DFT; null: potential not calibrated, or it falls into elements",
            "eV/atom",
        ),
        _field("hull_high", F64, "upper end of that interval", "eV/atom"),
        _field("probability_near_hull", F64, "that DFT puts it within 0.05 eV/atom of the hull; null as for hull_low"),
        _FALLS_APART,
        _field("hull_phases", pa.list_(STR), "material_id of the compounds it falls apart into [h]"),
        _field("hull_shifts", pa.list_(F64), "how far it comes down without each of them [h]", "eV/atom"),
        _field("largest_shift", F64, "the largest of these", "eV/atom"),
        _field("largest_shift_phase", STR, "material_id of the compound that its height hangs on most"),
        _field("hull_defects", STR, "which of these compounds the database's entry is doubted of, and why"),
        _field(
            "energy_above_hull_uncorrected", F64, "over a hull of its own, all without corrections of anions", "eV/atom"
        ),
        _field("energy_above_joint_hull", F64, "over the hull of known phases and all of this table", "eV/atom"),
        _field("min_frequency", F64, "lowest phonon frequency", "THz"),
        _field("verdict", STR, "stable or borderline, by the thresholds of the run"),
        _field("paper_stable", BOOL, "the paper's criterion: lowest frequency of -0.5 THz or above"),
        _field("parent_id", STR, "unstable crystal whose imaginary mode led to this one; null: generated as such"),
        _field("energy_gain", F64, "how far it lies below that parent", "eV/atom"),
        _ACROSS,
        *_PROPERTIES,
        _field("nearest_known", STR, "known phase of the formula whose diffraction pattern is the most alike"),
        _field("nearest_known_similarity", F64, "cosine of the two patterns: 1 is equal"),
        _field("nearest_survivor", STR, "other crystal of this table whose pattern is the most alike"),
        _field("nearest_survivor_similarity", F64, "cosine of the two patterns: 1 is equal"),
        _field("potential", STR, "potential that all energies and frequencies are computed with"),
        _field("template_id", STR, "template that was filled"),
        _field("rank", I32, "rank before relaxation"),
    ]
)
STABLE_REFUSED = pa.schema(
    [
        _field("candidate_id", STR, "as in phonons"),
        _field("reason", STR, "why a crystal that passes is not among the stable ones"),
        _field("match", STR, "known phase that it is, or better crystal that it repeats"),
    ]
)
KNOWN_PHASES = pa.schema(
    [
        _field("material_id", STR, "identifier in the database, or element for an elemental reference"),
        _field("formula", STR, "reduced formula"),
        *_RELAXED_CELL,
        _field("energy_per_atom", F64, "relaxed, by the potential, uncorrected", "eV/atom"),
        _field("formation_energy_per_atom", F64, "corrected", "eV/atom"),
        _UNCORRECTED,
        _field(
            "energy_above_hull",
            F64,
            "over the hull of these phases; negative: left out, and below it",
            "eV/atom",
        ),
        _field("database_formation_energy_per_atom", F64, "the database's own, where known", "eV/atom"),
        _field("defect", STR, "why the database's entry is doubted; null: it is not"),
        _field("status", STR, "ok, or why it is left out of the hull"),
    ]
)

# -------------------------------------------------------------------------------------------------- DFT

_CRYSTAL = [
    _field("crystal_id", STR, "candidate_id, material_id, or molecule-O2"),
    _field("kind", STR, "candidate, known (a phase of the database) or element"),
]
DFT_CRYSTALS = _extend(
    pa.schema(_CRYSTAL),
    _field("rank", I32, "of a candidate, by the potential's distance to the hull; null: none"),
    _field("formula", STR, "reduced formula"),
    *_RELAXED_CELL,
    _field("potential", STR, "potential that the geometry is from"),
    _field("formation_energy_per_atom", F64, "by the potential, corrected", "eV/atom"),
    _field("energy_above_hull", F64, "by the potential", "eV/atom"),
    _field("database_formation_energy_per_atom", F64, "the database's own, where known", "eV/atom"),
    _field("status", STR, "ok: DFT is asked for; or why not"),
)
DFT_STATICS = _extend(
    pa.schema(_CRYSTAL),
    _field("formula", STR, "reduced formula"),
    _field("n_atoms", I32, "atoms in the cell that was computed"),
    _field("status", STR, "converged, or why there is no energy"),
    _field("energy_per_atom", F64, "of the lowest start, uncorrected", "eV/atom"),
    _field("magnetic_order", STR, "that start: FM, AFM1, ...; NM: no moments are left"),
    _field("magnetic_moment", F64, "of the cell", "μB"),
    _field("starts", pa.list_(STR), "starts of the spins that were computed [s]"),
    _field("start_energies", pa.list_(F64), "of each start; null: not converged [s]", "eV/atom"),
    _field("fmax", F64, "largest force on an atom", "eV/Å"),
    _field("remedies", pa.list_(STR), "what was changed after calculations that did not converge"),
    _field("engine", STR, "engine and release"),
    _field("calculation", STR, "its folder in the store of calculations"),
)
DFT_HULL = _extend(
    pa.schema(_CRYSTAL),
    _field("rank", I32, "of a candidate, by the potential's distance to the hull"),
    _field("formula", STR, "reduced formula"),
    _field("n_atoms", I32, "atoms in the cell"),
    _field("status", STR, "converged, or why there is no energy"),
    _field("energy_per_atom", F64, "by the engine, uncorrected", "eV/atom"),
    _field("formation_energy_per_atom", F64, "against the engine's elements, corrected (MP2020)", "eV/atom"),
    _UNCORRECTED,
    _field("fitted", STR, "elements whose energy is fitted to the database's, as their crystals were not computed"),
    _field("reference", STR, "of an element: where its energy is from"),
    _field("energy_above_hull", F64, "over the known phases by the engine, all corrected", "eV/atom"),
    _field("energy_above_hull_uncorrected", F64, "the same, all without corrections of anions", "eV/atom"),
    _field("energy_above_mixed_hull", F64, "over the known phases by the database's energies", "eV/atom"),
    _field("mixed_shift", F64, "engine less database, of the phases that this distance is to", "eV/atom"),
    _field("energy_above_joint_hull", F64, "over known phases and candidates by the engine", "eV/atom"),
    _field("decomposition", STR, "what it falls apart into, atomic shares"),
    _field("hull_phases", pa.list_(STR), "crystal_id of these phases [h]"),
    _field(
        "hull_missing", STR, "phases it falls apart into by potential or database that have no energy by the engine"
    ),
    _field("hull_status", STR, "ok, or why there is no distance to the hull"),
    _field("oxygen_loss", F64, "least energy it takes to give off O2, corrected; negative: it gains", "eV/O2"),
    _field("oxygen_loss_uncorrected", F64, "the same without corrections", "eV/O2"),
    _field("oxygen_loss_products", STR, "what is left then, besides O2"),
    _field("oxygen_loss_status", STR, "ok, or why no O2 is lost"),
    _field("potential", STR, "potential that the geometry is from"),
    _field("potential_formation_energy_per_atom", F64, "by the potential, corrected", "eV/atom"),
    _field("potential_energy_above_hull", F64, "by the potential", "eV/atom"),
    _field("database_formation_energy_per_atom", F64, "the database's own, where known", "eV/atom"),
)
_DFT_GEOMETRY = [
    _field("steps", I32, "calculations after the first"),
    _field("predicted_gain", F64, "by relaxation, from the first calculation and the potential's Hessian", "eV/atom"),
    _field("gain", F64, "by relaxation", "eV/atom"),
    _field("volume_ratio", F64, "relaxed by DFT over relaxed by the potential"),
    _field("spacegroup", I16, "International Tables number after relaxation by DFT"),
    _field("fmax", F64, "largest force on an atom after relaxation", "eV/Å"),
    _field("pressure", F64, "after relaxation", "GPa"),
]
DFT_RELAXED = _extend(
    pa.schema(_CRYSTAL),
    _field("formula", STR, "reduced formula"),
    _field("status", STR, "converged, or why it is not relaxed"),
    *_RELAXED_CELL,
    *_DFT_GEOMETRY,
    _field("moments", pa.list_(F64), "starting moments of its calculations [n]", "μB"),
    _field("magnetic_order", STR, "start that was lowest before relaxation"),
    _field("energy_per_atom", F64, "of the relaxed crystal, as the statics; null: none", "eV/atom"),
)
_DFT_ELASTICITY = [
    _field("elasticity", STR, "converged, or why there are no elastic constants by DFT; null: not asked for"),
    _field("elastic_tensor", pa.list_(F64), "elastic constants by DFT, Voigt's notation, flattened [36]", "GPa"),
    _field("elastic_eigenvalues", pa.list_(F64), "their eigenvalues in Kelvin's notation, ascending [6]", "GPa"),
    _field("mechanically_stable", BOOL, "whether all of them exceed 0.1 GPa"),
    _field("bulk_modulus", F64, "mean of Voigt's and Reuss's, by DFT", "GPa"),
    _field("shear_modulus", F64, "mean of Voigt's and Reuss's, by DFT", "GPa"),
]
DFT_PHONONS = _extend(
    pa.schema(_CRYSTAL),
    _field("formula", STR, "reduced formula"),
    _field("status", STR, "converged, or why there is no verdict"),
    _field("verdict", STR, "stable, borderline or unstable, by the thresholds of phonons"),
    _field("min_frequency", F64, "lowest at the q-points that fit, acoustic modes at Γ left out", "THz"),
    _field("q", pa.list_(F64), "its q-point [3], reduced coordinates"),
    _field("supercell", pa.list_(I32), "supercell's vectors in the basis of the primitive cell [9]"),
    _field("n_displacements", I32, "displaced supercells computed"),
    *_DFT_ELASTICITY,
)
DFT = _extend(
    DFT_HULL,
    _field("dft_rank", I32, "of a candidate, by DFT"),
    _field("static_energy_above_hull", F64, "over the hull before any relaxation by DFT", "eV/atom"),
    _field("difference", F64, "formation energy, DFT less potential", "eV/atom"),
    _field("magnetic_order", STR, "lowest start: FM, AFM1, ...; NM: no moments are left"),
    _field("magnetic_moment", F64, "of the cell", "μB"),
    _field("starts", pa.list_(STR), "starts of the spins that were computed [s]"),
    _field("start_energies", pa.list_(F64), "of each start [s]", "eV/atom"),
    _field("remedies", pa.list_(STR), "what was changed after calculations that did not converge"),
    _field("engine", STR, "engine and release"),
    _field("relaxation", STR, "converged, or why it is not relaxed; null: not asked for"),
    *_DFT_GEOMETRY,
    _field("potential_spacegroup", I16, "of a candidate: International Tables number before relaxation by DFT"),
    _field("known_match", STR, "database crystal that it is the same as after relaxation by DFT; null: none"),
    _field("known_rms", F64, "how far from it, root mean square over the free length per atom"),
    _field("duplicate_of", STR, "better candidate that DFT has relaxed to the same crystal; null: none"),
    _field("nearest_known", STR, "known phase of the formula whose diffraction pattern is the most alike after that"),
    _field("nearest_known_similarity", F64, "cosine of the two patterns: 1 is equal"),
    _field("xrd_two_theta", pa.list_(F64), "lines by Cu Kα after relaxation by DFT, strongest first [l]", "°"),
    _field("xrd_intensity", pa.list_(F64), "per cent of the strongest [l]"),
    _field("xrd_indices", pa.list_(STR), "Miller indices, of all families of a line, in the conventional cell [l]"),
    _field("phonons", STR, "converged, or why there is no verdict; null: not asked for"),
    _field("verdict", STR, "stable, borderline or unstable, by DFT"),
    _field("min_frequency", F64, "lowest phonon frequency by DFT", "THz"),
    *_DFT_ELASTICITY,
    _field("potential_elastic_min_eigenvalue", F64, "of a candidate, lowest of the six by the potential", "GPa"),
)
DFT_NEXT = pa.schema(
    [
        _field("crystal_id", STR, "candidate_id"),
        _field("formula", STR, "reduced formula"),
        _field("n_atoms", I32, "atoms in the primitive cell"),
        _field("rank", I32, "by the expected distance to the hull"),
        _field("rank_before", I32, "by the potential's"),
        _field("next", BOOL, "whether DFT should see it next"),
        _field("potential_energy_above_hull", F64, "by the potential", "eV/atom"),
        _field("correction", F64, "what the model adds to the potential's formation energy", "eV/atom"),
        _field("expected_formation_energy_per_atom", F64, "with the correction", "eV/atom"),
        _field("expected_energy_above_hull", F64, "over the hull by DFT, as far as it is computed", "eV/atom"),
    ]
)
DFT_ELECTRONS = _extend(
    pa.schema(_CRYSTAL),
    _field("formula", STR, "reduced formula"),
    _field("geometry", STR, "relaxed by DFT, or by the potential"),
    _field("lattice", pa.list_(F64), "lattice vectors as rows, flattened [9]", "Å"),
    _field("numbers", pa.list_(I16), "atomic numbers [n]"),
    _field("frac_coords", pa.list_(F64), "fractional coordinates, flattened [3n]"),
    _field("magnetic_order", STR, "lowest start: FM, AFM1, ...; NM: no moments are left"),
    _field("magnetic_moment", F64, "of the cell", "μB"),
    _field("moments", pa.list_(F64), "of each atom; null: none [n]", "μB"),
    _field("charges", pa.list_(F64), "Bader charge of each atom: nuclear charge less electrons [n]", "e"),
    _field("elements", pa.list_(STR), "elements of the crystal [k]"),
    _field("element_charges", pa.list_(F64), "mean Bader charge of each [k]", "e"),
    _field("gap", F64, "lowest empty less highest occupied state; 0: a metal", "eV"),
    _field("spin_gaps", pa.list_(F64), "the same of each spin [s]", "eV"),
    _field("fermi_level", F64, "on the engine's own scale", "eV"),
    _field("band_distances", pa.list_(F64), "distance of each k-point along the path, with 2π [p]", "1/Å"),
    _field("band_shape", pa.list_(I32), "spins, k-points and bands [3]"),
    _field("band_energies", pa.list_(F64), "from the highest occupied state or a metal's Fermi level [s·p·b]", "eV"),
    _field("band_ticks", pa.list_(F64), "distance of each labelled point", "1/Å"),
    _field("band_labels", pa.list_(STR), "its label; both names where the path jumps"),
    _field("dos_energies", pa.list_(F64), "from the same zero as the bands [e]", "eV"),
    _field("dos", pa.list_(F64), "density of states of each spin, flattened [s·e]", "1/eV"),
    _field("dos_elements", pa.list_(STR), "elements that it is projected on [k]"),
    _field("dos_projected", pa.list_(F64), "its part in the atoms' spheres of each element, flattened [k·s·e]", "1/eV"),
    _field("engine", STR, "engine and release"),
    _field("calculation", STR, "its folder in the store of calculations"),
)
DFT_INPUTS = pa.schema(
    [
        _field("candidate_id", STR, "as in candidates"),
        _field("code", STR, "DFT code"),
        _field("task", STR, "relax or phonon"),
        _field("status", STR, "prepared; kept: the folder holds results of other inputs; or why there are none"),
        _field("inputs", STR, "digest of the inputs of this run, also where others are kept"),
        _field("path", STR, "folder under results/"),
    ]
)
DFT_RESULTS = pa.schema(
    [
        _field("candidate_id", STR, "as in candidates"),
        _field("code", STR, "DFT code"),
        _field("task", STR, "relax"),
        _field("status", STR, "converged, not converged, running or failed, and why"),
        _field("current", BOOL, "whether the folder's inputs are those of this run; else of an earlier one"),
        _field("n_steps", I32, "ionic steps"),
        _field("fmax", F64, "largest force on an atom at the end", "eV/Å"),
        _field("run_type", STR, "functional, as pymatgen names it"),
        _field("formula", STR, "reduced formula"),
        _field("energy_per_atom", F64, "by DFT, uncorrected", "eV/atom"),
        _field("formation_energy_per_atom", F64, "by DFT, corrected (MP2020), against MP's elements", "eV/atom"),
        _field("volume_per_atom", F64, "by DFT", "Å³"),
        _field("spacegroup", I16, "International Tables number after relaxation by DFT"),
        _field("potential", STR, "potential that the survivor comes from; null where the inputs are not current"),
        _field("potential_formation_energy_per_atom", F64, "by the potential, corrected", "eV/atom"),
        _field("potential_volume_per_atom", F64, "by the potential", "Å³"),
        _field("potential_spacegroup", I16, "International Tables number after relaxation by the potential"),
        _field("formation_energy_difference", F64, "DFT less potential", "eV/atom"),
        _field("volume_ratio", F64, "DFT over potential"),
        _field("path", STR, "folder under results/"),
    ]
)

# ------------------------------------------------------------------------------------------- convergence

CONVERGENCE_CRYSTALS = pa.schema(
    [
        _field("composition", STR, "formula that the crystal was made for; of a known phase, its own"),
        _field("arm", STR, "generated: a filled template; random: PyXtal's crystal beside it; or known phase"),
        _field("crystal_id", STR, "template_id and elements of the filled template; material_id of a known phase"),
        _field("n_atoms", I32, "atoms in the conventional cell; of a known phase, in its cell"),
        _field("spacegroup_before", I16, "International Tables number before relaxation"),
        _field("spacegroup", I16, "International Tables number after it"),
        _field("formation_energy_per_atom", F64, "by the potential, corrected", "eV/atom"),
        _field("n_steps", I32, "steps of the optimiser"),
        _field("fmax", F64, "largest force on an atom at the end", "eV/Å"),
        _field("volume_ratio", F64, "volume after over volume before"),
        _field("status", STR, "ok: converged and sound; or why it is not"),
    ]
)
CONVERGENCE = pa.schema(
    [
        _field("n_elements", I16, "elements of the compositions"),
        _field("arm", STR, "generated or random"),
        _field("min_atoms", I32, "least atoms in the conventional cell"),
        _field("max_atoms", I32, "most atoms in the conventional cell"),
        _field("n", I32, "crystals"),
        _field("converged", I32, "crystals that converged"),
        _field("share", F64, "their share"),
        _field("share_low", F64, "lower end of its 95 % interval (Wilson's)"),
        _field("share_high", F64, "upper end of its 95 % interval"),
        _field("median_above", F64, "median energy of those that converged, from what the next column says", "eV/atom"),
        _field("above", STR, "hull: of known phases; lowest crystal: of the composition in either arm"),
    ]
)


# ---------------------------------------------------------------------------------- reading and writing


def to_table(rows: Iterable[dict[str, Any]] | dict[str, Any] | pa.Table, schema: pa.Schema) -> pa.Table:
    """Rows (dicts), columns (a dict of sequences) or a table, as a table of exactly this schema.

    Columns beyond the schema are dropped; a missing one is filled with null.
    """
    if isinstance(rows, pa.Table):
        columns = {name: rows[name] for name in rows.column_names}
        n = rows.num_rows
    elif isinstance(rows, dict):
        columns, n = rows, len(next(iter(rows.values())))
    else:
        return pa.Table.from_pylist(list(rows), schema=schema)
    arrays = []
    for f in schema:
        column = columns.get(f.name)
        if column is None:
            arrays.append(pa.nulls(n, f.type))
        elif isinstance(column, (pa.ChunkedArray, pa.Array)):
            arrays.append(column.cast(f.type))
        else:
            arrays.append(pa.array(column, type=f.type))
    return pa.Table.from_arrays(arrays, schema=schema)


class Writer:
    """Write a table in batches, in constant memory; the file appears only when all is written.

    >>> with Writer("results/data/asu.parquet", ASU, Provenance()) as out:  # doctest: +SKIP
    ...     out.write(rows)
    """

    def __init__(self, path: str | Path, schema: pa.Schema, made_from: Provenance) -> None:
        self.schema = schema
        self.rows = 0
        self._path = path
        self._metadata = made_from.metadata()

    def __enter__(self) -> "Writer":
        with ExitStack() as stack:
            temporary = stack.enter_context(replacing(self._path))
            schema = self.schema.with_metadata(self._metadata)
            self._writer = stack.enter_context(pq.ParquetWriter(temporary, schema, compression="zstd"))
            self._open = stack.pop_all()
        return self

    def write(self, rows: Iterable[dict[str, Any]] | dict[str, Any] | pa.Table) -> None:
        """Append rows, in any form that :func:`to_table` takes."""
        table = to_table(rows, self.schema)
        if table.num_rows:
            self._writer.write_table(table.replace_schema_metadata(self._metadata))
            self.rows += table.num_rows

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)


def write(
    path: str | Path,
    rows: Iterable[dict[str, Any]] | dict[str, Any] | pa.Table,
    schema: pa.Schema,
    made_from: Provenance,
) -> None:
    """Write a whole table at once; see :func:`to_table` for the forms of ``rows``."""
    with Writer(path, schema, made_from) as out:
        out.write(rows)


def read(path: str | Path, schema: pa.Schema, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a table of this schema.

    :param columns: names to read; all of them by default.
    :raises InputError: if the file is missing, is not Parquet, or lacks columns of the schema.
    """
    _check(path, schema)
    return pq.read_table(path, columns=list(columns) if columns else schema.names)


def read_batches(
    path: str | Path, schema: pa.Schema, rows: int = 4096, columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """Read a table in batches of at most ``rows`` rows; see :func:`read`."""
    _check(path, schema)
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=rows, columns=list(columns) if columns else schema.names):
            yield pa.Table.from_batches([batch])


def shard_of(table: pa.Table, shard: int, shards: int) -> pa.Table:
    """The consecutive rows that one of ``shards`` equal parts of a table holds; part 0 is the first."""
    start, stop = (table.num_rows * i // shards for i in (shard, shard + 1))
    return table.slice(start, stop - start)


def dealt_to(table: pa.Table, shard: int, shards: int) -> pa.Table:
    """The rows that one of ``shards`` parts gets if they are dealt out one by one: of rows best first, each has as many
    good ones.
    """
    return table.take(pa.array(range(shard, table.num_rows, shards), pa.int64()))


def count(path: str | Path) -> int:
    """Number of rows, from the file's footer."""
    return int(pq.read_metadata(path).num_rows)


def _check(path: str | Path, schema: pa.Schema) -> None:
    try:
        found = pq.read_schema(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path}: not a readable Parquet file ({error}); delete it and rerun its rule") from None
    if missing := [name for name in schema.names if name not in found.names]:
        raise InputError(f"{path}: lacks the columns {', '.join(missing)}; delete it and rerun its rule")
