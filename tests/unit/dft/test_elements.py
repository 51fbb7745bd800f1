"""Elements without a potential for DFT are told before anything runs."""

from pathlib import Path

import pytest
import yaml

from cgwgan_core.dft.elements import potcars, unserved
from cgwgan_core.dft.vasp_presets import PRESETS

CONFIG = yaml.safe_load((Path(__file__).parents[3] / "config.yaml").read_text())


@pytest.mark.parametrize("preset", PRESETS)
def test_the_sets_are_pymatgens(preset: str) -> None:
    assert potcars(preset) == PRESETS[preset].potentials.keys()


def test_a_set_without_an_element_is_told_with_one_that_has_it() -> None:
    assert unserved(CONFIG) == []
    assert unserved(CONFIG | {"chemistry": ["Po", "O"]}) == ["vasp.preset: mp has no potential for Po; write mp_r2scan"]
    assert unserved(CONFIG | {"chemistry": ["Md"]}) == [
        "vasp.preset: mp has no potential for Md; leave them out of chemistry"
    ]


def test_a_folder_of_pseudopotentials_without_an_element_is_told(tmp_path: Path) -> None:
    dft = CONFIG["dft"] | {"engine": "espresso", "pseudopotentials": str(tmp_path)}
    found = unserved(CONFIG | {"dft": dft, "chemistry": ["Mg", "O"]})
    assert found == [f"dft.pseudopotentials: {tmp_path}: no UPF file for {e}; put one there" for e in ("Mg", "O")]
