"""The exceptions that sedflow_lab raises on purpose."""

from __future__ import annotations

__all__ = ["InputError", "SedflowError", "WriteError"]


class SedflowError(Exception):
    """Anything that goes wrong inside sedflow_lab and that a user can act on."""


class InputError(SedflowError, ValueError):
    """Input that cannot be used.

    The message is one sentence that names the row, the band or column, the value and the remedy.
    """


class WriteError(SedflowError):
    """A file that cannot be written: the disk is full, not ours, or another process has it."""
