"""Provenance: digests of contents and settings, never of places."""

from pathlib import Path
from types import SimpleNamespace

from cgwgan_core.workflow.provenance import Provenance, digest_file, provenance_of


def of_job(folder: Path, **params: object) -> Provenance:
    """Of a job with one input and one that is several files."""
    folder.mkdir(exist_ok=True)
    source = folder / "in.txt"
    source.write_text("content")
    return provenance_of(SimpleNamespace(input={"source": str(source), "several": [str(source)] * 2}, params=params))


def test_provenance_follows_content_and_settings_not_places(tmp_path: Path) -> None:
    first, second, third = (of_job(tmp_path / name, symprec=value) for name, value in (("a", 1), ("b", 1), ("c", 2)))
    assert first == second
    assert first.settings != third.settings
    assert first.inputs == third.inputs
    assert first.inputs["source"] == digest_file(tmp_path / "a" / "in.txt")


def test_settings_that_name_places_are_no_part(tmp_path: Path) -> None:
    first, moved = (
        of_job(tmp_path, options={"source": "csv", "path": place}, config={"potential": {"path": place}})
        for place in ("/one", "/other")
    )
    assert first == moved
    assert (
        first.settings
        != of_job(tmp_path, options={"source": "ase", "path": "/one"}, config={"potential": {"path": "/one"}}).settings
    )


def test_many_files_of_one_input_have_one_digest(tmp_path: Path) -> None:
    found = of_job(tmp_path)
    assert {len(digest) for digest in found.inputs.values()} == {16}
    assert found.inputs["several"] != found.inputs["source"]


def test_folders_have_a_digest_of_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "one").write_text("1")
    before = digest_file(tmp_path / "f")
    (tmp_path / "f" / "one").rename(tmp_path / "f" / "two")
    assert digest_file(tmp_path / "f") != before
