"""The networks: what attention and critic see."""

import numpy as np
import torch
from numpy.testing import assert_allclose

from cgwgan_core.generator.wgan.encoding.categorical import Categorical
from cgwgan_core.generator.wgan.encoding.protocol import Encoded
from cgwgan_core.generator.wgan.networks import Attention, Critic
from tests.support.training import small_templates


def test_attention_is_over_the_sites() -> None:
    torch.manual_seed(0)
    attention = Attention(16)
    x = torch.randn(2, 16, 4)
    other = x.clone()
    other[:, :, 3] += 1
    assert attention.weights(x).shape == (2, 4, 4)
    assert_allclose(attention.weights(x).sum(2).detach(), np.ones((2, 4)), atol=1e-6)
    assert torch.equal(attention(x), x), "gamma starts at 0"
    with torch.no_grad():
        attention.gamma.fill_(1.0)
    assert not torch.allclose(attention(x)[:, :, 0], attention(other)[:, :, 0]), "site 0 sees site 3"
    # rows of the weights are the sites that attend: the output is their weighted mean of the values
    wanted = x + torch.einsum("bij,bcj->bci", attention.weights(x), attention.value(x))
    assert torch.allclose(attention(x), wanted, atol=1e-5)


def test_critic_scores_each_template_by_itself() -> None:
    encoder = Categorical.fit(small_templates())
    encoded = encoder.encode(small_templates())
    torch.manual_seed(0)
    critic = Critic(encoder, (32, 16))
    with torch.no_grad():
        critic.attention[0].gamma.fill_(0.7)
        scores = critic(encoded)
        assert scores.shape == (200,)
        assert torch.allclose(critic(Encoded(encoded.whole[3:4], encoded.sites[3:4])), scores[3:4], atol=1e-5)
        swapped = Encoded(encoded.whole, encoded.sites.flip(1))
        assert not torch.allclose(critic(swapped), scores, atol=1e-3)
