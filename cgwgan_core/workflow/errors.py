"""The one error a user should see: what is wrong, in which file and record, and what to do about it."""


class InputError(Exception):
    """Bad input or configuration, told in one message: the file, the record and the remedy.

    Scripts print the message alone, without a traceback, and exit with status 1 (see :mod:`cgwgan_core.workflow.logs`).
    """


def first_line(error: BaseException) -> str:
    r"""First line of an error's text; the name of its type where it has no text.

    >>> first_line(ValueError("no cell\nsee the manual")), first_line(EOFError())
    ('no cell', 'EOFError')
    """
    text = str(error).strip()
    return text.splitlines()[0].strip() if text else type(error).__name__
