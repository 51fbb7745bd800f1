"""Can the chemistry of a configuration be searched at all? Asked before anything runs, of what the run is made of.

The potentials must have learnt the elements, the hull must reach them, their volumes must be known, their charges must
balance where that is asked for, and the generator must draw templates with a site for each.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Composition

from cgwgan_core.crystallography import spacegroups as sg
from cgwgan_core.crystallography.composition import ratio_of, reduced
from cgwgan_core.generator.scope import SHIPPED, Scope, scope_of
from cgwgan_core.potentials.facts import M3GNET_FILES, OWN_SCALES, scale_of, trained_on
from cgwgan_core.potentials.roles import JUDGE, VARIABLE, assign
from cgwgan_core.screening.assignments import ways
from cgwgan_core.screening.charges import can_balance
from cgwgan_core.screening.infill import MOST_WAYS, element_volumes
from cgwgan_core.screening.references import FILES, references
from cgwgan_core.workflow.errors import InputError


def impossible(config: Mapping[str, Any], folder: str | None) -> list[str]:
    """Why no candidate of a configuration can be searched for, one line each; empty where all is well.

    :param config: a configuration without :func:`~cgwgan_core.workflow.config.problems`.
    :param folder: of an M3GNet potential, by the environment.
    """
    found: list[str] = []
    for check in (_of_potentials, _of_volumes, _of_charges, _of_generator):
        try:
            found += check(config, folder)
        except InputError as error:
            found.append(str(error))
    return found


def _of_potentials(config: Mapping[str, Any], folder: str | None) -> Iterator[str]:
    """Elements that a potential never met, or whose energies would have no zero."""
    chemistry = config["chemistry"]
    for role, assigned in assign(config, folder).items():
        if assigned is None:
            continue
        name, path = assigned.options["name"], assigned.options["path"]
        where = f"${VARIABLE}" if path == folder and folder else f"{role}.path"
        yield from _of_m3gnet(assigned.options, role, where)
        try:
            learnt = trained_on(name, path)
        except InputError as error:
            yield f"{where}: {error}"
            continue
        if learnt is not None and (strange := [e for e in chemistry if e not in learnt]):
            without = "" if role == JUDGE else f", or set {role} to null"
            yield (
                f"chemistry: {name} ({role}) was not trained on {', '.join(strange)}; name a potential that was"
                f" (docs/POTENTIALS.md){without}"
            )
        own, stated = scale_of(name, path, None), assigned.options["energy_scale"]
        if name in OWN_SCALES and stated not in (None, own):
            yield f"{role}.energy_scale: energies of {name} are on the scale {own}; write null"
        if assigned.options["compile"] and name != "m3gnet":
            yield f"{role}.compile: is for m3gnet, not for {name}; write false"
        scale = scale_of(name, path, stated)
        if scale in FILES and (missing := [e for e in chemistry if e not in references(scale)]):
            others = [other for other in FILES if set(missing) <= references(other).keys()]
            remedy = f"a {role} of the scale {others[0]} has some" if others else "leave them out of chemistry"
            yield (
                f"chemistry: there is no reference energy of {', '.join(missing)} on the scale {scale} of {name}"
                f" ({role}); {remedy}"
            )


def _of_m3gnet(options: Mapping[str, Any], role: str, where: str) -> Iterator[str]:
    """What the folder of an M3GNet lacks.

    :param where: what names the folder.
    """
    if options["name"] != "m3gnet":
        return
    folder = Path(options["path"] or "")
    if where.startswith("$") and not folder.is_dir():
        yield f"{where}: {folder} is no folder; correct it, or unset it"
    elif lacking := [name for name in M3GNET_FILES if not (folder / name).is_file()]:
        yield f"{where}: {folder} is no M3GNet, it lacks {', '.join(lacking)}; name a folder with these"
    elif scale_of("m3gnet", str(folder), options["energy_scale"]) is None:
        yield f"{role}.energy_scale: missing; the name {folder.name} does not tell it"


def _of_volumes(config: Mapping[str, Any], _: str | None) -> Iterator[str]:
    """Elements whose volume in a crystal is not known."""
    chemistry = config["chemistry"]
    known = element_volumes(not {"O", "F"}.isdisjoint(chemistry))
    if config["infill"]["volume"] == "elements" and (missing := [e for e in chemistry if e not in known]):
        yield (
            f"chemistry: no volume is known for {', '.join(missing)}; set infill.volume to template to keep the"
            " templates' own"
        )


def _of_charges(config: Mapping[str, Any], _: str | None) -> Iterator[str]:
    """Elements of which none takes electrons from another, where charges must balance."""
    infill, chemistry = config["infill"], config["chemistry"]
    if infill["charge"] == "require" and not can_balance(chemistry, infill["oxidation_states"]):
        yield f"infill.charge: no oxidation states of {', '.join(chemistry)} balance; write tag"


def _of_generator(config: Mapping[str, Any], _: str | None) -> Iterator[str]:
    """Sites, space groups and formulas that the run's generator has no template for."""
    scope, drawn = _scope(config), config["templates"]
    own = config["model"]["init"] == "scratch"
    name = {"scratch": "the training", "pretrained": "the shipped generator"}.get(
        config["model"]["init"], config["model"]["init"]
    )
    made = " or ".join(map(str, scope.n_sites))
    if len(scope.n_sites) > 2 and scope.n_sites == tuple(range(scope.n_sites[0], scope.n_sites[-1] + 1)):
        made = f"{scope.n_sites[0]} to {scope.n_sites[-1]}"
    widen = (
        "add larger numbers to training.n_sites"
        if own
        else "name fewer, or take the flow of 1 to 8 sites: --configfile configs/wide.yaml"
        if scope.kind == "wgan"
        else "name fewer, or train one of your own: --configfile configs/train-wide.yaml, with larger numbers in"
        " training.n_sites"
    )
    if scope.kind != config["model"]["kind"]:
        yield f"model.kind: {config['model']['kind']} does not fit {name}; write {scope.kind}"
    kept = [n for n in scope.n_sites if drawn["n_sites"] is None or n in drawn["n_sites"]]
    if not kept:
        yield f"templates.n_sites: {name} has templates of {made} sites alone; name some of these, or null"
    elif len(config["chemistry"]) > max(scope.n_sites):
        yield f"chemistry: {len(config['chemistry'])} elements do not fit on the {made} sites of {name}; {widen}"
    elif len(config["chemistry"]) > max(kept):
        yield (
            f"templates.n_sites: {len(config['chemistry'])} elements do not fit on at most {max(kept)} sites; add "
            f"{max(scope.n_sites)}"
        )
    elif ways(max(kept), len(config["chemistry"]), len(config["chemistry"])) > MOST_WAYS:
        yield (
            f"templates.n_sites: {max(kept)} sites take {len(config['chemistry'])} elements in over {MOST_WAYS:,} ways;"
            " name smaller numbers"
        )
    else:
        within = Scope(tuple(kept), _groups(drawn["spacegroups"], scope))
        wrong = list(_of_formulas(config, within)) if config["infill"]["formulas"] else []
        yield from wrong or _of_ratios(config, within)
    if drawn["energy_above_hull"] is not None and not config["model"]["max_steps"] and not scope.energies:
        yield f"templates.energy_above_hull: {name} has learnt no energies above the hull; write null, or train one"
    if drawn["spacegroups"] is not None and not _groups(drawn["spacegroups"], scope):
        yield (
            "templates.spacegroups: the encoder continuous takes no space groups; write null"
            if scope.groups is None
            else f"templates.spacegroups: {name} has none of these; name others, or null"
        )


def _scope(config: Mapping[str, Any]) -> Scope:
    """What the run's generator will be able to draw, as far as it is known before."""
    init = config["model"]["init"]
    if init != "scratch":
        return scope_of(SHIPPED[config["model"]["kind"]] if init == "pretrained" else init)
    conditional = config["model"]["kind"] == "flow" or config["model"]["encoder"] != "continuous"
    groups = frozenset(range(config["training"]["min_spacegroup"], 231))
    sites = tuple(sorted(config["training"]["n_sites"]))
    return Scope(sites, groups if conditional else None, config["model"]["kind"])


def _groups(wanted: Sequence[int | str] | None, scope: Scope) -> frozenset[int] | None:
    """Those of the generator's space groups that are asked for; ``None``: any."""
    if wanted is None:
        return scope.groups
    return frozenset(sg.numbers_of(wanted)) & (scope.groups or frozenset())


def _of_formulas(config: Mapping[str, Any], scope: Scope) -> Iterator[str]:
    """Formulas whose atoms no sites of a space group can hold."""
    most = config["templates"]["max_atoms"]
    for formula in config["infill"]["formulas"]:
        try:
            composition = Composition(formula)
        except ValueError:
            composition = Composition()
        if not composition or any(n % 1 for n in composition.values()):
            yield f"infill.formulas: {formula!r} is no formula of whole atoms; write one such as BaRuO3"
            continue
        if {e.symbol for e in composition.elements} != set(config["chemistry"]):
            yield (
                f"infill.formulas: {formula} does not hold the elements of chemistry, "
                f"{', '.join(config['chemistry'])}, and no others; change one of the two"
            )
        elif not fits([round(n) for n in composition.reduced_composition.values()], scope, most):
            yield (
                f"infill.formulas: {formula} fits on no {' or '.join(map(str, scope.n_sites))} sites of a space group"
                f" with at most {most} atoms; name another formula, or raise templates.max_atoms"
            )


def _of_ratios(config: Mapping[str, Any], scope: Scope) -> Iterator[str]:
    """Anonymous formulas that no sites of a space group can hold, or that are none of the candidates'.

    :param config: its ``infill.formulas`` are right.
    """
    ratios, most = config["templates"]["formulas"] or [], config["templates"]["max_atoms"]
    for formula in ratios:
        if not fits(ratio_of(formula), scope, most):
            yield (
                f"templates.formulas: {formula} fits on no {' or '.join(map(str, scope.n_sites))} sites of a space"
                f" group with at most {most} atoms; name another formula, or raise templates.max_atoms"
            )
    formulas = config["infill"]["formulas"] or []
    amounts = {reduced([round(n) for n in Composition(formula).values()]) for formula in formulas}
    if ratios and formulas and amounts.isdisjoint(map(ratio_of, ratios)):
        yield (
            f"templates.formulas: none of infill.formulas, {', '.join(formulas)}, is {' or '.join(ratios)}; write null"
            " for one of the two"
        )


def fits(amounts: Sequence[int], scope: Scope, most: int) -> bool:
    """Whether a template can hold a formula: so many atoms of each element, or the same multiple of all.

    :param most: atoms in the conventional cell.
    """
    whole = reduced(amounts)
    offers = {_offered(number) for number in (scope.groups or range(1, 231))}
    for multiple in range(1, most // sum(whole) + 1):
        totals = tuple(sorted((multiple * n for n in whole), reverse=True))
        if any(_fill(totals, offer, n) for offer in offers for n in scope.n_sites):
            return True
    return False


@cache
def _offered(number: int) -> tuple[tuple[int, int], ...]:
    """Multiplicities of a group's sites, and how many sites of each there can be; without freedom, one of a letter."""
    found: dict[int, int] = {}
    for letter in np.flatnonzero(sg.MULTIPLICITY[number]):
        multiplicity = int(sg.MULTIPLICITY[number, letter])
        found[multiplicity] = found.get(multiplicity, 0) + (99 if sg.N_FREE[number, letter] else 1)
    return tuple((multiplicity, min(several, 12)) for multiplicity, several in sorted(found.items(), reverse=True))


@cache
def _fill(totals: tuple[int, ...], offer: tuple[tuple[int, int], ...], n_sites: int) -> bool:
    """Whether exactly so many sites can be shared out so that each element has its total of atoms.

    :param totals: that are still missing.
    """
    if not totals:
        return n_sites == 0
    if len(totals) > n_sites:
        return False
    first, *others = totals
    for i, (multiplicity, several) in enumerate(offer):
        if multiplicity > first or not several:
            continue
        left = (*offer[:i], (multiplicity, several - 1), *offer[i + 1 :])
        rest = (first - multiplicity, *others) if multiplicity < first else tuple(others)
        if _fill(rest, left, n_sites - 1):
            return True
    return False
