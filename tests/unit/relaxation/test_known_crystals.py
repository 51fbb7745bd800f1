"""The check on known crystals: sound potentials pass, wrong weights and wrong scales do not."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from cgwgan_core.potentials.load import PotentialOptions, load
from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.relaxation.known_crystals import KNOWN_CRYSTALS, check, load_checked, report
from cgwgan_core.workflow.errors import InputError
from scripts.verify_potential import main as verify
from tests.support.potentials import EMT, M3GNET, MATPES


def test_known_crystals_pass(potential: Potential) -> None:
    rows = check(potential, 0.15)
    assert [row["formula"] for row in rows if not row["passed"]] == []
    assert len(rows) == len(KNOWN_CRYSTALS)


def test_matpes_passes_on_its_own_scale_only(shared_models: Path) -> None:
    folder = str(shared_models / MATPES)
    matpes = load(PotentialOptions(name="m3gnet", path=folder))
    assert matpes.energy_scale == "matpes"
    assert all(row["passed"] for row in check(matpes, 0.15))
    mixed = load(PotentialOptions(name="m3gnet", path=folder, energy_scale="mp_corrected"))
    with pytest.raises(InputError, match=r"mp_corrected's corrections .* means a wrong energy_scale"):
        report(mixed, check(mixed, 0.15), 0.15, "")


def test_wrong_weights_are_refused(shared_models: Path, tmp_path: Path) -> None:
    """Weights that load without complaint, and are wrong: here the signs of one layer."""
    folder = tmp_path / M3GNET
    shutil.copytree(shared_models / M3GNET, folder, copy_function=shutil.copyfile)
    folder.chmod(0o755)
    state = torch.load(folder / "state.pt", weights_only=True)
    (name,) = (key for key in state if key.endswith("graph_layers.0.conv.node_weight_func.weight"))
    state[name] = -state[name]
    torch.save(state, folder / "state.pt")
    good, bad = (load(PotentialOptions(name="m3gnet", path=str(f))) for f in (shared_models / M3GNET, folder))
    assert good.digest != bad.digest
    with pytest.raises(InputError, match=r"(?s)wrong on .* of 13 known crystals: MgO .*before version 4"):
        report(bad, check(bad, 0.15), 0.15, "")


def test_verified_report(tmp_path: Path) -> None:
    output = tmp_path / "second_potential.json"
    verify(PotentialOptions(name="chgnet"), "auto", 0.15, str(output))
    first = output.read_bytes()
    verify(PotentialOptions(name="chgnet"), "auto", 0.15, str(output))
    assert output.read_bytes() == first
    found = json.loads(first)
    assert "auto" in found.values()
    assert found["energy_scale"] == "mp_corrected"
    assert found["largest_error"] <= 0.15
    assert load_checked(PotentialOptions(name="chgnet"), output).digest == found["digest"]
    with pytest.raises(InputError, match="rerun verify_potential"):
        load_checked(EMT, output)
    with pytest.raises(InputError, match="known crystals"):
        verify(EMT, "set by name", 0.15, str(tmp_path / "emt.json"))
    # one that is worse than it is asked to be is refused, too
    with pytest.raises(InputError, match="known crystals"):
        verify(PotentialOptions(name="chgnet"), "auto", found["largest_error"] / 2, str(tmp_path / "emt.json"))
    assert not (tmp_path / "emt.json").exists()
    (tmp_path / "empty.json").write_text("{}")
    with pytest.raises(InputError, match="not a report"):
        load_checked(EMT, tmp_path / "empty.json")
