"""The digest changes with the meaning of code, and with nothing else."""

import shutil
from importlib.metadata import version
from pathlib import Path

import pytest

from cgwgan_core import codedigest
from cgwgan_core.codedigest import code_digest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project's code that a test may change."""
    for folder in ("cgwgan_core", "scripts"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(codedigest, "PACKAGE", tmp_path / "cgwgan_core")
    codedigest._parse.cache_clear()
    return tmp_path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    codedigest._parse.cache_clear()


def test_comments_docstrings_and_layout_are_no_part(package: Path) -> None:
    script = package / "scripts" / "infill.py"
    before = code_digest(script)
    change(script, '"""Elements on one shard of the templates."""', '"""Other words."""\n# a comment\n\n')
    change(package / "cgwgan_core" / "infill.py", '    """How templates are filled', '    """Altered')
    assert code_digest(script) == before


def test_imported_modules_are_part_however_far(package: Path) -> None:
    infill, read = package / "scripts" / "infill.py", package / "scripts" / "read_database.py"
    before = code_digest(infill), code_digest(read)
    change(package / "cgwgan_core" / "spacegroups.py", '"R": np.array([[2, 1, 1]', '"R": np.array([[2, 1, 2]')
    assert code_digest(infill) != before[0]
    assert code_digest(read) == before[1]


def test_the_script_is_part(package: Path) -> None:
    script = package / "scripts" / "infill.py"
    before = code_digest(script)
    change(script, "shards=snakemake.params.shards", "shards=1 + snakemake.params.shards")
    assert code_digest(script) != before


def test_versions_of_other_packages_are_part(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = package / "scripts" / "infill.py"
    before = code_digest(script)
    monkeypatch.setattr(codedigest, "_version", lambda name: "999" if name == "moyopy" else None)
    assert code_digest(script) != before


def test_packages_are_found_by_the_names_they_are_imported_by() -> None:
    assert codedigest._version("sklearn") == version("scikit-learn")
    assert codedigest._version("yaml") == version("pyyaml")
    assert codedigest._version("numpy") == version("numpy")
    assert codedigest._version("json") is None


def test_every_script_has_a_digest_of_its_own() -> None:
    scripts = sorted((ROOT / "scripts").glob("*.py"))
    assert len({code_digest(s) for s in scripts}) == len(scripts)
