"""DFT of what survives: inputs, and results read back. One module per code."""
