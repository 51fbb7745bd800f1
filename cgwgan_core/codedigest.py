"""A digest of the code that a script runs, so that what changed in meaning reruns, and nothing else does.

The syntax tree of the script and of every module of this package that it imports, directly or not, is
hashed with the docstrings blanked; comments and layout are no part of a syntax tree. Versions of the other
packages that these modules import belong to it.
"""

import ast
import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGE = Path(__file__).parent


def code_digest(script: str | Path) -> str:
    """Digest (16 hex digits) of a script, of the package's modules that it uses, and of their dependencies."""
    todo, seen, others = [Path(script).resolve()], {}, set()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen[path], inside, outside = _parse(path)
        todo.extend(inside)
        others.update(outside)
    lines = sorted(f"{path.name} {digest}" for path, digest in seen.items())
    lines += [f"{name} {found}" for name in sorted(others) if (found := _version(name))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


@cache
def _parse(path: Path) -> tuple[str, tuple[Path, ...], tuple[str, ...]]:
    """Digest of one file's syntax tree, the package's files it imports, and the other packages it imports."""
    tree = ast.parse(path.read_text())
    inside: list[Path] = []
    outside: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
            # a string that stands alone has no effect: docstrings, also those below fields
            node.body = [n for n in node.body if not _is_text(n)] or [ast.Pass()]
        elif isinstance(node, ast.Import):
            for name in node.names:
                _sort_import(name.name, [], 0, path, inside, outside)
        elif isinstance(node, ast.ImportFrom):
            _sort_import(node.module or "", [n.name for n in node.names], node.level, path, inside, outside)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), tuple(inside), tuple(outside)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _sort_import(module: str, names: list[str], level: int, path: Path, inside: list[Path], outside: list[str]) -> None:
    parts = module.split(".") if module else []
    if level:
        base = path.parents[level - 1]
    elif parts[0] == PACKAGE.name:
        base, parts = PACKAGE, parts[1:]
    else:
        outside.append(parts[0])
        return
    target = base.joinpath(*parts)
    for candidate in (target, *(target / name for name in names)):
        for file in (candidate.with_suffix(".py"), candidate / "__init__.py"):
            if file.is_file():
                inside.append(file.resolve())


DISTRIBUTIONS = {"sklearn": "scikit-learn", "yaml": "pyyaml"}
"""What packages are installed as, where their import has another name. (To ask for all would cost every job 0.5 s.)"""


@cache
def _version(name: str) -> str | None:
    try:
        return version(DISTRIBUTIONS.get(name, name))
    except PackageNotFoundError:
        return None
