"""Candidates and the templates that they fill: from rows of tables to crystals."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from ase import Atoms

from cgwgan_core.crystallography.templates import Templates, to_atoms
from cgwgan_core.workflow.arrays import Integers


class TemplateLookup:
    """Templates by their identifiers.

    :param templates: a table of ``tables.TEMPLATES``.
    """

    def __init__(self, templates: pa.Table) -> None:
        self.templates = Templates.from_table(templates)
        self._places = {name: i for i, name in enumerate(templates["template_id"].to_pylist())}

    def __contains__(self, template_id: str) -> bool:
        return template_id in self._places

    def place(self, template_id: str) -> int:
        """Row of a template in the table.

        :raises KeyError: if there is none of this name.
        """
        return self._places[template_id]

    def places(self, template_ids: Sequence[str]) -> Integers:
        """Rows of several templates, (N,)."""
        return np.array([self._places[name] for name in template_ids], dtype=np.int64)

    def atoms(self, row: Mapping[str, Any]) -> Atoms:
        """The crystal of a row with ``template_id``, ``elements`` and ``volume_scale``, in its primitive cell."""
        return to_atoms(self.templates, self.place(row["template_id"]), row["elements"], row["volume_scale"])
