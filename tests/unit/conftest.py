"""Potentials, loaded once."""

import pytest

from cgwgan_core.potentials.load import PotentialOptions, load
from cgwgan_core.potentials.protocol import Potential
from tests.support.potentials import EMT, M3GNET


@pytest.fixture(scope="module")
def emt() -> Potential:
    return load(EMT)


@pytest.fixture(scope="session")
def chgnet() -> Potential:
    return load(PotentialOptions(name="chgnet"))


@pytest.fixture(params=["chgnet", "m3gnet"])
def potential(request: pytest.FixtureRequest) -> Potential:
    """CHGNet, and M3GNet where its weights are."""
    if request.param == "chgnet":
        return request.getfixturevalue("chgnet")
    folder = request.getfixturevalue("shared_models") / M3GNET
    return load(PotentialOptions(name="m3gnet", path=str(folder)))
