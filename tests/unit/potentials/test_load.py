"""Which potential is loaded, and options that are wrong."""

import pytest

from cgwgan_core.potentials.load import PotentialOptions
from cgwgan_core.workflow.errors import InputError


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "m3gnett"}, "name: 'm3gnett' is none of m3gnet"),
        ({"name": "m3gnet"}, "m3gnet needs its weights"),
        ({"name": "chgnet", "energy_scale": "mp"}, "energy_scale: 'mp' is not one of"),
        ({"name": "chgnet", "path": "folder"}, "chgnet brings its own weights"),
    ],
)
def test_options_are_checked(options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        PotentialOptions(**options)  # type: ignore[arg-type]
