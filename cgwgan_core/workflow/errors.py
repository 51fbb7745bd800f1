"""The one error a user should see: what is wrong, in which file and record, and what to do about it."""


class InputError(Exception):
    """Bad input or configuration, told in one message: the file, the record and the remedy.

    Scripts print the message alone, without a traceback, and exit with status 1 (see :mod:`cgwgan_core.workflow.logs`).
    """
