"""How many crystals enter each stage of a run, how many stay, and why the others leave.

All numbers are counted from the files of the run, and each stage is checked against the one before it: what
enters is what the last stage kept, and what enters is kept or refused. A sum that fails is a defect of the
program, never of the input, and stops the report.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import dropwhile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cgwgan_core.dft.crystals import CANDIDATE
from cgwgan_core.dft.hull import NEAR
from cgwgan_core.phonons.phonons import PASSING
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.files import write_json
from cgwgan_core.workflow.provenance import Provenance
from cgwgan_core.workflow.refusals import KNOWN, OK, REPEATED, category, tally

NEW, CHOSEN = "new", "chosen"
"""What became of a relaxed crystal that is neither known nor a repeat: its phonons are computed, or not."""
IMAGINARY = "imaginary frequencies"


class CountError(Exception):
    """The counts of a run do not add up: rows were lost or counted twice between two stages."""


@dataclass(frozen=True)
class Stage:
    """One stage of a run and what became of the things that entered it."""

    key: str
    """Short name, as in the files."""
    name: str
    """What the things kept are, in plain words."""
    count_in: int
    """Things that entered."""
    kept: int
    """Things that went on."""
    refused: dict[str, int]
    """Reason -> number refused for it, the most frequent first."""
    follows: str | tuple[str, ...] | None = None
    """Key or keys of the stages whose kept things enter this one; ``None`` where something new is made."""

    def check(self) -> None:
        """:raises CountError: if kept and refused do not make up what entered."""
        refused = sum(self.refused.values())
        if self.count_in != self.kept + refused:
            raise CountError(f"{self.key}: {self.count_in} entered; {self.kept} kept + {refused} refused")


@dataclass(frozen=True)
class Funnel:
    """All stages of a run in order."""

    stages: tuple[Stage, ...]

    def __getitem__(self, key: str) -> Stage:
        return next(stage for stage in self.stages if stage.key == key)

    @property
    def end(self) -> Stage | None:
        """The first stage from the templates on that kept nothing; ``None`` where each kept something."""
        drawn = dropwhile(lambda stage: stage.key != "templates", self.stages)
        return next((stage for stage in drawn if not stage.kept), None)

    def check(self) -> None:
        """:raises CountError: if a stage, or the passage from one stage to the next, does not add up."""
        for stage in self.stages:
            stage.check()
            before = (stage.follows,) if isinstance(stage.follows, str) else stage.follows or ()
            kept = sum(self[key].kept for key in before)
            if before and kept != stage.count_in:
                raise CountError(f"{stage.key}: {stage.count_in} entered, but {' and '.join(before)} kept {kept}")

    def write(self, path: str | Path, files: "RunFiles", made_from: Provenance) -> None:
        """Write the stages, the files that they were counted from, and their provenance as JSON."""
        content = {
            "stages": [asdict(stage) for stage in self.stages],
            "files": files.seen_from(Path(path).parent),
            "made_from": made_from.metadata(),
        }
        write_json(path, content)


SEVERAL = (
    "candidates", "candidate_counts", "screening_potential", "second_potential", "screened", "promoted",
    "promotion_counts", "evaluated", "relaxed", "phonons", "second_phonons", "dft_crystals", "dft", "dft_next",
    "dft_counts",
)  # fmt: skip
"""Fields of :class:`RunFiles` that hold any number of files."""


@dataclass(frozen=True)
class RunFiles:
    """The files of a run that its counts and its report are made from; lists are shards in order."""

    structures: str
    """``data/structures.parquet``"""
    refused: str
    """``data/refused.parquet``, of all data stages"""
    asu: str
    """``data/asu.parquet``"""
    training: str
    """``data/training.parquet``"""
    training_curve: str
    """``model/training.csv``"""
    quality: str
    """``quality.json``"""
    templates: str
    """``templates.parquet``"""
    template_counts: str
    """``template_counts.json``"""
    known_phases: str
    """``known_phases.parquet``"""
    candidates: Sequence[str]
    """``candidates/*.parquet``"""
    candidate_counts: Sequence[str]
    """``candidates/*.json``"""
    potential: str
    """``potential.json``"""
    screening_potential: Sequence[str]
    """``screening_potential.json``; none where the judge screens"""
    second_potential: Sequence[str]
    """``second_potential.json``; none where there is one judge"""
    screened: Sequence[str]
    """``screened/*.parquet``"""
    promoted: Sequence[str]
    """``promoted/*.parquet``; none where the judge screens, as the next two"""
    promotion_counts: Sequence[str]
    """``promoted.json``"""
    evaluated: Sequence[str]
    """``evaluated/*.parquet``"""
    ranked: str
    """``ranked.parquet``"""
    ranking_counts: str
    """``ranking_counts.json``"""
    relaxed: Sequence[str]
    """``relaxed/*.parquet``"""
    compared: str
    """``compared.parquet``"""
    phonons: Sequence[str]
    """``phonons/*.parquet``"""
    second_phonons: Sequence[str]
    """``second_phonons/*.parquet``; none where there is one judge"""
    stable: str
    """``stable.parquet``"""
    stable_refused: str
    """``stable_refused.parquet``"""
    cifs: str
    """``cif``, the folder of the survivors' CIF files"""
    dft_crystals: Sequence[str]
    """``dft_crystals.parquet``; none where DFT is no part of the run, as the next three"""
    dft: Sequence[str]
    """``dft.parquet``"""
    dft_next: Sequence[str]
    """``dft_next.parquet``"""
    dft_counts: Sequence[str]
    """``dft.json``"""

    def __post_init__(self) -> None:
        for name in SEVERAL:
            shards = getattr(self, name)
            object.__setattr__(self, name, (shards,) if isinstance(shards, str) else tuple(shards))

    def seen_from(self, folder: Path) -> dict[str, str | list[str]]:
        """The paths of each field, relative to a folder."""

        def seen(path: str) -> str:
            return Path(os.path.relpath(path, folder)).as_posix()

        return {
            name: seen(paths) if isinstance(paths, str) else [seen(path) for path in paths]
            for name, paths in vars(self).items()
        }


def collect(files: RunFiles) -> Funnel:
    """Count a whole run from its files.

    :raises CountError: if the counts do not add up, within a stage or between two files.
    :raises InputError: if a file is missing or is not what its name says.
    """
    database = {stage: _refusals(files.refused, stage) for stage in ("read", "asu", "training")}
    n_refused, told = tables.count(files.refused), sum(counts.total() for counts in database.values())
    if n_refused != told:
        raise CountError(f"refused: {n_refused} rows, but {told} of the stages {', '.join(database)}")
    n_structures, n_asu, n_training = map(tables.count, (files.structures, files.asu, files.training))
    n_read = n_structures + database["read"].total()
    draws, ranking = _counts(files.template_counts), _counts(files.ranking_counts)
    # The ranking refuses what has no energy, but that is counted where the energies were computed.
    n_ranked = ranking["screened"] - ranking["refused"].pop("no energy", 0)
    filled = [_counts(path) for path in files.candidate_counts]
    assigned, n_candidates = (sum(shard[key] for shard in filled) for key in ("assigned", "kept"))
    unfit: Counter[str] = sum((Counter(shard["refused"]) for shard in filled), Counter())
    energies, judged = (_tally(shards, tables.SCREENED) for shards in (files.screened, files.evaluated))
    promotions = [_counts(path) for path in files.promotion_counts]
    relaxations = _tally(files.relaxed, tables.RELAXED)
    fates = _fates(files.compared)
    verdicts, children = _verdicts(files.phonons)
    repeated = _values(tables.read(files.stable_refused, tables.STABLE_REFUSED)["reason"])

    new, chosen = fates.pop(NEW, 0), fates.pop(CHOSEN, 0)
    over = Counter({"beyond the number asked for": new})
    n_followed = children.total()
    n_screened, n_judged, n_relaxed, n_pass, n_born = (
        counts.pop(OK, 0) for counts in (energies, judged, relaxations, verdicts, children)
    )
    n_stable = n_pass + n_born - repeated.total()
    # no stage for what is not asked for
    cascade = [
        stage
        for counts in promotions
        for stage in (
            _promotion(counts),
            Stage("evaluated", "with an energy by the judge", n_judged + judged.total(), n_judged, judged, "promoted"),
        )
    ]
    followed = [Stage("followed", "children along imaginary modes", n_followed, n_born, children)] if n_followed else []
    with_energy = "evaluated" if cascade else "screened"
    passed = ("phonons", "followed") if followed else "phonons"
    stages = (
        Stage("read", "crystals in the database", n_read, n_structures, database["read"]),
        Stage("asu", "with their symmetry found", n_structures, n_asu, database["asu"], "read"),
        Stage("training", "fit for training", n_asu, n_training, database["training"], "asu"),
        Stage("templates", "templates, valid and distinct", draws["sampled"], draws["kept"], draws["refused"]),
        Stage("candidates", "candidates: templates with elements", assigned, n_candidates, unfit),
        Stage("screened", "with an energy", n_screened + energies.total(), n_screened, energies, "candidates"),
        *cascade,
        Stage("ranked", "on the shortlist", n_ranked, ranking["kept"], ranking["refused"], with_energy),
        Stage("relaxed", "relaxed", n_relaxed + relaxations.total(), n_relaxed, relaxations, "ranked"),
        Stage("novel", "new and distinct", new + chosen + fates.total(), new + chosen, fates, "relaxed"),
        Stage("chosen", "chosen for phonons", new + chosen, chosen, over, "novel"),
        Stage("phonons", "stable or borderline", n_pass + verdicts.total(), n_pass, verdicts, "chosen"),
        *followed,
        Stage("stable", "stable or borderline, distinct", n_pass + n_born, n_stable, repeated, passed),
        *_dft(files.dft),
    )
    funnel = Funnel(tuple(replace(stage, refused=_sorted(stage.refused)) for stage in stages))
    # the known phases met on the way have their rank in the table too, but go no further
    shortlist = tables.read(files.ranked, tables.RANKED, ["known_match"])["known_match"].null_count
    rows = {
        "templates": tables.count(files.templates),
        "candidates": sum(map(tables.count, files.candidates)),
        **({"promoted": sum(map(tables.count, files.promoted))} if cascade else {}),
        "ranked": shortlist,
        "stable": tables.count(files.stable),
    }
    for key, found in rows.items():
        if found != funnel[key].kept:
            raise CountError(f"{key}: {funnel[key].kept} kept, but its table has {found} rows")
    _check_second(files)
    funnel.check()
    return funnel


def _promotion(counts: Mapping[str, Any]) -> Stage:
    # what has no energy is counted where the energies were computed
    refused = {reason: n for reason, n in counts["refused"].items() if reason != "no energy"}
    entered = counts["screened"] - counts["refused"]["no energy"]
    return Stage("promoted", "sent on to the judge", entered, counts["kept"], refused, "screened")


def _dft(paths: Sequence[str]) -> Iterator[Stage]:
    """The stages of DFT; none where it is no part of the run."""
    for path in paths:
        columns = ["kind", "energy_above_hull", "hull_status", "phonons", "verdict"]
        rows = [r for r in tables.read(path, tables.DFT, columns).to_pylist() if r["kind"] == CANDIDATE]
        placed = [row for row in rows if row["energy_above_hull"] is not None]
        without = tally(row["hull_status"] for row in rows if row["energy_above_hull"] is None)
        near = [row for row in placed if row["energy_above_hull"] <= NEAR]
        passing = [row for row in near if row["verdict"] in PASSING]
        others = tally(_without_phonons(row) for row in near if row["verdict"] not in PASSING)
        yield Stage("dft", "with a distance to the hull by DFT", len(rows), len(placed), without, "stable")
        high = {"higher above it": len(placed) - len(near)}
        yield Stage("dft_near", f"at most {NEAR} eV/atom above it", len(placed), len(near), high, "dft")
        if any(row["phonons"] is not None for row in near):
            yield Stage("dft_phonons", "with stable phonons by DFT", len(near), len(passing), others, "dft_near")


def _without_phonons(row: Mapping[str, Any]) -> str:
    if row["verdict"] is not None:
        return IMAGINARY
    return "phonons not asked for" if row["phonons"] is None else str(row["phonons"])


def _check_second(files: RunFiles) -> None:
    """:raises CountError: if the second judge was not asked about each crystal that the first has a verdict on."""
    judged = [tables.read(path, tables.PHONONS, ["verdict"])["verdict"] for path in files.phonons]
    verdicts = sum(len(column) - column.null_count for column in judged)
    if files.second_phonons and (found := sum(map(tables.count, files.second_phonons))) != verdicts:
        raise CountError(f"second_phonons: {verdicts} verdicts by the judge, but its table has {found} rows")


def _sorted(refused: Mapping[str, int]) -> dict[str, int]:
    return {reason: n for reason, n in sorted(refused.items(), key=lambda item: (-item[1], item[0])) if n}


def _refusals(refused: str | Path, stage: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for batch in tables.read_batches(refused, tables.REFUSED, rows=65536, columns=["stage", "reason"]):
        counts.update(_values(batch.filter(pc.equal(batch["stage"], stage))["reason"]))
    return counts


def _counts(path: str | Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not readable ({error}); delete it and rerun its rule") from None
    return found


def _tally(shards: Sequence[str | Path], schema: pa.Schema) -> Counter[str]:
    counts: Counter[str] = Counter()
    for path in shards:
        for batch in tables.read_batches(path, schema, rows=65536, columns=["status"]):
            counts.update(_values(batch["status"]))
    return counts


def _values(column: pa.ChunkedArray) -> Counter[str]:
    """Number of rows of each category of reason."""
    return tally({entry["values"]: entry["counts"] for entry in pc.value_counts(column).to_pylist()})


def _fates(compared: str | Path) -> Counter[str]:
    """What became of each relaxed crystal: chosen for phonons, new, known, or a repeat of a better one."""
    columns = ["status", "known_match", "duplicate_of", "phonon_rank"]
    fates: Counter[str] = Counter()
    for row in tables.read(compared, tables.COMPARED, columns).to_pylist():
        if row["status"] != OK:
            continue  # counted where it was relaxed
        if row["phonon_rank"] is not None:
            fates[CHOSEN] += 1
        elif row["known_match"] is not None:
            fates[KNOWN] += 1
        elif row["duplicate_of"] is not None:
            fates[REPEATED] += 1
        else:
            fates[NEW] += 1
    return fates


def _verdicts(phonons: Sequence[str | Path]) -> tuple[Counter[str], Counter[str]]:
    """Number of crystals, and of children, of each verdict; those that pass under ok."""
    crystals: Counter[str] = Counter()
    children: Counter[str] = Counter()
    names = {"stable": OK, "borderline": OK, "unstable": IMAGINARY, None: "no verdict"}
    for path in phonons:
        for row in tables.read(path, tables.PHONONS, ["verdict", "status", "parent_id"]).to_pylist():
            counts = crystals if row["parent_id"] is None else children
            counts[names[row["verdict"]] if row["status"] == OK else category(row["status"])] += 1
    return crystals, children
