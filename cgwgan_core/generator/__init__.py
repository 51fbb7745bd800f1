"""The generators: a Wasserstein GAN and a flow, which learn templates; what they draw, and how good that is."""
