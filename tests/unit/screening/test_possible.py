"""What makes a search impossible is told before it starts, with what to do."""

import json
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cgwgan_core.crystallography import spacegroups as sg
from cgwgan_core.generator.scope import Scope
from cgwgan_core.screening.possible import fits, impossible
from tests.support.training import fit

CONFIG = yaml.safe_load((Path(__file__).parents[3] / "config.yaml").read_text())
CONFIG |= {"chemistry": ["Ba", "Ru", "O"], "infill": CONFIG["infill"] | {"charge": "tag"}}


def told(folder: str | None = None, **changes: Any) -> list[str]:
    config = CONFIG | {key: CONFIG[key] | new if isinstance(new, dict) else new for key, new in changes.items()}
    return impossible(config, folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"chemistry": ["Po", "O"]},
            "chemistry: sevennet-l3i5 (potential) was not trained on Po; name a potential that",
        ),
        ({"chemistry": ["Po", "O"]}, "chgnet (second_potential) was not trained on Po; name a potential that was"),
        ({"chemistry": ["Po", "O"]}, "or set second_potential to null"),
        ({"chemistry": ["Po", "O"]}, "no reference energy of Po on the scale mp_uncorrected of sevennet-l3i5"),
        ({"chemistry": ["Am", "O"]}, "was not trained on Am"),
        (
            {"chemistry": ["Yb", "O"]},
            "reference energy of Yb on the scale mp_uncorrected of sevennet-l3i5 (potential);",
        ),
        ({"chemistry": ["Yb", "O"]}, "a potential of the scale matpes has some"),
        ({"chemistry": ["He", "O"]}, "no volume is known for He; set infill.volume to template"),
        ({"chemistry": ["Ba", "Sr", "Ru", "Ti", "O"]}, "5 elements do not fit on the 3 or 4 sites of the shipped"),
        (
            {"chemistry": ["Ba", "Sr", "Ru", "Ti", "O"]},
            "take the flow of 1 to 8 sites: --configfile configs/wide.yaml",
        ),
        (
            {"chemistry": ["Al", "Ni", "Zr"], "infill": {"charge": "require"}},
            "infill.charge: no oxidation states of Al, Ni, Zr balance; write tag",
        ),
        ({"templates": {"n_sites": [5, 6]}}, "templates.n_sites: the shipped generator has templates of 3 or 4 sites"),
        (
            {"templates": {"n_sites": [3]}, "chemistry": ["Ba", "Sr", "Ru", "O"]},
            "templates.n_sites: 4 elements do not fit on at most 3 sites; add 4",
        ),
        ({"templates": {"spacegroups": [1]}}, "templates.spacegroups: the shipped generator has none of these"),
        ({"infill": {"formulas": ["BaRuO97"]}}, "infill.formulas: BaRuO97 fits on no 3 or 4 sites of a space group"),
        ({"infill": {"formulas": ["BaO"]}}, "infill.formulas: BaO does not hold the elements of chemistry"),
        ({"infill": {"formulas": ["Ba-Ru"]}}, "infill.formulas: 'Ba-Ru' is no formula"),
        ({"infill": {"formulas": ["Ba1.5RuO4"]}}, "infill.formulas: 'Ba1.5RuO4' is no formula of whole atoms"),
        ({"templates": {"formulas": ["ABX97"]}}, "templates.formulas: ABX97 fits on no 3 or 4 sites of a space group"),
        (
            {"infill": {"formulas": ["BaRuO3"]}, "templates": {"formulas": ["AB2X4"]}},
            "templates.formulas: none of infill.formulas, BaRuO3, is AB2X4; write null for one of the two",
        ),
        (
            {"templates": {"energy_above_hull": 0.1}},
            "templates.energy_above_hull: the shipped generator has learnt no energies above the hull; write null",
        ),
        (
            {"second_potential": CONFIG["second_potential"] | {"energy_scale": "matpes"}},
            "second_potential.energy_scale: energies of chgnet are on the scale mp_corrected; write null",
        ),
        (
            {"second_potential": CONFIG["second_potential"] | {"compile": True}},
            "second_potential.compile: is for m3gnet, not for chgnet; write false",
        ),
        ({"model": {"init": "pyproject.toml"}}, "model.init: pyproject.toml is no checkpoint of this program"),
        (
            {"model": {"init": "scratch", "max_steps": 9}, "chemistry": ["Ba", "Sr", "Ru", "Ti", "O"]},
            "5 elements do not fit on the 3 or 4 sites of the training; add larger numbers to training.n_sites",
        ),
    ],
)
def test_each_is_told_with_a_remedy(changes: dict[str, Any], message: str) -> None:
    found = told(**changes)
    assert any(message in line for line in found), found


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"chemistry": ["Xe", "F"], "infill": {"formulas": ["Xe7F"]}},
        {"infill": {"formulas": ["BaRuO3", "Ba2RuO4"]}},
        {"infill": {"formulas": ["BaRuO3", "Ba2RuO4"]}, "templates": {"formulas": ["X3AB"]}},
        {"model": {"kind": "flow"}, "templates": {"energy_above_hull": 0.0, "n_sites": [3]}},
        {"chemistry": ["He", "O"], "infill": {"volume": "template"}},
        {
            "chemistry": ["Ba", "Sr", "Ru", "Ti", "O"],
            "model": {"init": "scratch", "max_steps": 9},
            "training": {"n_sites": [3, 4, 5]},
        },
        {"chemistry": ["Po", "O"], "infill": {"volume": "template"}, "second_potential": None,
         "screening_potential": None, "potential": {"name": "mine:make", "energy_scale": None}},
    ],
)  # fmt: skip
def test_what_is_possible_is_let_through(changes: dict[str, Any]) -> None:
    assert told(**changes) == []


def test_an_own_checkpoint_has_its_own_sites(tmp_path: Path) -> None:
    fit(tmp_path, steps=1)
    own = {"model": {"init": str(tmp_path / "generator.ckpt")}}
    assert told(**own) == []
    (line,) = told(**own, chemistry=["Ba", "Sr", "Ru", "O"])
    assert "4 elements do not fit on the 3 sites of" in line
    (line,) = told(**own, templates={"spacegroups": ["cubic"]})
    assert line.startswith("templates.spacegroups:")


def test_a_checkpoint_of_another_kind_is_told(tmp_path: Path) -> None:
    fit(tmp_path, steps=1, kind="flow", flow={"width": 8, "layers": 1, "steps": 1})
    own = {"init": str(tmp_path / "generator.ckpt")}
    (line,) = told(model=own)
    assert line == f"model.kind: wgan does not fit {own['init']}; write flow"
    assert told(model=own | {"kind": "flow"}) == []


def test_the_flow_of_the_package_has_more_sites() -> None:
    elements = ["Ba", "Sr", "Ca", "Ru", "O"]
    (line,) = told(chemistry=elements)
    assert "5 elements do not fit on the 3 or 4 sites of the shipped generator; name fewer, or take the flow" in line
    assert told(chemistry=elements, model={"kind": "flow"}) == []


def test_weights_named_by_the_environment_are_looked_at(tmp_path: Path) -> None:
    assert told(str(tmp_path / "no"))[0] == f"$CGWGAN_POTENTIAL: {tmp_path}/no is no folder; correct it, or unset it"
    weights = tmp_path / "M3GNet-MP-2021.2.8-PES"
    weights.mkdir()
    (lacking, *_) = told(str(weights))
    assert lacking.startswith(f"$CGWGAN_POTENTIAL: {weights} is no M3GNet, it lacks model.json, model.pt, state.pt;")
    for name in ("model.pt", "state.pt"):
        (weights / name).touch()
    (weights / "model.json").write_text(json.dumps({"init_args": {"element_types": ["Ba", "O"]}}))
    (line,) = told(str(weights))
    assert line.startswith("chemistry: m3gnet (screening_potential) was not trained on Ru; name a potential that was")
    renamed = weights.rename(tmp_path / "mine")
    assert told(str(renamed))[0] == "screening_potential.energy_scale: missing; the name mine does not tell it"


def test_weights_of_another_potential_are_told_under_their_role(tmp_path: Path) -> None:
    file, folder = tmp_path / "a.nqx", tmp_path / "M3GNet-MP-2021.2.8-PES"
    file.write_text('{"atomic_numbers": [8, 44, 56]}\n')
    folder.mkdir()
    named = {"energy_scale": None, "compile": False}
    swapped = {
        "screening_potential": {"name": "m3gnet", "path": str(file), **named},
        "second_potential": {"name": "nequix", "path": str(folder), **named},
    }
    found = told(**swapped)  # of both, at once
    assert f"screening_potential.path: {file} is no M3GNet, it lacks model.json, model.pt, state.pt; name a" in found[0]
    assert f"second_potential.path: {folder} is a folder that holds no weights of nequix; name others" in found
    swapped["second_potential"]["path"] = str(file)
    assert not [line for line in told(**swapped) if line.startswith("second_potential")]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=3), st.sampled_from([2, 47, 62, 166, 194, 221, 227]))
def test_fits_is_what_trying_all_sites_finds(amounts: list[int], number: int) -> None:
    most, letters = 24, [int(i) for i in np.flatnonzero(sg.MULTIPLICITY[number])]

    def possible() -> bool:
        for chosen in product(letters, repeat=3):
            if any(n > 1 and not sg.N_FREE[number, letter] for letter, n in Counter(chosen).items()):
                continue
            for owners in product(range(len(amounts)), repeat=3):
                totals = [0] * len(amounts)
                for letter, owner in zip(chosen, owners, strict=True):
                    totals[owner] += int(sg.MULTIPLICITY[number, letter])
                ratio = {total / amount for total, amount in zip(totals, amounts, strict=True)}
                if sum(totals) <= most and len(ratio) == 1:
                    return True
        return False

    assert fits(amounts, Scope((3,), frozenset([number])), most) == possible()
