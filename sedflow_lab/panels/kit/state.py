"""What a panel shows, without widgets: the part that all states share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import traitlets

from .jobs import Job, Jobs, running_loop

__all__ = ["State"]


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

    def _start(self, name: str, flag: str, failed: str, work: Callable[[Job], None]) -> None:
        """Raise a flag and work in a thread; should that fail, lower the flag and say so."""
        setattr(self, flag, True)
        self.jobs.start(name, self._attempt(work, failed, {flag: False}))

    def _attempt(
        self, work: Callable[[Job], None], failed: str, then: dict[str, Any] | None = None
    ) -> Callable[[Job], None]:
        """Work that says so should it fail, and sets traits then."""

        def attempt(job: Job) -> None:
            try:
                work(job)
            except Exception as error:  # a thread has nobody else to tell
                job.post(self._put, {**(then or {}), "message": f"{failed}: {error}"})

        return attempt

    def _put(self, values: dict[str, Any]) -> None:
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
