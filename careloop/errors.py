"""The error that reaches a person."""


class CareloopError(Exception):
    """Something the user can mend; its text is one line that says what is wrong and what to do.

    The command line prints it and exits with 2. Everything else is a defect and keeps its traceback.
    """
