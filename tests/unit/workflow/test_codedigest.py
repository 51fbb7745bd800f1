"""The digest changes with the meaning of code, and with nothing else."""

import shutil
from importlib.metadata import version
from pathlib import Path

import pytest

from cgwgan_core.workflow import codedigest
from cgwgan_core.workflow.codedigest import BENEATH, code_digest, installed_version

ROOT = Path(__file__).parents[3]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project's code that a test may change."""
    for folder in ("cgwgan_core", "scripts"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(codedigest, "PACKAGE", tmp_path / "cgwgan_core")
    return tmp_path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_comments_docstrings_and_layout_are_no_part(package: Path) -> None:
    script = package / "scripts" / "infill.py"
    before = code_digest(script)
    change(script, '"""Elements on one shard of the templates."""', '"""Other words."""\n# a comment\n\n')
    change(package / "cgwgan_core" / "screening" / "infill.py", '    """How templates are filled', '    """Altered')
    assert code_digest(script) == before


def test_imported_modules_are_part_however_far(package: Path) -> None:
    infill, read = package / "scripts" / "infill.py", package / "scripts" / "read_database.py"
    before = code_digest(infill), code_digest(read)
    change(
        package / "cgwgan_core" / "crystallography" / "spacegroups.py",
        '"R": np.array([[2, 1, 1]',
        '"R": np.array([[2, 1, 2]',
    )
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
    monkeypatch.setattr(codedigest, "installed_version", lambda name: "999" if name == "moyopy" else None)
    assert code_digest(script) != before


def test_packages_beneath_others_are_part(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """spglib and matcalc are used, but never imported."""
    scripts = {name: package / "scripts" / f"{name}.py" for name in ("infill", "relax", "phonons", "store", "screen")}
    digests = {}
    for changed in ("none", "spglib", "matcalc"):
        monkeypatch.setattr(codedigest, "installed_version", lambda name, changed=changed: str(name == changed))
        digests[changed] = {name: code_digest(script) for name, script in scripts.items()}
    differ = {c: {n for n in scripts if digests[c][n] != digests["none"][n]} for c in ("spglib", "matcalc")}
    assert differ["spglib"] == {"relax", "phonons", "store", "screen"}
    assert differ["matcalc"] == {"relax", "phonons", "screen", "store"}


@pytest.mark.parametrize("user", [user for user in BENEATH if user.endswith(".py")])
def test_modules_with_packages_beneath_exist(user: str) -> None:
    assert (ROOT / "cgwgan_core" / user).is_file()


@pytest.mark.parametrize(
    ("file", "reader", "other"),
    [
        ("crystallography/wyckoff.csv", "asymmetric_units", "read_database"),
        ("screening/element_volumes.csv", "infill", "asymmetric_units"),
        ("results/report.html.j2", "report", "store"),
    ],
)
def test_data_files_count_for_those_that_read_them(package: Path, file: str, reader: str, other: str) -> None:
    scripts = [package / "scripts" / f"{name}.py" for name in (reader, other)]
    before = [code_digest(script) for script in scripts]
    with (package / "cgwgan_core" / file).open("a") as stream:
        stream.write("x\n")
    after = [code_digest(script) for script in scripts]
    assert [a == b for a, b in zip(after, before, strict=True)] == [False, True]


def test_versions_are_found_by_the_names_that_packages_are_imported_by() -> None:
    assert installed_version("sklearn") == version("scikit-learn")
    assert installed_version("yaml") == version("pyyaml")
    assert installed_version("numpy") == version("numpy")
    assert installed_version("json") is None


@pytest.mark.parametrize(
    ("imports", "changed"),
    [
        ("from cgwgan_core.database import aflow", "database/aflow.py"),
        ("from cgwgan_core.database import aflow", "database/__init__.py"),
        ("from cgwgan_core.database import aflow", "database/record.py"),
        ("import cgwgan_core.workflow.seeds", "workflow/seeds.py"),
        ("import cgwgan_core.workflow.seeds", "workflow/__init__.py"),
        ("from cgwgan_core.workflow.seeds import derive_seed", "__init__.py"),
    ],
)
def test_an_import_counts_with_every_package_above_it(package: Path, imports: str, changed: str) -> None:
    script = package / "scripts" / "infill.py"
    script.write_text(imports)
    before = code_digest(script)
    file = package / "cgwgan_core" / changed
    file.write_text(f"{file.read_text()}\nx = 1\n")
    assert code_digest(script) != before


def test_code_that_moves_to_another_module_is_other_code(package: Path) -> None:
    """Two files of one name and other content change places."""
    script = package / "scripts" / "infill.py"
    script.write_text("import cgwgan_core.one\nimport cgwgan_core.two")
    files = [package / "cgwgan_core" / name / "__init__.py" for name in ("one", "two")]
    digests = []
    for values in ((1, 2), (2, 1)):
        for file, value in zip(files, values, strict=True):
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"x = {value}")
        digests.append(code_digest(script))
    assert digests[0] != digests[1]


def test_every_script_has_a_digest_of_its_own() -> None:
    scripts = sorted((ROOT / "scripts").glob("*.py"))
    assert len({code_digest(s) for s in scripts}) == len(scripts)
