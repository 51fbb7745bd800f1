"""The command ``cgwgan``."""

import argparse
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from cgwgan_core import __version__
from cgwgan_core.start.new import Request, new
from cgwgan_core.workflow.errors import InputError

EXAMPLE = "example: cgwgan new runs/sr-ti-o --chemistry Sr-Ti-O --database mp_summary.json.gz"


def parser() -> argparse.ArgumentParser:
    """Options of the command."""
    top = argparse.ArgumentParser(prog="cgwgan", description="Novel crystals of a chemistry, from a crystal database.")
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    one = commands.add_parser(
        "new", help="make a folder for a run, with its settings", description="Make a folder for a run.", epilog=EXAMPLE
    )
    one.add_argument("folder", type=Path, help="of the run, such as runs/sr-ti-o; it must be new or empty")
    one.add_argument("--chemistry", required=True, metavar="Sr-Ti-O", help="elements that every candidate holds")
    one.add_argument(
        "--database", required=True, metavar="FILE",
        help="file or folder (docs/FORMATS.md); or mp, which downloads with the key in $MP_API_KEY; or aflow, which is"
        " embedded",
    )  # fmt: skip
    one.add_argument(
        "--m3gnet", type=Path, metavar="FOLDER", help="an M3GNet potential that screens, instead of CHGNet"
    )
    one.add_argument(
        "--generator", type=Path, metavar="FILE", help="a checkpoint of your own, instead of the shipped one"
    )
    one.add_argument("--quick", action="store_true", help="minutes instead of the scale of configs/workstation.yaml")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    :returns: the exit status: 1 where what was asked for cannot be.
    """
    given = parser().parse_args(arguments)
    warnings.filterwarnings("ignore")  # the libraries' own are no news to a user
    elements = [part for part in re.split(r"[^A-Za-z0-9]+", given.chemistry) if part]
    try:
        print(new(Request(given.folder, elements, given.database, given.m3gnet, given.generator, given.quick)))  # noqa: T201
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
