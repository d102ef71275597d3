"""What a panel shows, without widgets: the part that all states share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import traitlets

from .jobs import Job, Jobs, running_loop

__all__ = ["State", "Traits"]

Traits = dict[str, Any]
"""Values of traits, by name."""


class State(traitlets.HasTraits):
    """Traits that a panel shows, and the threads that change them.

    Parameters
    ----------
    **choice
        First values of traits.

    Attributes
    ----------
    jobs : Jobs
        Its lock guards the traits, for widgets may call back on threads of their own.
    message : str
        What went wrong, or ``""``.
    """

    message = traitlets.Unicode("")

    def __init__(self, **choice: Any) -> None:
        self.jobs = Jobs(running_loop())
        super().__init__(**choice)

    def _start(
        self, name: str, flag: str | None, failed: str, work: Callable[[Job], Traits]
    ) -> None:
        """Raise a flag and work in a thread; then set traits, or say that it failed.

        The flag is lowered last: whoever waits for it finds all that was found.
        """
        lowered = {} if flag is None else {flag: False}

        def attempt(job: Job) -> None:
            try:
                found = work(job)
            except Exception as error:  # a thread has nobody else to tell
                found = {"message": f"{failed}: {error}"}
            job.post(self._put, found | lowered)

        if flag is not None:
            setattr(self, flag, True)
        self.jobs.start(name, attempt)

    def _put(self, values: Traits) -> None:
        """Set traits, one after the other."""
        for name, value in values.items():
            setattr(self, name, value)

    def wait(self, timeout: float = 60.0) -> bool:
        """Wait for what is under way, at most so many seconds; whether it has ended."""
        return self.jobs.wait(timeout)

    def close(self) -> None:
        """Stop all threads, and wait for their end."""
        self.jobs.stop()
        self.jobs.wait()
