"""The text of a CIF to values by their tags: syntax only, no crystallography."""

import re
from typing import cast

import gemmi

from cgwgan_core.database.record import UNREADABLE


class RefusedError(Exception):
    """Why a CIF gives no crystal, as "kind: detail"."""


def refused(kind: str, detail: str) -> RefusedError:
    """The error to raise where a file gives no crystal.

    :param detail: what is wrong, and what mends it.
    """
    return RefusedError(f"{kind}: {' '.join(detail.split())[:400]}")


class Fields:
    """The values of one block.

    Tags are in lower case with dots as underscores: the names of CIF 1 and those of the newer dictionaries
    ("_space_group.name_H-M_alt") become the same.
    """

    def __init__(self, block: gemmi.cif.Block) -> None:
        self._values: dict[str, list[str]] = {}
        self._twice: set[str] = set()
        self._texts: dict[str, list[str | None]] = {}
        for item in block:
            if item.pair is not None:
                tag, value = cast(tuple[str, str], item.pair)  # its stub says object
                self._add(tag, [value])
            elif item.loop is not None:
                width, values = item.loop.width(), item.loop.values
                for column, tag in enumerate(item.loop.tags):
                    self._add(tag, values[column::width])

    def _add(self, tag: str, values: list[str]) -> None:
        tag = tag.lower().replace(".", "_")
        if self._values.setdefault(tag, values) != values:
            self._twice.add(tag)

    def __contains__(self, tag: str) -> bool:
        return any(value is not None for value in self.column(tag))

    def tags(self, start: str) -> list[str]:
        """Tags that begin so."""
        return [tag for tag in self._values if tag.startswith(start)]

    def column(self, *tags: str) -> list[str | None]:
        """Values of the first of the tags that is there; ``None`` for "." and "?".

        :raises RefusedError: if the tag is given twice with different values.
        """
        for tag in tags:
            if tag in self._values:
                if tag in self._twice:
                    raise refused("contradictory", f"{tag} is given twice, with different values; keep one")
                if tag not in self._texts:
                    self._texts[tag] = [_text(value) for value in self._values[tag]]
                return self._texts[tag]
        return []

    def texts(self, *tags: str) -> list[str]:
        """All values of all of these tags that say something, each once."""
        return list(dict.fromkeys(value for tag in tags for value in self.column(tag) if value is not None))

    def one(self, *tags: str) -> str | None:
        """The one value of the first of the tags that says something.

        :raises RefusedError: if there are several.
        """
        for tag in tags:
            found = self.texts(tag)
            if len(found) > 1:
                raise refused("contradictory", f"{tag} is given {len(found)} times ({', '.join(found[:3])}); keep one")
            if found:
                return found[0]
        return None

    def number(self, *tags: str) -> float | None:
        """The one number of the first of the tags that says something.

        :raises RefusedError: if it is no number.
        """
        value = self.one(*tags)
        if value is None:
            return None
        found = number(value)
        if found is None:
            raise refused("not a number", f"{tags[0]} is {value!r}; write it as 4.2112 or 4.2112(3)")
        return found


MAX_NESTED = 8
"""Lists in lists of CIF 2."""
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?:\(\d*\))?")
_FRACTION = re.compile(r"([+-]?\d+)/(\d+)")


def number(text: str) -> float | None:
    """A number with or without its uncertainty ("0.25(3)"), or a fraction ("1/3"); ``None`` for anything else."""
    if match := _NUMBER.fullmatch(text):
        return float(match.group(1))
    if (match := _FRACTION.fullmatch(text)) and int(match.group(2)):
        return int(match.group(1)) / int(match.group(2))
    return None


def _text(value: str) -> str | None:
    if value in (".", "?", ""):
        return None
    if value[0] not in "'\";":
        return value
    text = gemmi.cif.as_string(value)
    if text[:2] == text[-2:] and text[:2] in ("''", '""'):
        text = text[2:-2]  # triple quotes of CIF 2
    return text.strip() or None


# ------------------------------------------------------------------------------------------------- syntax


def parse(content: str) -> tuple[list[Fields], list[str]]:
    """The blocks of a CIF, and what had to be mended to read it.

    :raises RefusedError: where it is no CIF, with the line.
    """
    text = _plain(content)
    try:
        return _blocks(text), []
    except ValueError as error:
        first = error
    mended, remarks = text, list[str]()
    for mend in (_cif2, _quoted, _named, _headed):
        after, remark = mend(mended)
        if after == mended:
            continue
        mended = after
        remarks.append(remark)
        try:
            return _blocks(mended), remarks
        except ValueError:
            continue
    words = re.sub(r"^string:(\d+):\d+\(\d+\): ", r"line \1: ", str(first))
    raise refused(UNREADABLE, f"CIF not understood ({words[:200]})")


def _blocks(text: str) -> list[Fields]:
    return [Fields(block) for block in gemmi.cif.read_string(text, 0)]


_SIGNS = str.maketrans({"−": "-", "–": "-", "‐": "-", "\u00a0": " ", "\u2009": " ", "’": "'", "\ufeff": ""})


def _plain(content: str) -> str:
    """In ASCII, the only signs of CIF 1: names of authors are not read here."""
    if not content.isascii():
        content = re.sub("([1346])[\u0304\u0305]", r"-\1", content)  # a bar over the figure
        content = content.translate(_SIGNS).encode("ascii", "replace").decode("ascii")
    return content.rstrip("\0\x1a")  # ends of files under DOS


def _headed(text: str) -> tuple[str, str]:
    """With a data_ line at its head, and nothing before it."""
    start = re.search(r"(?im)^[ \t]*data_\S*", text)
    before = text[: start.start()] if start else text
    if re.search(r"(?im)^[ \t]*(?:_cell|_atom_site|_symmetry|_space_group|loop_)", before):
        tags = re.search(r"(?im)^[ \t]*(?:_|loop_)", before)
        return "data_\n" + text[tags.start() if tags else 0 :], "header: the data_ line is missing"
    return (text[start.start() :] if start else text), "header: text before the first data_ line is passed over"


def _cif2(text: str) -> tuple[str, str]:
    """Triple quotes, lists and tables of CIF 2 (none of them says where atoms are)."""
    if not text.lstrip().startswith("#\\#CIF_2"):
        return text, ""
    text = re.sub(
        r"('''|\"\"\")(.*?)\1", lambda m: "\n;" + m.group(2).replace("\n;", "\n ;") + "\n;\n", text, flags=re.DOTALL
    )
    for _ in range(MAX_NESTED):
        text, found = re.subn(r"(?<=[\s\[{])[\[{][^\[\]{};]*[\]}](?=[\s\]}])", "?", text)
        if not found:
            break
    return text, "CIF 2: lists and tables are passed over"


def _quoted(text: str) -> tuple[str, str]:
    """With quotes around symbols and formulas of several words."""
    lines = text.split("\n")
    for i, line in enumerate(lines):
        tag, *words = line.split(maxsplit=20) or [""]
        if len(words) > 1 and _WORDY.match(tag) and not set(line) & set("'\"#;"):
            lines[i] = f"{tag} '{' '.join(words)}'"
    return "\n".join(lines), "quotes: set around a symbol or formula of several words"


def _named(text: str) -> tuple[str, str]:
    """With names of blocks of one word."""
    text = re.sub(r"(?im)^([ \t]*data_\S*)[ \t]+(?![_#\s]|loop_).*$", r"\1", text)
    return text, "header: a name of several words"


_WORDY = re.compile(r"(?i)_(?:symmetry|space_group|chemical)[\w.]*_(?:name|formula)")
