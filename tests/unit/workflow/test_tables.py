"""Tables: whole or absent, equal bytes, and errors that name the file."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cgwgan_core.workflow import tables
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.provenance import Provenance

ROWS = [{"record": f"mp-{i}", "stage": "read", "reason": "disordered"} for i in range(10)]
ALL = {name: value for name, value in vars(tables).items() if isinstance(value, pa.Schema)}


@pytest.mark.parametrize("name", ALL)
def test_every_column_has_its_meaning(name: str) -> None:
    for field in ALL[name]:
        assert field.metadata[b"description"], field.name
        if any(word in field.name for word in ("energy", "distance", "frequency")) and pa.types.is_floating(field.type):
            assert b"unit" in field.metadata, field.name


def test_written_tables_come_back_with_their_provenance(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "refused.parquet"
    tables.write(path, ROWS, tables.REFUSED, Provenance("abc", {"database": "def"}))
    assert tables.read(path, tables.REFUSED).to_pylist() == ROWS
    metadata = pq.read_schema(path).metadata
    assert metadata[b"cgwgan.config"] == b"abc"
    assert metadata[b"cgwgan.inputs"] == b'{"database": "def"}'
    assert b"cgwgan.version" in metadata
    assert pq.read_schema(path).field("reason").metadata[b"description"] == b"why"


def test_equal_tables_are_equal_bytes(tmp_path: Path) -> None:
    digests = set()
    for name in ("a.parquet", "b.parquet"):
        tables.write(tmp_path / name, ROWS, tables.REFUSED, Provenance("abc", {}))
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1


def test_an_error_leaves_nothing_behind(tmp_path: Path) -> None:
    def rows() -> Iterator[dict[str, str]]:
        yield ROWS[0]
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        tables.write(tmp_path / "x.parquet", rows(), tables.REFUSED, Provenance())
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_job_left_is_cleared(tmp_path: Path) -> None:
    (tmp_path / ".x.parquet.999.part").write_text("half")
    tables.write(tmp_path / "x.parquet", ROWS, tables.REFUSED, Provenance())
    assert [p.name for p in tmp_path.iterdir()] == ["x.parquet"]


def test_batches_and_shards_are_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    tables.write(path, ROWS, tables.REFUSED, Provenance())
    batches = list(tables.read_batches(path, tables.REFUSED, rows=4))
    assert [b.num_rows for b in batches] == [4, 4, 2]
    whole = tables.read(path, tables.REFUSED)
    for n in (1, 3, 10, 17):
        assert pa.concat_tables([tables.shard_of(whole, i, n) for i in range(n)]).to_pylist() == ROWS


@pytest.mark.parametrize(
    ("content", "message"), [(None, "no such file"), (b"not parquet", "not a readable Parquet file"), (b"", "not a")]
)
def test_unreadable_files_are_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "x.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=f"x.parquet: {message}"):
        tables.read(path, tables.REFUSED)


def test_missing_columns_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    tables.write(path, ROWS, tables.REFUSED, Provenance())
    with pytest.raises(InputError, match=r"lacks the columns material_id, formula"):
        tables.read(path, tables.STRUCTURES)
