"""The structures that the generator learns from, and their split by template."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from cgwgan_core.crystallography.fingerprint import fingerprints, isopointal_types
from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.database.asymmetric_units import Rows
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.seeds import derive_seed


@dataclass(frozen=True)
class TrainingOptions:
    """Which structures train the generator; the keys of the config block ``training``."""

    n_sites: tuple[int, ...] = (3, 4)
    """Numbers of asymmetric-unit sites that templates may have."""
    min_spacegroup: int = 2
    """Lowest space-group number; 2 leaves out P1."""
    held_out: float = 0.1
    """Share of the templates that training never sees."""

    def __post_init__(self) -> None:
        if not self.n_sites or min(self.n_sites) < 1:
            raise InputError(f"training.n_sites: {list(self.n_sites)} must hold at least one number, all above 0")
        if not 0 <= self.held_out < 1:
            raise InputError(f"training.held_out: {self.held_out} must be at least 0 and below 1")


def select_training(asu: pa.Table, options: TrainingOptions, run_seed: int) -> tuple[pa.Table, Rows]:
    """Choose the structures to learn from and split them by template.

    Every isopointal type goes to one side as a whole, drawn by a hash of the key and the seed, so that a key's
    side does not depend on what else is in the database.

    :param asu: a table of ``tables.ASU``.
    :returns: a table of ``tables.TRAINING``, and rows of ``tables.REFUSED`` for all others.
    """
    n_sites, spacegroup = asu["n_sites"].to_numpy(), asu["spacegroup"].to_numpy()
    fits = np.isin(n_sites, options.n_sites)
    symmetric = spacegroup >= options.min_spacegroup
    wanted = " or ".join(str(n) for n in options.n_sites)
    refused = [
        {
            "record": material_id,
            "stage": "training",
            "reason": f"not {wanted} sites" if not enough else f"space group below {options.min_spacegroup}",
        }
        for material_id, enough, keep in zip(
            asu["material_id"].to_pylist(), fits.tolist(), (fits & symmetric).tolist(), strict=True
        )
        if not keep
    ]
    kept = asu.filter(pa.array(fits & symmetric))
    templates = Templates.from_table(kept)
    keys = isopointal_types(templates)
    split = ["held-out" if _draw(run_seed, key) < options.held_out else "train" for key in keys]
    kept = kept.append_column("isopointal_type", pa.array(keys, pa.string()))
    kept = kept.append_column("fingerprint", pa.array(fingerprints(templates), pa.string()))
    kept = kept.append_column("split", pa.array(split, pa.string()))
    return kept, refused


def _draw(run_seed: int, key: str) -> float:
    digest = hashlib.sha256(f"{derive_seed(run_seed, 'split')}:{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
