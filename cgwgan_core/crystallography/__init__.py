"""Crystals without energies: space groups, templates, distances, keys, and which are the same."""
