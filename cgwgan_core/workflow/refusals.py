"""Why things are refused: the words that several stages share, and how reasons are counted.

What enters a stage is kept, with the status :data:`OK`, or refused with a reason. A reason is "kind: detail", and
what is equal but for its detail and its measured numbers is counted together.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

OK = "ok"
"""Status of what is kept."""
KNOWN = "known already"
REPEATED = "repeats a better candidate"

_MEASURED = re.compile(r"\d[\d.e+-]*(?= (?:atoms|steps|Å|eV|THz))")


def category(reason: str) -> str:
    """A reason without what is particular to one record.

    Leaves the text before a colon, semicolon or parenthesis, and an ellipsis for every measured number.

    >>> category("not converged after 300 steps: gradient of atoms and cell 0.0712 eV/Å")
    'not converged after … steps'
    >>> category("refused: 648 atoms in the supercell, more than max_atoms (400)")
    '… atoms in the supercell, more than max_atoms'
    """
    kind = re.split(r":|;| \(", reason.removeprefix("refused: "))[0]
    return _MEASURED.sub("…", kind).strip()


def tally(reasons: Iterable[str] | Mapping[str, int]) -> Counter[str]:
    """How often each category occurs.

    :param reasons: one by one, or already counted.

    >>> tally(["collapsed: volume 0.31 of that before", "collapsed: volume 0.42 of that before"])
    Counter({'collapsed': 2})
    """
    counts: Counter[str] = Counter()
    for reason, n in Counter(reasons).items():
        counts[category(reason)] += n
    return counts


def listed(counts: Mapping[str, int], most: int | None = None) -> str:
    """Counts in words, the largest first.

    :param most: of them, beyond which it says so; ``None``: all.

    >>> listed({"no energy": 3, "too short": 1200, "collapsed": 1}, most=2)
    '1,200 too short, 3 no energy, ...'
    >>> listed({})
    'none refused'
    """
    found = sorted(((n, reason) for reason, n in counts.items() if n), key=lambda item: (-item[0], item[1]))
    told = [f"{n:,} {reason}" for n, reason in found[:most]]
    return ", ".join([*told, *(["..."] if len(told) < len(found) else [])]) or "none refused"
