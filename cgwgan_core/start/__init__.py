"""Before a run: its folder, and the checks of its configuration."""
