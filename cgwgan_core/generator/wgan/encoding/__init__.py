"""Templates as tensors, and back."""
