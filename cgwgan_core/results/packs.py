"""What a page carries packed: bundles of scripts, tables, figures. The browser unpacks each when it is wanted."""

import base64
import gzip
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

SHORT = 6
"""Lists of fewer numbers are written as they are."""


def packed(content: str | bytes) -> str:
    """Text as gzip in base64, which a browser unpacks by itself (``DecompressionStream``); equal text, equal bytes."""
    data = content.encode() if isinstance(content, str) else content
    return base64.b64encode(gzip.compress(data, mtime=0)).decode()


def packed_json(content: Any) -> str:
    """The same of what JSON can hold; not-a-number is null."""
    form: dict[str, Any] = {"separators": (",", ":"), "ensure_ascii": False, "allow_nan": False}
    try:
        text = json.dumps(content, **form)
    except ValueError:
        text = json.dumps(_finite(content), **form)
    return packed(text)


def coarse(value: Any, digits: int = 4) -> Any:
    """A figure with its lists of numbers as whole numbers and their differences, which pack to a third.

    ``{"$": [1, 10, 3, null, -4]}`` stands for 1.0, 1.3, nothing, 0.9: the number of decimals, the first number without
    its point, and differences.

    :param digits: significant ones of the largest number of a list.
    """
    if isinstance(value, Mapping):
        return {key: coarse(inner, digits) for key, inner in value.items()}
    if not isinstance(value, list):
        return value
    if len(value) < SHORT or not all(x is None or isinstance(x, (int, float)) for x in value):
        return [coarse(inner, digits) for inner in value]
    numbers = np.array(value, dtype=float)  # None is not-a-number
    there = np.isfinite(numbers)
    largest = float(np.abs(numbers[there]).max()) if there.any() else 0.0
    decimals = max(0, digits - 1 - math.floor(math.log10(largest))) if largest else 0
    whole = np.rint(numbers[there] * 10**decimals).astype(int)
    steps = iter(np.diff(whole, prepend=0).tolist())
    return {"$": [decimals, *(next(steps) if known else None for known in there.tolist())]}


def fine(value: Any) -> Any:
    """What :func:`coarse` was given, as far as it was kept; the page's script does the same."""
    if isinstance(value, list):
        return [fine(inner) for inner in value]
    if not isinstance(value, Mapping):
        return value
    if "$" not in value:
        return {key: fine(inner) for key, inner in value.items()}
    decimals, *steps = value["$"]
    found: list[float | None] = []
    last = 0
    for step in steps:
        last += step or 0
        found.append(None if step is None else last / 10**decimals)
    return found


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
