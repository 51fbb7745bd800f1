"""Dynamical stability of relaxed crystals, and what follows from force constants."""
