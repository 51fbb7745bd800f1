"""Job scripts: a machine's template, filled in for each folder of inputs."""

import re
from pathlib import Path

from cgwgan_core.workflow.errors import InputError, first_line

NAME = "job.sh"
"""File in each folder."""
PLACEHOLDERS = ("name", "folder", "command")
_PLACEHOLDER = re.compile(r"(?<!\$)\{(\w+)\}")  # ${...} is the shell's


class JobTemplate:
    """A script with the placeholders ``{name}``, ``{folder}`` and ``{command}``.

    :param path: the template.
    :param command: what stands for ``{command}``.
    :raises InputError: if the file cannot be read, has another word in braces, or asks for a command that is not set.
    """

    def __init__(self, path: str | Path, command: str | None) -> None:
        try:
            self._text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"vasp.job: {path} cannot be read ({first_line(error)}); name a text file") from None
        if unknown := sorted(set(_PLACEHOLDER.findall(self._text)) - set(PLACEHOLDERS)):
            raise InputError(
                f"vasp.job: {path} has {{{unknown[0]}}}, which is unknown; placeholders are "
                f"{', '.join(f'{{{name}}}' for name in PLACEHOLDERS)}, and ${{...}} stays the shell's"
            )
        if command is None and "command" in _PLACEHOLDER.findall(self._text):
            raise InputError(f"vasp.command: {path} has {{command}}, but there is none; say what runs VASP")
        self._command = command

    def write(self, folder: Path, name: str, final: Path) -> None:
        """Write the script into a folder.

        :param name: of the job.
        :param final: the folder as it will be called.
        """
        words = {"name": name, "folder": str(final), "command": self._command or ""}
        text = _PLACEHOLDER.sub(lambda found: words[found[1]], self._text)
        (folder / NAME).write_text(text, encoding="utf-8")
