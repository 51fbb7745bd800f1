"""Relaxed crystals: the potential's check, the known phases, the shortlist, and what of it is new."""
