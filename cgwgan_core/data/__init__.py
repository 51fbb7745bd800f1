"""Small tables that ship with the package; ``make_tables.py`` makes them again from their sources."""
