"""A digest of the code that a script runs, so that what changed in meaning reruns, and nothing else does.

The digest covers the syntax trees of the script and of every module of this package that it imports, directly or not.
Docstrings are blanked first; comments and layout are no part of a syntax tree. It also covers the data files beside
these modules that they name, and the versions of the other packages that they import.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cgwgan_core.workflow.provenance import digest_file

PACKAGE = Path(__file__).resolve().parents[1]
"""Root of this package: the folder ``cgwgan_core``."""

DISTRIBUTIONS = {"sklearn": "scikit-learn", "yaml": "pyyaml"}
"""What packages are installed as, where their import has another name. (To ask for all would cost every job 0.5 s.)"""

BENEATH = {
    "phonopy": "spglib",
    "seekpath": "spglib",
    # ASE's FixSymmetry
    "relaxation/descent.py": "spglib",
    # pymatgen's CifWriter
    "results/store.py": "spglib",
    # its reference energies are read as a file
    "screening/references.py": "matcalc",
}
"""Packages that results depend on without an import, by the package or the module of this package that needs them."""

DATA = (".css", ".csv", ".j2", ".js")
"""How names of data files end; the shipped generator is an input of its rule."""


def code_digest(script: str | Path) -> str:
    """Digest (16 hex digits) of a script, of the package's modules that it uses, and of their dependencies."""
    todo = [Path(script).resolve()]
    digests: dict[Path, str] = {}
    others: set[str] = set()
    while todo:
        path = todo.pop()
        if path in digests:
            continue
        if path.suffix != ".py":
            digests[path] = digest_file(path)
            continue
        digests[path], inside, outside = _parse(path, path.read_text(encoding="utf-8"))
        todo.extend(inside)
        others.update(outside)
    lines = sorted(f"{_name(path)} {digest}" for path, digest in digests.items())
    others |= {package for user, package in BENEATH.items() if user in others or PACKAGE / user in digests}
    lines += [f"{name} {found}" for name in sorted(others) if (found := installed_version(name))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


@cache
def installed_version(package: str) -> str | None:
    """Version of a package by the name it is imported by; ``None`` if it is of the standard library."""
    try:
        return version(DISTRIBUTIONS.get(package, package))
    except PackageNotFoundError:
        return None


def _name(path: Path) -> str:
    """A file's path in the package; of a script, its name."""
    return path.relative_to(PACKAGE).as_posix() if path.is_relative_to(PACKAGE) else path.name


@cache
def _parse(path: Path, source: str) -> tuple[str, tuple[Path, ...], tuple[str, ...]]:
    """Digest of one file's syntax tree, the package's files it imports or reads, and the other packages it imports."""
    tree = ast.parse(source, path)
    inside: list[Path] = []
    outside: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
            # a string that stands alone has no effect: docstrings, also those below fields
            node.body = [n for n in node.body if not _is_text(n)] or [ast.Pass()]
        for module, names in _imports(node):
            if module.split(".")[0] == PACKAGE.name:
                inside.extend(_files(module, names))
            else:
                outside.append(module.split(".")[0])
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.endswith(DATA):
            inside.extend(file for file in [path.parent / node.value] if file.is_file())
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), tuple(inside), tuple(outside)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _imports(node: ast.AST) -> Iterator[tuple[str, list[str]]]:
    """Modules that a statement imports, and the names that it takes from each; all imports here are absolute."""
    if isinstance(node, ast.Import):
        yield from ((name.name, []) for name in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield node.module, [name.name for name in node.names]


def _files(module: str, names: Iterable[str]) -> Iterator[Path]:
    """Files of this package that an import runs: the packages above the module, the module, names that are modules."""
    parts = module.split(".")
    for dotted in (*(parts[:n] for n in range(1, len(parts) + 1)), *([*parts, name] for name in names)):
        place = PACKAGE.parent.joinpath(*dotted)
        yield from (file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file())
