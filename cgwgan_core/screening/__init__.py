"""Candidates: elements on templates, their energies, the shortlist."""
