"""Files as they lie on a disk: compressed or not, in this or that encoding, and never read without a limit."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

import pyarrow as pa

MAX_TEXT = 64 << 20
"""Bytes or characters of one record, unpacked: what is longer is refused unread."""
BROKEN = (EOFError, OSError, zlib.error, lzma.LZMAError, UnicodeError, pa.ArrowException)
"""What reading a truncated or damaged file raises."""
ENDINGS = (".gz", ".bz2", ".xz", ".zst")


class _Zstandard(io.RawIOBase):
    """Arrow's decompressor as a file of Python."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._unpacked = pa.CompressedInputStream(stream, "zstd")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._unpacked.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


_OPENERS: dict[bytes, Callable[[IO[bytes]], IO[bytes]]] = {
    b"\x1f\x8b": lambda stream: gzip.GzipFile(fileobj=stream, mode="rb"),  # type: ignore[dict-item, return-value]
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
    b"\x28\xb5\x2f\xfd": lambda stream: io.BufferedReader(_Zstandard(stream)),
}
"""First bytes of a compressed file -> what opens it."""


def unpacked(stream: IO[bytes]) -> io.BufferedReader:
    """The bytes of a stream without its compression (gzip, bzip2, xz, Zstandard), known by its first bytes.

    Compressed twice is common: servers compress what already is, and the client stores it so.
    """
    plain: io.BufferedReader = io.BufferedReader(cast("io.RawIOBase", stream))
    for _ in range(2):
        try:
            start = plain.peek(6)
        except BROKEN:  # raised again for whoever reads
            break
        opener = next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), None)
        if opener is None:
            break
        plain = io.BufferedReader(cast("io.RawIOBase", opener(plain)))
    return plain


def open_unpacked(path: Path) -> io.BufferedReader:
    """Open a file to read its bytes, as :func:`unpacked`."""
    return unpacked(path.open("rb"))


def without_compression(name: str) -> str:
    """A file's name without the ending of its compression."""
    return next((name[: -len(ending)] for ending in ENDINGS if name.lower().endswith(ending)), name)


def encoding(start: bytes) -> str:
    """The Unicode encoding of a text that starts with these bytes."""
    if start.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "utf-32"
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if b"\0" in start[:2]:
        return "utf-16-be" if start[:1] == b"\0" else "utf-16-le"
    return "utf-8-sig"


def text_of(stream: io.BufferedReader) -> io.TextIOWrapper:
    """A stream's text; bytes that are none in its encoding stand as surrogates."""
    return io.TextIOWrapper(stream, encoding(stream.peek(4)[:4]), errors="surrogateescape")


def decode(raw: bytes) -> str:
    """A whole small file's text; Latin-1 (author names in older CIFs) where it is no Unicode."""
    try:
        return raw.decode(encoding(raw[:4]))
    except UnicodeDecodeError:
        return raw.decode("latin-1")
