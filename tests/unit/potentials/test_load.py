"""Which potential is loaded, and options that are wrong."""

import pytest

from cgwgan_core.potentials.load import VARIABLE, PotentialOptions, choose
from cgwgan_core.workflow.errors import InputError


def test_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert choose(PotentialOptions())[:2] == ("chgnet", None)
    assert choose(PotentialOptions(path="a"))[:2] == ("m3gnet", "a")
    monkeypatch.setenv(VARIABLE, "b")
    assert choose(PotentialOptions())[:2] == ("m3gnet", "b")
    assert choose(PotentialOptions(path="a"))[:2] == ("m3gnet", "a")
    assert choose(PotentialOptions(name="chgnet"))[:2] == ("chgnet", None)
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(InputError, match="needs its weights"):
        choose(PotentialOptions(name="m3gnet"))


@pytest.mark.parametrize(
    "options",
    [
        {"name": "m3gnett"},
        {"tolerance": 0.0},
        {"energy_scale": "mp"},
        {"name": "chgnet", "path": "folder"},
    ],
)
def test_options_are_checked(options: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"potential\."):
        PotentialOptions(**options)  # type: ignore[arg-type]
