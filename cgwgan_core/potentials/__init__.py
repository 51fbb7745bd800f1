"""Interatomic potentials behind one protocol; no science of the pipeline."""
