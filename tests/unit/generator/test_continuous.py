"""The paper's encoding: nothing is lost on the way, all data is within reach, and what is impossible stays so."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from ase.data import atomic_numbers
from numpy.testing import assert_allclose, assert_array_equal

from cgwgan_core.crystallography.asymmetric_unit import asymmetric_unit
from cgwgan_core.crystallography.distances import min_distances
from cgwgan_core.crystallography.matching import Distinct, Tolerances
from cgwgan_core.crystallography.spacegroups import MULTIPLICITY, N_FREE, constrain_cell
from cgwgan_core.crystallography.templates import Templates, expand
from cgwgan_core.generator.checkpoint import load_generator
from cgwgan_core.generator.distributions import DENSITY_EDGES
from cgwgan_core.generator.draws import Draws
from cgwgan_core.generator.model import Request
from cgwgan_core.generator.options import ModelOptions
from cgwgan_core.generator.quality import judge
from cgwgan_core.generator.sampling import sample
from cgwgan_core.generator.selection import TemplateOptions, select
from cgwgan_core.generator.wgan.encoding.continuous import SITE, WHOLE, Continuous
from cgwgan_core.generator.wgan.encoding.encoders import ENCODERS
from cgwgan_core.generator.wgan.encoding.protocol import Encoded
from cgwgan_core.generator.wgan.model import WganModel, build
from cgwgan_core.generator.wgan.training import WGANGP
from cgwgan_core.workflow.errors import InputError
from tests.support.random_templates import random_template, real_templates
from tests.support.training import fit


def every_group() -> Templates:
    """Two templates of every group from 2 to 230, of three and of four sites."""
    random = np.random.default_rng(0)
    found = []
    for number in range(2, 231):
        offered = np.flatnonzero(MULTIPLICITY[number])
        several = [int(i) for i in offered if N_FREE[number, i]]
        for n in (3, 4):
            letters = sorted({int(i) for i in random.choice(offered, n)})
            letters += random.choice(several, n - len(letters)).tolist()
            found.append(random_template(random, number, sorted(letters)))
    return Templates.concat(found)


@pytest.fixture(scope="module")
def real(shared_data: Path) -> Templates:
    """2,000 structures of the Materials Project."""
    with gzip.open(shared_data / "mp_templates34_sample2000.json.gz") as stream:
        records = json.load(stream)
    units = []
    for record in records:
        numbers = [atomic_numbers[name] for name in record["species"]]
        units.append(asymmetric_unit(record["lattice"], record["frac_coords"], numbers, 0.1).template)
    return Templates.concat(units)


def assert_same(found: Templates, wanted: Templates) -> None:
    assert_array_equal(found.spacegroup, wanted.spacegroup)
    assert_array_equal(found.letters, wanted.letters)
    assert np.abs((found.coords - wanted.coords + 0.5) % 1 - 0.5).max() < 1e-6
    assert_allclose(found.cell, wanted.cell, rtol=1e-5)


def drawn(encoder: Continuous, n: int = 3000, width: int = 16) -> Encoded:
    """What an untrained head makes of strong noise."""
    torch.manual_seed(0)
    head = encoder.head(width)
    with torch.no_grad():
        return head(5 * torch.randn(n, width), torch.rand(n, head.n_noise))


def test_round_trip_in_every_group() -> None:
    templates = every_group()
    encoder = Continuous.fit(templates)
    encoded = encoder.encode(templates)
    assert encoded.whole.shape == (len(templates), len(WHOLE))
    assert encoded.sites.shape == (len(templates), 4, len(SITE))
    assert encoded.whole.dtype == encoded.sites.dtype == torch.float32
    assert_same(encoder.decode(encoded), templates)
    assert encoder.groups.tolist() == list(range(2, 231))


def test_round_trip_of_real_structures(real: Templates) -> None:
    encoder = Continuous.fit(real)
    assert_same(encoder.decode(encoder.encode(real)), real)


def test_the_numbers_are_those_of_the_paper() -> None:
    """A cubic perovskite and a body-centred tetragonal cell, whose scaled numbers are undone by hand."""
    cell = np.array([[4.0, 4.0, 4.0, 90, 90, 90], [5.0, 5.0, 12.0, 90, 90, 90]])
    letters = np.array([[0, 1, 2, -1], [0, 1, 3, 4]], np.int8)
    templates = Templates(np.array([221, 139], np.int16), cell, letters, np.full((2, 4, 3), 0.3)).projected()
    encoder = Continuous.fit(templates)
    encoded = encoder.encode(templates)
    whole = encoded.whole.double().numpy() * encoder.whole[:, 3] + encoder.whole[:, 2]
    site = encoded.sites.double().numpy() * encoder.site[:, 3] + encoder.site[:, 2]
    assert_allclose(whole, [[221, 5, 4, 4, 4, 90, 90, 90], [139, 12, 5, 5, 12, 90, 90, 90]], rtol=1e-6)
    assert_allclose(
        site,
        [
            [[0, 0, 0, 0], [1, 0.5, 0.5, 0.5], [2, 0, 0.5, 0.5], [-1, 0, 0, 0]],
            [[0, 0, 0, 0], [1, 0, 0, 0.5], [3, 0, 0.5, 0.25], [4, 0, 0, 0.3]],
        ],
        atol=1e-6,
    )


def test_state_is_plain_and_complete() -> None:
    templates = every_group()
    encoder = Continuous.fit(templates)
    again = Continuous.from_state(json.loads(json.dumps(encoder.state())))
    for found, wanted in zip(again.encode(templates), encoder.encode(templates), strict=True):
        assert torch.equal(found, wanted)


def test_what_the_data_did_not_have_is_not_covered() -> None:
    templates = every_group()
    known = templates[(templates.spacegroup < 200) & (templates.n_sites == 3)]
    encoder = Continuous.fit(known)
    assert encoder.covers(known).all()
    assert not encoder.covers(templates[templates.spacegroup >= 200]).any()
    assert not encoder.covers(templates[templates.n_sites == 4]).any()
    long = Templates(known.spacegroup, known.cell * [9, 9, 9, 1, 1, 1], known.letters, known.coords)
    assert not encoder.covers(long).all()
    with pytest.raises(ValueError, match="outside"):
        encoder.encode(templates)


def test_no_templates() -> None:
    with pytest.raises(InputError, match="block `training`"):
        Continuous.fit(every_group()[:0])


def test_all_of_the_data_is_within_reach_of_the_tanh(real: Templates) -> None:
    """A head can be made to draw every real template, through its own tanh."""
    encoder = Continuous.fit(real)
    encoded = encoder.encode(real)
    wanted = torch.cat([encoded.whole, encoded.sites.flatten(1)], dim=1)
    n = wanted.shape[1]
    head = encoder.head(n)
    share = (wanted - head.middle) / head.reach
    assert share.abs().max() < 1
    with torch.no_grad():
        head.numbers.weight.copy_(torch.eye(n))
        head.numbers.bias.zero_()
        found = head(torch.atanh(share), torch.rand(len(real), head.n_noise))
    assert_same(encoder.decode(found), real)
    # and the data use most of what is within reach
    assert (share.min(0).values < -0.75).all()
    assert (share[:, : len(WHOLE) + len(SITE)].max(0).values > 0.75).all()


def test_numbers_are_standardised(real: Templates) -> None:
    encoded = Continuous.fit(real).encode(real)
    for part in (encoded.whole, encoded.sites.flatten(0, 1)):
        assert_allclose(part.mean(0), np.zeros(part.shape[1]), atol=1e-4)
        assert_allclose(part.std(0), np.ones(part.shape[1]), atol=1e-3)


def test_weights_are_copies() -> None:
    data = every_group()
    times = np.where(data.spacegroup % 2, 1, 3)
    weighted = Continuous.fit(data, times.astype(float))
    repeated = Continuous.fit(data[np.repeat(np.arange(len(data)), times)])
    assert_allclose(weighted.whole, repeated.whole)
    assert_allclose(weighted.site, repeated.site)


def test_untrained_it_draws_about_the_mean(real: Templates) -> None:
    encoder = Continuous.fit(real)
    torch.manual_seed(0)
    head = encoder.head(16)
    with torch.no_grad():
        found = encoder.decode(head(torch.zeros(1, 16), torch.zeros(1, 0)))
    assert found.spacegroup[0] == np.rint(real.spacegroup.mean())
    assert_allclose(found.cell[0, 2], real.cell[:, 2].mean(), rtol=1e-4)


def test_real_and_generated_have_the_same_form() -> None:
    templates = every_group()
    encoder = Continuous.fit(templates)
    real, fake = encoder.encode(templates), drawn(encoder)
    for a, b in zip(real, fake, strict=True):
        assert a.shape[1:] == b.shape[1:]
        assert a.dtype == b.dtype
        assert (b.flatten(0, -2).min(0).values < a.flatten(0, -2).min(0).values).all(), "generated go a little beyond"
        assert (b.flatten(0, -2).max(0).values > a.flatten(0, -2).max(0).values).all()
    found = encoder.decode(fake)
    assert set(found.spacegroup) > set(range(2, 231, 10)), "strong noise reaches about all groups"
    # what is decoded is encoded again, but for numbers of atoms that the data did not have
    covered = found[encoder.covers(found)]
    assert len(covered) > 500
    assert_same(encoder.decode(encoder.encode(covered)), covered)


def test_group_and_letters_are_the_nearest() -> None:
    templates = every_group()
    encoder = Continuous.fit(templates)
    encoded = encoder.encode(templates)
    for shift in (-0.45, 0.45):
        whole, sites = encoded.whole.clone(), encoded.sites.clone()
        whole[:, 0] += shift / encoder.whole[0, 3]
        sites[..., 0] += shift / encoder.site[0, 3]
        found = encoder.decode(Encoded(whole, sites))
        assert_array_equal(found.spacegroup, templates.spacegroup)
        assert_array_equal(found.letters, templates.letters)


def test_dependent_parameters_follow() -> None:
    encoder = Continuous.fit(every_group())
    found = encoder.decode(drawn(encoder))
    assert_array_equal(found.cell, constrain_cell(found.spacegroup, found.cell))
    assert len(found[found.spacegroup >= 195]) > 100
    again = found.projected()
    assert_allclose(np.sort(again.coords, axis=1), np.sort(found.coords, axis=1), atol=1e-12)


def test_impossible_letters_stay_visible() -> None:
    """They are decoded as they are, and count as failures wherever draws are judged."""
    templates = every_group()
    encoder = Continuous.fit(templates)
    right = templates[(templates.spacegroup == 2) | (templates.spacegroup == 225)]
    encoded = encoder.encode(right)
    letters = right.letters.copy()
    letters[0, 0], letters[3, 0] = 12, 15  # group 2 ends with i, group 225 with l
    encoded.sites[..., 0] = torch.from_numpy((letters - encoder.site[0, 2]) / encoder.site[0, 3])
    found = encoder.decode(encoded)
    assert_array_equal(found.letters, letters)
    assert found.offered.tolist() == [False, True, True, False]
    assert (min_distances(found) > 0).tolist() == [False, True, True, False]
    assert sorted(int(i) for group in expand(found) for i in group.index) == [1, 2]
    assert select(found, TemplateOptions(), Distinct(Tolerances())).refused["impossible sites"] == 2
    draws = Draws(found)
    assert draws.symmetric.tolist() == [False, True, True, False]
    assert draws.isopointal[[0, 3]].tolist() == draws.fingerprint[[0, 3]].tolist() == [""] * 2
    known = Draws(right)
    assert judge(draws, known, known, TemplateOptions(min_distance=1e-6))["valid"] == 0.5


def test_empty_slots_go_last(real: Templates) -> None:
    encoder = Continuous.fit(real)
    three = real[real.n_sites == 3]
    whole, sites = encoder.encode(three)
    found = encoder.decode(Encoded(whole, sites[:, [0, 3, 1, 2]]))
    assert_same(found, three)
    assert_allclose(min_distances(found), min_distances(three), atol=1e-4)


def test_no_site_at_all_and_no_volume_are_failures() -> None:
    one = real_templates(3)
    cell, letters = one.cell.copy(), one.letters.copy()
    letters[1] = -1
    cell[2] = [4, 4, 4, 60, 60, 130]  # an angle larger than the sum of the others
    none = Templates(np.array([166, 221, 2], np.int16), cell, letters, one.coords)
    draws = Draws(none)
    assert (draws.min_distance > 0).tolist() == [True, False, False]
    assert draws.isopointal[1:].tolist() == [""] * 2
    known = Draws(one)
    found = judge(draws, known, known, TemplateOptions())
    assert found["valid"] == pytest.approx(1 / 3)
    assert found["density_overlap"] < 0.4


def test_every_output_gets_a_gradient() -> None:
    encoder = Continuous.fit(every_group())
    torch.manual_seed(1)
    head = encoder.head(16)
    encoded = head(torch.randn(64, 16), torch.rand(64, head.n_noise))
    sum((part * torch.randn(part.shape[1:])).sum() for part in encoded).backward()
    for parameter in head.parameters():
        assert (parameter.grad.abs() > 0).all()


def fit_continuous(folder: Path, steps: int = 60, data: Templates | None = None, **options: object) -> WganModel:
    data, held_out = real_templates() if data is None else data, real_templates(150, seed=9)
    return fit(folder, steps, data=data, held_out=held_out, save_every=30, **{"encoder": "continuous", **options})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a short training."""
    folder = tmp_path_factory.mktemp("continuous")
    fit_continuous(folder)
    return folder


def test_training_end_to_end(trained: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = np.loadtxt(trained / "training.csv", delimiter=",", skiprows=1)
    assert rows.shape == (60, 8)
    assert np.isfinite(rows).all()
    assert (rows[:, 5:] == 0).all(), "letters are no choices and have no likelihood, rounding no gradient"
    assert ",-0\n" not in (trained / "training.csv").read_text()
    model = load_generator(trained / "generator.ckpt")
    assert isinstance(model.encoder, Continuous)
    found = sample(model, 500, 1)
    assert len(found) == 500
    assert set(found.spacegroup) <= set(range(166, 222))
    refused = select(found, TemplateOptions(), Distinct(Tolerances())).refused
    assert refused["impossible sites"] > 0, "after so few steps"


def test_the_best_late_step_is_chosen_by_held_out_templates(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="cgwgan")
    fit_continuous(tmp_path, steps=100)
    assert [r.message.split()[1] for r in caplog.records if "on the held-out" in r.message] == ["100:"]


def test_score_counts_groups_that_are_left_out() -> None:
    """A generator that draws one perovskite for ever: valid, in one class of density, of one group in two."""
    data = real_templates()
    encoder = Continuous.fit(data)
    options = ModelOptions(latent=4, generator=(8,), critic=(8,), encoder="continuous")
    model = WganModel(encoder, *build(encoder, options, 0), options, "", 0, {})
    module = WGANGP(model, data, np.ones(len(data)), data, options, 1)
    one = data[data.spacegroup == 221][:1]
    encoded = encoder.encode(one)
    head = module.averaged.head
    with torch.no_grad():
        numbers = torch.cat([encoded.whole, encoded.sites.flatten(1)], dim=1)[0]
        head.numbers.weight.zero_()
        head.numbers.bias.copy_(torch.atanh((numbers - head.middle) / head.reach))
    same = np.digitize(data.number_density, DENSITY_EDGES) == np.digitize(one.number_density, DENSITY_EDGES)
    assert module.score(seed=3) == pytest.approx(same.mean() * (data.spacegroup == 221).mean(), abs=0.03)


def test_same_bytes_again(trained: Path, tmp_path: Path) -> None:
    fit_continuous(tmp_path)
    for name in ("generator.ckpt", "training.csv"):
        assert (tmp_path / name).read_bytes() == (trained / name).read_bytes(), name


def test_likelihood_has_no_effect(trained: Path, tmp_path: Path) -> None:
    fit_continuous(tmp_path, likelihood=0.0)
    assert (tmp_path / "training.csv").read_bytes() == (trained / "training.csv").read_bytes()


def test_checkpoint_holds_the_encoder(trained: Path, tmp_path: Path) -> None:
    first = load_generator(trained / "generator.ckpt")
    again = fit_continuous(tmp_path, steps=0, init=str(trained / "generator.ckpt"))
    assert (tmp_path / "generator.ckpt").read_bytes() == (trained / "generator.ckpt").read_bytes()
    assert again.encoder.state() == first.encoder.state()
    for name in ("spacegroup", "cell", "letters", "coords"):
        assert_array_equal(getattr(sample(first, 50, 2), name), getattr(sample(again, 50, 2), name))
    with pytest.raises(InputError, match=r"model.encoder is categorical here and continuous there"):
        fit_continuous(tmp_path, encoder="categorical", init=str(trained / "generator.ckpt"))


def test_it_learns(tmp_path: Path) -> None:
    """Rounded numbers become the letters of the data, and the cell its cell."""
    data = real_templates()
    data = data[data.spacegroup == 221]

    def right(model: WganModel) -> float:
        found = sample(model, 1000, 0)
        near = np.abs(found.cell[:, 0] - 4) < 0.3
        return ((found.spacegroup == 221) & (found.letters == data.letters[0]).all(1) & near).mean()

    model = fit_continuous(tmp_path, steps=200, data=data, learning_rate=1e-3, n_critic=3, ema=0.98)
    untrained = WganModel(model.encoder, *build(model.encoder, model.options, 0), model.options, "", 0, {})
    assert right(untrained) < 0.2
    assert right(model) > 0.9


def test_nothing_can_be_asked_of_it(trained: Path) -> None:
    model = load_generator(trained / "generator.ckpt")
    with pytest.raises(InputError, match="space groups cannot be asked for"):
        sample(model, 5, 1, Request(spacegroups=(221,)))
    # nor does it choose anything that pseudocount could change
    assert_array_equal(sample(model, 5, 1, Request(0)).coords, sample(model, 5, 1, Request(9)).coords)
    noise = model.generator.noise(4, torch.Generator().manual_seed(0))
    like = model.encoder.encode(real_templates(4))
    with pytest.raises(InputError, match="space groups cannot be asked for"):
        model.generator(*noise, like=like)


def test_encoders_are_those_of_the_configuration() -> None:
    root = Path(__file__).parents[3]
    schema = yaml.safe_load((root / "schemas" / "config.schema.yaml").read_text())
    assert schema["properties"]["model"]["properties"]["encoder"]["enum"] == list(ENCODERS)
