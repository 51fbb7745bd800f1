"""The Wasserstein GAN with gradient penalty, the generator of the paper."""
