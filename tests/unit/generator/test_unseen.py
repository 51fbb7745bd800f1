"""Letters that no training template has."""

import json

import numpy as np
import torch
from numpy.testing import assert_allclose

from cgwgan_core.crystallography.fingerprint import isopointal_types
from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.generator.selection import impossible_sites
from cgwgan_core.generator.wgan.encoding.categorical import Categorical
from tests.support.encoding import all_groups, assert_same


def few_kinds() -> Templates:
    """Several sets of letters in each of four groups, with weights that differ, one set in two settings."""
    kinds = [(12, [0, 1, 8]), (12, [8, 8, 9]), (225, [0, 1, 2]), (225, [0, 2, 4]), (225, [1, 2, 4]), (62, [2, 2, 3, 3])]
    copies = [20, 10, 60, 5, 5, 30]
    base = all_groups(copies=1)
    rows = np.repeat(np.arange(len(kinds)), copies)
    groups = np.array([kinds[i][0] for i in rows], dtype=np.int16)
    letters = np.array([[*kinds[i][1], -1][:4] for i in rows], dtype=np.int8)
    cells = base.cell[[int(np.flatnonzero(base.spacegroup == number)[0]) for number in groups]]
    coords = np.random.default_rng(0).random((len(rows), 4, 3))
    return Templates(groups, cells, letters, coords).projected()


def draws_of(data: Templates, pseudocount: float, n: int = 3000) -> tuple[Categorical, Templates]:
    encoder = Categorical.fit(data)
    torch.manual_seed(2)
    head = encoder.head(16)
    with torch.no_grad():
        return encoder, encoder.decode(head(torch.randn(n, 16), torch.rand(n, head.n_noise), pseudocount))


def test_unseen_letters_are_possible_and_unseen() -> None:
    data = few_kinds()
    known = set(isopointal_types(data))
    _, found = draws_of(data, float("inf"))
    assert not impossible_sites(found).any()
    assert (np.diff(np.where(found.letters < 0, 99, found.letters), axis=1) >= 0).all()
    assert set(found.n_sites) == {3, 4}
    new = np.array([key not in known for key in isopointal_types(found)])
    assert new.mean() > 0.99  # where none of the tries is unseen, the letters are learnt ones
    _, usual = draws_of(data, 0.0)
    assert np.mean([key in known for key in isopointal_types(usual)]) > 0.3
    # letters of the data's kinds are preferred, each kind counted once: b of group 12 over letters the data lack
    in_12 = found.letters[found.spacegroup == 12]
    assert (in_12 == 8).sum() > 2 * (in_12 == 3).sum() > 0


def test_share_of_unseen_letters_follows_variety() -> None:
    """β M / (N + β M), with M sets of letters among the N structures of a group."""
    data = few_kinds()
    known = set(isopointal_types(data))
    pseudocount = 10.0
    for number, structures, sets in ((12, 30, 2), (225, 70, 3), (62, 30, 1)):
        new = []
        for beta in (0.0, pseudocount):
            _, found = draws_of(data, beta, 12_000)
            mine = found[found.spacegroup == number]
            new.append(np.mean([key not in known for key in isopointal_types(mine)]))
        share = pseudocount * sets / (structures + pseudocount * sets)
        assert_allclose(new[1], share + (1 - share) * new[0], atol=0.04)


def test_unseen_letters_outlive_the_checkpoint() -> None:
    data = few_kinds()
    encoder, wanted = draws_of(data, float("inf"))
    again = Categorical.from_state(json.loads(json.dumps(encoder.state())))
    torch.manual_seed(2)
    head = encoder.head(16)
    loaded = again.head(16)
    loaded.load_state_dict(head.state_dict())
    torch.manual_seed(2)
    encoder.head(16)  # the same random state as where they were drawn
    with torch.no_grad():
        found = again.decode(loaded(torch.randn(3000, 16), torch.rand(3000, loaded.n_noise), float("inf")))
    assert_same(found, wanted)
