"""The flow: what it sees, the ways it learns, letters with a likelihood, and draws that are what is asked for."""

from itertools import combinations_with_replacement, product
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from pymatgen.core import Lattice, Structure
from scipy.interpolate import BSpline

from cgwgan_core.crystallography import spacegroups as sg
from cgwgan_core.crystallography.distances import min_distances
from cgwgan_core.crystallography.templates import Templates, expand
from cgwgan_core.generator.checkpoint import load_generator
from cgwgan_core.generator.draws import has_symmetry
from cgwgan_core.generator.flow.letters import TABLE, Letters
from cgwgan_core.generator.flow.model import Flow, FlowModel
from cgwgan_core.generator.flow.orbits import CUTOFF, SHELLS, nearest_descriptions, orbits, surroundings
from cgwgan_core.generator.flow.positions import positions
from cgwgan_core.generator.flow.stability import HEIGHTS, OFFSET, shares_of_heights
from cgwgan_core.generator.flow.training import FlowMatching
from cgwgan_core.generator.model import Request
from cgwgan_core.generator.options import FlowOptions, ModelOptions
from cgwgan_core.generator.sampling import sample
from cgwgan_core.generator.scope import Scope, scope_of
from cgwgan_core.generator.steps import TrainingFiles
from cgwgan_core.generator.training import train
from cgwgan_core.workflow.errors import InputError
from tests.support.encoding import all_groups
from tests.support.training import MADE_FROM, fit, small_templates
from tests.support.training import SMALL as GAN

SMALL = {"kind": "flow", "batch_size": 32, "learning_rate": 3e-3, "flow": {"width": 24, "layers": 2, "steps": 6}}


def fit_flow(folder: Path, steps: int = 12, **options: object) -> FlowModel:
    model = fit(folder, steps=steps, **{**SMALL, **options})
    assert isinstance(model, FlowModel)
    return model


def arrays(templates: Templates) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    spacegroup, letters = templates.spacegroup.astype(np.int64), templates.letters.astype(np.int64)
    free = sg.FREE[spacegroup[:, None], letters] & (letters >= 0)[..., None]
    return spacegroup, letters, templates.coords * free, sg.cell_vectors(templates.cell)


# ------------------------------------------------------------------------------------ what an atom sees


def test_neighbours_are_those_of_pymatgen() -> None:
    """Numbers and directions of neighbours by site and by class of distance, in every group."""
    templates = all_groups(copies=1, seed=3)
    width = CUTOFF / SHELLS
    knots = [np.arange(k - 1, k + 3) * width for k in range(SHELLS)]
    classes = [BSpline.basis_element(knot, extrapolate=False) for knot in knots]
    seen, away = surroundings(*arrays(templates))
    checked = 0
    for group in expand(templates):
        for row, i in enumerate(group.index.tolist()):
            structure = Structure(
                Lattice(group.vectors[row]), ["H"] * len(group.site), group.positions[row], to_unit_cell=False
            )
            first = np.unique(group.site, return_index=True)[1]
            centre, other, image, distance = structure.get_neighbor_list(CUTOFF, [structure[int(f)] for f in first])
            near = distance > 1e-6
            centre, other, image, distance = (x[near] for x in (centre, other, image, distance))
            smooth = (1 - (distance / CUTOFF) ** 2) ** 2
            # one column for each class
            weights = np.stack([np.nan_to_num(spline(distance)) for spline in classes], axis=1) * smooth[:, None]
            pair = centre, group.site[other]
            counts, sums = np.zeros(seen.shape[1:]), np.zeros(away.shape[1:])
            np.add.at(counts, pair, weights)
            to = (group.positions[row][other] + image - group.positions[row][first[centre]]) @ group.vectors[row]
            np.add.at(sums, pair, -weights[..., None] * (to / distance[:, None])[:, None])
            assert_allclose(seen[i], counts, atol=1e-4)
            assert_allclose(away[i], sums, atol=1e-4)
            checked += len(distance)
    assert checked > 10_000


def test_who_is_alone_sees_nothing() -> None:
    spacegroup, letters, coords, vectors = arrays(all_groups(copies=1, seed=1))
    for seen in surroundings(spacegroup, letters, coords, 1e6 * vectors):
        assert not seen.any()


# ---------------------------------------------------------------------------------- ways to a template


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_way_ends_in_the_template(seed: int) -> None:
    """Start plus way is the template in another description: every site sees the same, in some order."""
    random = np.random.default_rng(seed)
    templates = all_groups(copies=1, seed=seed)
    spacegroup, letters, coords, vectors = arrays(templates)
    free = sg.FREE[spacegroup[:, None], letters] & (letters >= 0)[..., None]
    start = random.random(coords.shape) * free
    ways = nearest_descriptions(spacegroup, letters, start, coords, vectors)
    assert not ways[~free].any()
    there = surroundings(spacegroup, letters, start + ways, vectors)[0].sum(2)
    wanted = surroundings(spacegroup, letters, coords, vectors)[0].sum(2)
    order = [np.lexsort(np.round(x, 2).reshape(len(x), x.shape[1], -1).transpose(2, 0, 1)) for x in (there, wanted)]
    found, goal = (np.take_along_axis(x, o[..., None], 1) for x, o in zip((there, wanted), order, strict=True))
    assert_allclose(found, goal, atol=2e-2)


def test_ways_are_short() -> None:
    """Shorter than to the description in the database, and nothing where start is a description of the goal."""
    templates = all_groups(copies=2, seed=5)
    spacegroup, letters, coords, vectors = arrays(templates)
    free = sg.FREE[spacegroup[:, None], letters] & (letters >= 0)[..., None]
    start = np.random.default_rng(0).random(coords.shape) * free
    plain = coords - start
    plain -= np.round(plain)
    lengths = [
        np.linalg.norm(x @ vectors, axis=2).sum(1)
        for x in (nearest_descriptions(spacegroup, letters, start, coords, vectors), plain)
    ]
    assert (lengths[0] <= lengths[1] + 1e-6).mean() > 0.97, "greed may lose a little"
    assert lengths[0].mean() < 0.6 * lengths[1].mean()
    tables = orbits()
    other = coords.copy()
    for i, (number, row) in enumerate(zip(spacegroup, letters, strict=True)):
        for k, letter in enumerate(row[row >= 0]):
            first, n = tables.image_start[number, letter], tables.image_count[number, letter]
            image = tables.images[first + n - 1]
            other[i, k] = image[:, :3] @ coords[i, k] + image[:, 3]
    again = nearest_descriptions(spacegroup, letters, other * free, coords, vectors)
    fixed = ~tables.polar[spacegroup].any(1)
    assert fixed.sum() > 200
    assert_allclose(again[fixed], 0, atol=1e-6)


# ------------------------------------------------------------------------------------------- letters


def test_every_set_has_a_probability_and_they_sum_to_one() -> None:
    """All sets of up to three sites of three groups, with weights of a network that is not trained."""
    groups = np.array([2, 99, 221])
    torch.manual_seed(0)
    letters = Letters(positions(groups), 3).eval()
    random = np.random.default_rng(0)
    counted = np.sort(random.integers(0, 3, (50, 3)), axis=1)
    counted[np.arange(3) > random.integers(0, 3, 50)[:, None]] = -1
    letters.count(random.integers(0, 3, 50), counted, np.ones(50))
    for place, number in enumerate(groups.tolist()):
        offered = np.flatnonzero(sg.MULTIPLICITY[number]).tolist()
        fixed = {i for i in offered if not sg.FREE[number, i].any()}
        sets = [
            [*chosen] + [-1] * (3 - n)
            for n in (1, 2, 3)
            for chosen in combinations_with_replacement(offered, n)
            if not any(chosen.count(i) > 1 for i in fixed)
        ]
        group = torch.full((len(sets),), place)
        for table in (0.0, TABLE):
            with torch.no_grad():
                logs = letters.log_likelihood(group, torch.tensor(sets), table).double()
            assert abs(logs.exp().sum() - 1) < 1e-4, (number, table)


def test_draws_have_the_frequencies_that_the_likelihood_says(tmp_path: Path) -> None:
    model = fit_flow(tmp_path, steps=40)
    letters = model.network.letters
    random = torch.Generator().manual_seed(0)
    group, found, _ = letters.draw(letters.often, 20000, random)
    kinds, counts = np.unique(np.column_stack([group, found]), axis=0, return_counts=True)
    with torch.no_grad():
        given = (
            letters.log_likelihood(torch.from_numpy(kinds[:, 0]), torch.from_numpy(kinds[:, 1:]), TABLE)
            .double()
            .numpy()
        )
    share = letters.often.sum(1).double().numpy()[kinds[:, 0]] * np.exp(given)
    often = counts > 200
    assert_allclose(counts[often] / 20000, share[often], rtol=0.25)


# -------------------------------------------------------------------------------------------- the model


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flow")
    fit_flow(folder)
    return folder


class KilledError(Exception):
    """In the place of a kill."""


def killed_at(step: int, folder: Path) -> None:
    """The training of :func:`fit_flow` up to a step."""

    class Kill(pl.Callback):
        def on_train_batch_end(self, trainer: object, module: FlowMatching, *_: object) -> None:
            if module.step == step:
                raise KilledError

    folder.mkdir(exist_ok=True)
    data = small_templates()
    files = TrainingFiles(*(folder / name for name in ("generator.ckpt", "training.csv", "scratch", "logs")))
    options = ModelOptions(**{**GAN, **SMALL, "init": "scratch", "max_steps": 12})
    with pytest.raises(KilledError):
        train(data, data[:0], options, 1, files, MADE_FROM, save_every=5, callbacks=[Kill()])
    assert not files.checkpoint.exists()


def test_same_bytes_again_and_after_a_kill(trained: Path, tmp_path: Path) -> None:
    killed_at(8, tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    fit_flow(tmp_path)
    torch.set_num_threads(threads)
    for name in ("generator.ckpt", "training.csv"):
        assert (tmp_path / name).read_bytes() == (trained / name).read_bytes(), name


def test_the_curve_is_whole_after_a_kill_beyond_the_letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cgwgan_core.generator.flow.training.LETTER_STEPS", 4)
    fit_flow(tmp_path / "whole")
    killed_at(9, tmp_path / "killed")
    fit_flow(tmp_path / "killed")
    curves = [(tmp_path / name / "training.csv").read_text() for name in ("whole", "killed")]
    assert curves[0] == curves[1]
    last = [float(row.split(",")[1]) for row in curves[0].splitlines()[5:]]
    assert len(set(last)) == 1
    assert last[0] > 0


def test_training_goes_on_from_a_calibrated_flow(tmp_path: Path) -> None:
    """Its map is made anew: that of the checkpoint is no part of what is mapped."""
    fit_flow(tmp_path / "first", steps=30)
    start = load_generator(tmp_path / "first/generator.ckpt")
    fit_flow(tmp_path / "again", steps=1, init=str(tmp_path / "first/generator.ckpt"), learning_rate=1e-12)
    again = load_generator(tmp_path / "again/generator.ckpt")
    assert again.steps == 31
    volume = start.network.drawn[0]
    assert (volume - torch.linspace(-3, 3, len(volume))).abs().max() > 0.02, "it does move scores"
    assert_allclose(again.network.drawn[0], volume, atol=1e-4)


def test_what_it_can_draw_is_read_without_torch(trained: Path) -> None:
    model = load_generator(trained / "generator.ckpt")
    assert scope_of(trained / "generator.ckpt") == Scope((3,), frozenset({12, 166}), "flow")
    assert model.groups.tolist() == [12, 166]
    assert model.latent(small_templates(5)) is None


def test_it_learns(tmp_path: Path) -> None:
    """Shares of the groups, letters, the free coordinate and the spread of densities approach those of the data."""
    data = small_templates()
    model = fit_flow(tmp_path, steps=400, data=data, save_every=400, ema=0.98)
    found = sample(model, 2000, 0)
    assert abs((found.spacegroup == 166).mean() - 0.8) < 0.05
    assert abs((found.letters[:, :3] == [0, 1, 2]).all(1).mean() - 0.8) < 0.1
    there = (found.letters == 2) & (found.spacegroup[:, None] == 166)
    z = found.coords[..., 2][there]
    # a quarter and three quarters are one description each of the same orbit
    assert np.median(np.abs(np.abs(z - 0.5) - 0.25)) < 0.03
    quarters = [np.quantile(x.number_density, [0.25, 0.75]) for x in (found, data)]
    assert abs(np.ptp(quarters[0]) / np.ptp(quarters[1]) - 1) < 0.3
    assert has_symmetry(found[:300]).all()


def test_draws_are_a_stream(trained: Path) -> None:
    model = load_generator(trained / "generator.ckpt")
    few, more = sample(model, 5, 3), sample(model, 40, 3)
    assert_array_equal(few.coords, more.coords[:5])
    assert_array_equal(few.cell, more.cell[:5])
    assert (sample(model, 5, 4).cell != few.cell).any()


def test_only_what_is_asked_for() -> None:
    """Groups, numbers of sites, atoms and formulas are conditions: an untrained flow over all groups keeps to them."""
    data = all_groups(copies=3)
    model = FlowModel.untrained(data, np.ones(len(data)), ModelOptions(flow=FlowOptions(8, 1, 1)), 0)
    request = Request(spacegroups=(62, 221, 225, 166), n_sites=(3,), max_atoms=24)
    found = sample(model, 500, 0, request)
    assert set(found.spacegroup) <= {62, 221, 225, 166}
    assert set(found.n_sites) == {3}
    assert found.n_atoms.max() <= 24
    perovskites = sample(model, 300, 0, Request(spacegroups=(62, 221), formulas=((1, 1, 3),)))
    for row in perovskites.multiplicities.tolist():
        sites = [m for m in row if m]
        shares = (
            [sum(m for m, e in zip(sites, way, strict=True) if e == element) for element in range(3)]
            for way in product(range(3), repeat=len(sites))
        )
        assert any(a == b and c == 3 * a for a, b, c in shares), sites
    with pytest.raises(InputError, match="no such number of sites"):
        sample(model, 5, 0, Request(n_sites=(7,)))
    with pytest.raises(InputError, match="none of the space groups 1;"):
        sample(model, 5, 0, Request(spacegroups=(1,)))


def two_heights(n: int = 2000) -> tuple[Templates, np.ndarray]:
    """Templates of :func:`small_templates`, and energies: high ones are monoclinic more often, with larger cells."""
    data = small_templates(n)
    random = np.random.default_rng(1)
    high = random.random(n) < np.where(data.spacegroup == 166, 0.2, 0.9)
    cell = data.cell * np.where(high[:, None], [1.4, 1.4, 1.4, 1, 1, 1], 1.0)
    energies = np.where(high, 0.3, 0.0)
    energies[random.random(n) < 0.2] = np.nan
    return Templates(data.spacegroup, cell, data.letters, data.coords), energies


def test_draws_are_like_structures_of_the_energy_asked_for(tmp_path: Path) -> None:
    """Groups, densities and their mixture follow the condition; without one, draws are like all structures."""
    data, energies = two_heights()
    model = fit_flow(tmp_path, steps=400, data=data, energies=energies, save_every=400, ema=0.98)
    assert scope_of(tmp_path / "generator.ckpt").energies
    every, low, high = (sample(model, 2000, 0, Request(energy_above_hull=e)) for e in (None, 0.0, 0.3))
    known = ~np.isnan(energies)
    for found, there in (
        (low, known & (energies < 0.1)),
        (high, known & (energies > 0.1)),
        (every, np.full(len(data), True)),
    ):
        wanted = data[there]
        assert abs((found.spacegroup == 166).mean() - (wanted.spacegroup == 166).mean()) < 0.06
        assert abs(np.median(found.number_density) / np.median(wanted.number_density) - 1) < 0.15
    assert np.median(low.number_density) > 1.8 * np.median(high.number_density)


def test_who_learnt_no_energies_is_asked_for_none(trained: Path) -> None:
    model = load_generator(trained / "generator.ckpt")
    assert not scope_of(trained / "generator.ckpt").energies
    with pytest.raises(InputError, match="the generator learnt from structures without"):
        sample(model, 5, 0, Request(energy_above_hull=0.0))


@given(st.lists(st.floats(0, 10), min_size=1, max_size=20))
def test_shares_of_heights_tell_energies_apart(energies: list[float]) -> None:
    values = np.array([*energies, np.nan])
    shares = shares_of_heights(values)
    assert_allclose(shares[:-1].sum(1), 1)
    assert not shares[-1].any()
    back = np.exp(shares[:-1] @ np.log(HEIGHTS + OFFSET)) - OFFSET
    assert_allclose(back, np.minimum(values[:-1], HEIGHTS[-1]), atol=1e-9)


def test_the_likelihood_sums_over_energies(tmp_path: Path) -> None:
    data, energies = two_heights(100)
    model = fit_flow(tmp_path, steps=5, data=data, energies=energies)
    letters = model.network.letters
    group = torch.from_numpy(np.searchsorted(model.groups, data.spacegroup))
    sites = torch.from_numpy(data.letters.astype(np.int64))
    shares = letters.heights[group, 2].double()
    with torch.no_grad():
        each = torch.stack(
            [letters.log_likelihood(group, sites, TABLE, one.expand(100, -1)) for one in torch.eye(6, 5)], dim=1
        )
        found = letters.log_likelihood(group, sites, TABLE)
    assert_allclose(found.exp(), (each.double().exp() * shares).sum(1), rtol=1e-4)
    assert_allclose(shares.sum(1), 1, atol=1e-5)


def test_densities_lie_within_what_is_asked_for(tmp_path: Path) -> None:
    """Exactly, with no draw lost; what lies within already stays as it is."""
    model = fit_flow(tmp_path, steps=100)
    free = sample(model, 1000, 0)
    low, high = np.quantile(free.number_density, [0.4, 0.6])
    found = sample(model, 1000, 0, Request(number_density=(low, high)))
    assert ((low <= found.number_density) & (found.number_density <= high)).all()
    inside = (low <= free.number_density) & (free.number_density <= high)
    assert_array_equal(found.cell[inside], free.cell[inside])
    assert len(np.unique(found.coords.reshape(1000, -1), axis=0)) > 900, "each has its own coordinates"
    assert has_symmetry(found).all()
    wide = sample(model, 1000, 0, Request(number_density=(1e-3, 1.0)))
    assert_array_equal(wide.cell, free.cell)
    rare = 1.001 * free.number_density.max()
    beyond = sample(model, 50, 0, Request(number_density=(rare, 2 * rare)))
    assert_allclose(beyond.number_density, rare, rtol=1e-6)


def test_a_checkpoint_of_an_older_flow_is_refused(trained: Path, tmp_path: Path) -> None:
    content = torch.load(trained / "generator.ckpt", weights_only=True)
    content["flow"] = {name: x for name, x in content["flow"].items() if "height" not in name}
    torch.save(content, tmp_path / "old.ckpt")
    with pytest.raises(InputError, match="a damaged checkpoint, or one of another version"):
        load_generator(tmp_path / "old.ckpt")


def test_an_untrained_flow_draws_noise_in_its_groups() -> None:
    data = all_groups(copies=1)
    model = FlowModel.untrained(data, np.ones(len(data)), ModelOptions(flow=FlowOptions(8, 1, 2)), 0)
    found = sample(model, 400, 1)
    assert has_symmetry(found).all()
    assert np.isfinite(min_distances(found)).all()
    flow = model.network
    assert isinstance(flow, Flow)
    assert flow.covers(data).all()
