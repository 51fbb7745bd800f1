"""The generator: a Wasserstein GAN that learns templates, what it draws, and how good that is."""
