"""Which potential is loaded, and options that are wrong."""

import pytest

from cgwgan_core.potentials.load import PotentialOptions
from cgwgan_core.workflow.errors import InputError


@pytest.mark.parametrize(
    "options",
    [
        {"name": "m3gnett"},
        {"name": "m3gnet"},
        {"name": "chgnet", "energy_scale": "mp"},
        {"name": "chgnet", "path": "folder"},
    ],
)
def test_options_are_checked(options: dict[str, object]) -> None:
    with pytest.raises(InputError, match="potential"):
        PotentialOptions(**options)  # type: ignore[arg-type]
