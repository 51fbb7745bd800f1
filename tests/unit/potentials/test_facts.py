"""What is told of a potential before it is loaded is what it says itself."""

from pathlib import Path

import pytest
from ase.data import chemical_symbols

from cgwgan_core.potentials.facts import MPTRJ, scale_of, trained_on
from cgwgan_core.potentials.load import PotentialOptions, load
from cgwgan_core.workflow.errors import InputError
from tests.support.potentials import M3GNET, MATPES

EVERY = set(chemical_symbols[1:])


def test_mptrj_has_89_elements() -> None:
    assert len(MPTRJ) == 89
    assert MPTRJ.isdisjoint({"Po", "At", "Rn", "Fr", "Ra", "Am"})


@pytest.mark.parametrize("name", ["chgnet", "sevennet-0", "sevennet-l3i5"])
def test_included_potentials(name: str) -> None:
    potential = load(PotentialOptions(name))
    assert trained_on(name, None) == EVERY - potential.unknown(EVERY)
    assert scale_of(name, None, None) == potential.energy_scale


@pytest.mark.parametrize("weights", [M3GNET, MATPES, "nequix-oam-1-pft.nqx", "nequix-oam-1-pft.pt"])
def test_potentials_with_weights_of_their_own(shared_models: Path, weights: str) -> None:
    name, path = "nequix" if "nequix" in weights else "m3gnet", str(shared_models / weights)
    potential = load(PotentialOptions(name, path))
    assert trained_on(name, path) == EVERY - potential.unknown(EVERY)
    assert scale_of(name, path, None) == potential.energy_scale


def test_what_nothing_tells_is_not_guessed(tmp_path: Path) -> None:
    assert trained_on("mine:make", None) is None
    assert scale_of("mine:make", None, None) is None
    assert trained_on("m3gnet", "no-folder") is None
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(InputError, match="is a folder that holds no weights of m3gnet"):
        trained_on("m3gnet", str(tmp_path))
    with pytest.raises(InputError, match=r"model\.json is a file that holds no weights of nequix"):
        trained_on("nequix", str(tmp_path / "model.json"))
    with pytest.raises(InputError, match="is a folder that holds no weights of nequix"):
        trained_on("nequix", str(tmp_path))
