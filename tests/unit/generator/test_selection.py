"""What is refused, why, and that counts add up."""

import numpy as np
import pytest

from cgwgan_core.crystallography import spacegroups as sg
from cgwgan_core.crystallography.matching import Distinct, Tolerances
from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.generator.selection import TemplateOptions, impossible_sites, merge, select
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.errors import InputError
from tests.support.random_templates import random_template


def cubic(letters: str, a: float, coords: list[list[float]] | None = None) -> Templates:
    indices = [sg.letter_index(x) for x in letters]
    return Templates(
        np.array([221], np.int16),
        np.array([[a, a, a, 90, 90, 90.0]]),
        np.array([indices], np.int8),
        np.array([coords or [[0.2, 0.3, 0.4]] * len(indices)]),
    ).projected()


def test_each_reason_is_found_and_counted() -> None:
    batch = Templates.concat(
        [
            cubic("abc", 3.9),
            cubic("abc", 3.95),  # the same template: volume is no part of it
            cubic("aac", 3.9),  # a fixed site twice
            cubic("abc", 1.5),  # too dense
            cubic("abc", 12.0),  # too thin
            cubic("abn", 8.0),  # 26 atoms
            cubic("ae", 4.0, [[0, 0, 0], [0.1, 0.5, 0.5]]),  # two atoms 0.8 Å apart
        ]
    )
    options = TemplateOptions(min_distance=1.0, max_atoms=20, number_density=(0.01, 0.25))
    chosen = select(batch, options, Distinct(Tolerances()))
    assert chosen.kept.tolist() == [0]
    assert chosen.distances == pytest.approx([3.9 / 2])
    assert dict(chosen.refused) == {
        "impossible sites": 1,
        "number density": 2,
        "atom count": 1,
        "short distance": 1,
        "duplicate": 1,
    }


def test_other_numbers_of_sites_are_refused_where_some_are_asked_for() -> None:
    batch = Templates.concat([cubic("abc", 3.9), cubic("ab", 3.9)])
    chosen = select(batch, TemplateOptions(n_sites=(2,)), Distinct(Tolerances()))
    assert chosen.kept.tolist() == [1]
    assert dict(chosen.refused) == {"number of sites": 1}


def test_sites_that_hold_no_formula_are_refused_where_some_are_asked_for() -> None:
    batch = Templates.concat([cubic("abc", 3.9), cubic("cd", 3.9), cubic("ac", 3.9)])
    chosen = select(batch, TemplateOptions(formulas=("ABX3", "AX3")), Distinct(Tolerances()))
    assert chosen.kept.tolist() == [0, 2]
    assert dict(chosen.refused) == {"formula": 1}
    for wrong in ("AbX", "A2B2A", "", "A0B"):
        with pytest.raises(InputError, match=f"templates.formulas: '{wrong}' is no anonymous formula"):
            TemplateOptions(formulas=(wrong,))


def test_a_site_with_freedom_may_be_used_twice() -> None:
    assert impossible_sites(cubic("ee", 5.0)).tolist() == [False]
    assert impossible_sites(cubic("aa", 5.0)).tolist() == [True]
    unknown = Templates(np.array([1], np.int16), cubic("a", 4).cell, np.array([[3]], np.int8), np.zeros((1, 1, 3)))
    assert impossible_sites(unknown).tolist() == [True]


def test_merging_keeps_order_drops_repeats_and_numbers() -> None:
    rng = np.random.default_rng(0)
    batches = [Templates.concat([random_template(rng, n, [2, 3]) for n in (47, 123, 221)]) for _ in range(2)]
    batches[1] = Templates.concat([batches[0][np.array([1])], batches[1]])
    options = TemplateOptions(min_distance=0.1)
    shards, counts = [], []
    for batch in batches:
        chosen = select(batch, options, Distinct(Tolerances()))
        shards.append(tables.to_table(chosen.to_columns(), tables.TEMPLATES))
        counts.append({"sampled": len(batch), "refused": dict(chosen.refused)})
    known = {"train": batches[0][:1], "held-out": batches[0][1:2]}
    merged, total = merge(shards, counts, 3, known, options.tolerance, 1)
    assert merged["template_id"].to_pylist() == ["t0000001", "t0000002", "t0000003"]
    assert merged["fingerprint"].to_pylist() == shards[0]["fingerprint"].to_pylist()
    assert merged["in_training"].to_pylist() == [True, False, False]
    assert merged["in_held_out"].to_pylist() == [False, True, False]
    assert total["sampled"] == sum(map(len, batches))
    assert total["kept"] == merged.num_rows
    assert total["kept"] + sum(total["refused"].values()) == total["sampled"]
    everything, of_all = merge(shards, counts, None, known, options.tolerance, 1)
    assert everything.num_rows == total["kept"] + total["refused"]["beyond the number to keep"]
    # the one put there, and 3c and 3d of Pm-3m, which leave nothing free but the volume
    assert of_all["refused"]["duplicate"] == 2
    nothing, of_none = merge([shard[:0] for shard in shards], counts, None, known, options.tolerance, 1)
    assert nothing.num_rows == of_none["kept"] == 0


def test_densities_must_rise() -> None:
    with pytest.raises(InputError, match="number_density"):
        TemplateOptions(number_density=(0.2, 0.1))
