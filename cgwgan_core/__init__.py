"""Crystal discovery by symmetry: templates, their generator, and the screening of what is made of them.

A *template* is a crystal without its elements: a space group, one Wyckoff letter with its free coordinates
per site of the asymmetric unit, and lattice parameters. A *candidate* is a template with an element on
every site. There is a package for each stage, and four that serve all; see docs/ARCHITECTURE.md.
"""

__version__ = "0.2.0"
