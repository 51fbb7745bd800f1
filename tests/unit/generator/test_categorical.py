"""The default encoder: nothing is lost on the way, and nothing forbidden can be generated."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.data import atomic_numbers
from numpy.testing import assert_allclose, assert_array_equal

from cgwgan_core.crystallography.asymmetric_unit import asymmetric_unit
from cgwgan_core.crystallography.spacegroups import (
    CELL_FREE,
    FREE,
    REPRESENTATIVE,
    cell_vectors,
    constrain_cell,
)
from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.generator.lattice import cell_terms
from cgwgan_core.generator.wgan.encoding.categorical import N_CLASSES, NO_SITE, REACH, Categorical, choose
from cgwgan_core.generator.wgan.encoding.protocol import Encoded
from cgwgan_core.workflow.errors import InputError
from tests.support.encoding import all_groups, assert_same


def test_round_trip_in_every_group() -> None:
    templates = all_groups()
    encoder = Categorical.fit(templates)
    encoded = encoder.encode(templates)
    assert encoded.whole.shape == (len(templates), encoder.n_whole)
    assert encoded.sites.shape == (len(templates), 4, encoder.n_site)
    assert encoded.whole.dtype == encoded.sites.dtype == torch.float32
    assert_same(encoder.decode(encoded), templates)


def test_round_trip_of_real_structures(shared_data: Path) -> None:
    with gzip.open(shared_data / "mp_templates34_sample2000.json.gz") as stream:
        records = json.load(stream)
    units = []
    for record in records:
        numbers = [atomic_numbers[name] for name in record["species"]]
        units.append(asymmetric_unit(record["lattice"], record["frac_coords"], numbers, 0.1).template)
    templates = Templates.concat(units)
    assert len(templates) == 2000
    encoder = Categorical.fit(templates)
    encoded = encoder.encode(templates)
    assert_same(encoder.decode(encoded), templates)
    # the whole range of the data lies where tanh reaches, and uses most of it
    cell = encoded.whole[:, len(encoder.groups) :]
    assert 0.95 * REACH < cell.abs().max() < REACH
    # normal scores: every term has the same spread where it is free
    free = torch.from_numpy(CELL_FREE[templates.spacegroup])
    assert_allclose([cell[free[:, i], i].std() for i in (0, 1, 2)], np.ones(3), atol=0.1)


def test_sites_whose_coordinates_nearly_tie_keep_their_order() -> None:
    base = all_groups(copies=4)
    one = base[base.spacegroup == 80][:1]
    coords = np.array([[[0, 0, 0.1], [0.1263515, 0.7, 0.3], [0.126351500001, 0.2, 0.9], [0, 0, 0]]])
    one = Templates(one.spacegroup, one.cell, np.array([[0, 1, 1, -1]], dtype=np.int8), coords)
    encoder = Categorical.fit(Templates.concat([base, one]))
    assert_same(encoder.decode(encoder.encode(one)), one)


def test_state_is_plain_and_complete() -> None:
    templates = all_groups()
    encoder = Categorical.fit(templates)
    again = Categorical.from_state(json.loads(json.dumps(encoder.state())))
    for found, wanted in zip(again.encode(templates), encoder.encode(templates), strict=True):
        assert torch.equal(found, wanted)


def test_what_the_data_did_not_have_is_not_covered() -> None:
    templates = all_groups()
    known = templates[(templates.spacegroup != 12) & (templates.n_sites == 3)]
    encoder = Categorical.fit(known)
    assert encoder.covers(known).all()
    assert not encoder.covers(templates[templates.spacegroup == 12]).any()
    assert not encoder.covers(templates[templates.n_sites == 4]).any()
    dilute = Templates(known.spacegroup, known.cell * [3, 3, 3, 1, 1, 1], known.letters, known.coords)
    assert not encoder.covers(dilute).all()
    with pytest.raises(ValueError, match="outside"):
        encoder.encode(templates)


def test_no_templates() -> None:
    with pytest.raises(InputError, match="block `training`"):
        Categorical.fit(all_groups()[:0])


@pytest.fixture(scope="module")
def generated() -> tuple[Categorical, Templates]:
    """What an untrained head makes of noise: every group and letter comes up."""
    encoder = Categorical.fit(all_groups())
    torch.manual_seed(0)
    head = encoder.head(16)
    with torch.no_grad():
        encoded = head(3 * torch.randn(20_000, 16), torch.rand(20_000, head.n_noise))
    return encoder, encoder.decode(encoded)


def test_generated_letters_obey_their_group(generated: tuple[Categorical, Templates]) -> None:
    _, templates = generated
    letters, there = templates.letters, templates.letters >= 0
    assert set(templates.spacegroup) == set(range(2, 231))
    assert (templates.multiplicities[there] > 0).all()
    assert set(templates.n_sites) == {3, 4}
    assert (there[:, :-1] | ~there[:, 1:]).all(), "nothing follows an empty slot"
    after, before = letters[:, 1:], letters[:, :-1]
    assert ((after >= before) | (after < 0)).all(), "letters ascend"
    fixed = ~FREE[templates.spacegroup[:, None], letters].any(-1) & there
    assert not (fixed[:, 1:] & (after == before)).any(), "a point that cannot move is occupied once"
    assert fixed.any()
    assert ((after == before) & there[:, 1:]).any()


def test_generated_geometry_obeys_its_group(generated: tuple[Categorical, Templates]) -> None:
    encoder, templates = generated
    maps = REPRESENTATIVE[templates.spacegroup[:, None], templates.letters]
    on = np.einsum("nkij,nkj->nki", maps[..., :3], templates.coords) + maps[..., 3]
    off = np.abs((on - templates.coords + 0.5) % 1 - 0.5)[templates.letters >= 0]
    assert off.max() < 1e-12
    assert (templates.coords >= 0).all()
    assert (templates.coords < 1).all()
    assert_array_equal(templates.cell, constrain_cell(templates.spacegroup, templates.cell))
    assert np.isfinite(templates.volume).all()
    assert encoder.covers(templates).all()


def test_real_and_generated_take_the_same_form(generated: tuple[Categorical, Templates]) -> None:
    encoder, _ = generated
    torch.manual_seed(1)
    head = encoder.head(16)
    with torch.no_grad():
        encoded = head(torch.randn(500, 16), torch.rand(500, head.n_noise))
    again = encoder.encode(encoder.decode(encoded))
    for found, wanted in zip(again, encoded, strict=True):
        assert_allclose(found.numpy(), wanted.numpy(), atol=2e-5)
    letters = encoded.sites[..., :N_CLASSES]
    assert set(letters.unique().tolist()) == {0.0, 1.0}
    free = torch.from_numpy(CELL_FREE[encoder.decode(encoded).spacegroup])
    assert (encoded.whole[:, -6:][~free] == 0).all()


def test_every_choice_gets_a_gradient() -> None:
    encoder = Categorical.fit(all_groups())
    torch.manual_seed(2)
    head = encoder.head(16)
    encoded = head(torch.randn(256, 16), torch.rand(256, head.n_noise))
    weight = torch.randn(encoder.n_whole), torch.randn(encoder.n_site)
    sum((part * w).sum() for part, w in zip(encoded, weight, strict=True)).backward()
    for name, parameter in head.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_untrained_choices_have_the_frequencies_of_the_data() -> None:
    templates = all_groups(copies=20)
    random = np.random.default_rng(0)
    # a few groups, one of them most of the time
    few = np.isin(templates.spacegroup, [2, 62, 166, 225]) & (random.random(len(templates)) < 0.7)
    data = templates[few | (templates.spacegroup == 62)]
    encoder = Categorical.fit(data)
    torch.manual_seed(0)
    head = encoder.head(16)
    with torch.no_grad():
        found = encoder.decode(head(torch.zeros(20_000, 16), torch.rand(20_000, head.n_noise)))
    for number in (2, 62, 166, 225):
        here, there = data.spacegroup == number, found.spacegroup == number
        assert_allclose(there.mean(), here.mean(), atol=0.06)
        for letter in np.unique(data.letters[here, 0]):
            wanted = (data.letters[here, 0] == letter).mean()
            assert_allclose((found.letters[there, 0] == letter).mean(), wanted, atol=0.2)


def test_geometry_is_that_of_the_decoded_template() -> None:
    templates = all_groups()
    encoder = Categorical.fit(templates)
    group, letters, coords, vectors = encoder.geometry(encoder.encode(templates))
    assert_array_equal(encoder.groups[group], templates.spacegroup)
    assert_array_equal(letters, templates.letters)
    assert_allclose(vectors.numpy(), cell_vectors(templates.cell), atol=2e-3)
    free = FREE[templates.spacegroup[:, None], templates.letters] & (templates.letters >= 0)[..., None]
    off = (coords.numpy() - templates.coords)[free]
    assert np.abs(off - np.round(off)).max() < 1e-5


def test_groups_are_those_asked_for() -> None:
    templates = all_groups()
    encoder = Categorical.fit(templates, np.where(templates.spacegroup == 225, 3.0, 1.0))
    torch.manual_seed(0)
    head = encoder.head(16)
    with torch.no_grad():
        noise = torch.randn(4000, 16), torch.rand(4000, head.n_noise)
        some = encoder.decode(head(*noise, groups=torch.tensor([62, 225, 1]))).spacegroup  # the data lack group 1
        assert set(some) == {62, 225}
        assert_allclose((some == 225).mean(), 0.75, atol=0.03)
        wanted = encoder.encode(templates)
        noise = tuple(x[: len(templates)] for x in noise)
        assert_array_equal(encoder.decode(head(*noise, like=wanted)).spacegroup, templates.spacegroup)


def test_completed_templates_keep_the_choices_and_vary_in_the_rest() -> None:
    templates = all_groups()
    encoder = Categorical.fit(templates)
    torch.manual_seed(0)
    head = encoder.head(16)
    real = encoder.encode(templates)
    with torch.no_grad():
        one, other = (encoder.decode(head.complete(torch.randn(len(templates), 16), real)) for _ in range(2))
    for found in (one, other):
        assert_array_equal(found.spacegroup, templates.spacegroup)
        assert_array_equal(found.letters, templates.letters)
    free = FREE[templates.spacegroup[:, None], templates.letters].any(-1) & (templates.letters >= 0)
    assert (one.coords != other.coords)[free].any(-1).all()


def test_likelihood_is_that_of_the_letters() -> None:
    """Against the shares of letters among draws with the same noise vector."""
    templates = all_groups(copies=30)
    data = templates[np.isin(templates.spacegroup, [166, 225]) & (templates.n_sites == 3)]
    encoder = Categorical.fit(data)
    torch.manual_seed(0)
    head = encoder.head(16)
    one = data[data.spacegroup == 166][:1]
    hidden = torch.randn(1, 16)
    n = 40_000
    with torch.no_grad():
        like = Encoded(*(part.expand(n, *part.shape[1:]) for part in encoder.encode(one)))
        drawn = encoder.decode(head(hidden.expand(n, 16), torch.rand(n, head.n_noise), like=like))
        share = (drawn.letters == one.letters[:, :3]).all(1).mean()
        found = head.likelihood(encoder.encode(one))
    assert share > 0.001
    assert_allclose(np.exp(found), share, rtol=0.15)


def test_calibration_gives_cell_terms_the_distribution_of_the_data() -> None:
    data = all_groups(copies=30)
    encoder = Categorical.fit(data)
    torch.manual_seed(0)
    head = encoder.head(16)

    def draw() -> Encoded:
        with torch.no_grad():
            return head(3 * torch.randn(20_000, 16), torch.rand(20_000, head.n_noise))

    def misfit(encoded: Encoded) -> float:
        found = encoder.decode(encoded)
        terms, wanted = (np.sort(cell_terms(x.cell, x.n_atoms)[:, 0]) for x in (found, data))
        ranks = np.linspace(0.02, 0.98, 25)
        return np.abs(np.quantile(terms, ranks) - np.quantile(wanted, ranks)).max()

    before = draw()
    head.calibrate(before)
    assert misfit(draw()) > 0.2, "no part of the training"
    head.eval()
    after = draw()
    assert misfit(after) < 0.1
    assert encoder.covers(encoder.decode(after)).all()


def test_weights_are_copies() -> None:
    data = all_groups(copies=20)
    times = np.where(data.spacegroup % 2, 1, 3)
    weighted = Categorical.fit(data, times.astype(float))
    repeated = Categorical.fit(data[np.repeat(np.arange(len(data)), times)])
    for name in ("group_counts", "letter_counts"):
        found, wanted = getattr(weighted, name), getattr(repeated, name)
        assert_allclose(found / found.sum(), wanted / wanted.sum())
    assert_allclose(weighted.knots[0, 10:51], repeated.knots[0, 10:51], atol=0.1)


def test_choices_have_the_probabilities_of_the_softmax() -> None:
    logits = torch.tensor([0.0, 1.0, -torch.inf, 2.0]).expand(40_000, 4)
    torch.manual_seed(5)
    drawn = choose(logits, torch.rand(40_000, 4))
    assert torch.equal(drawn.sum(1), torch.ones(40_000))
    assert_allclose(drawn.mean(0), torch.softmax(logits[0], 0), atol=0.01)


def test_empty_slot_is_a_class_of_its_own() -> None:
    templates = all_groups()
    encoder = Categorical.fit(templates)
    sites = encoder.encode(templates).sites
    empty = torch.from_numpy(templates.letters < 0)
    assert (sites[..., NO_SITE][empty] == 1).all()
    assert (sites[empty].sum(1) == 1).all(), "an empty slot holds nothing else"
