"""What a panel shows, without widgets: the part that all states share."""

from __future__ import annotations

from typing import Any

import traitlets

from .jobs import Jobs, running_loop

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
    """

    def __init__(self, **choice: Any) -> None:
        self.jobs = Jobs(running_loop())
        super().__init__(**choice)

    def wait(self, timeout: float = 60.0) -> bool:
        """Wait for what is under way, at most so many seconds; whether it has ended."""
        return self.jobs.wait(timeout)

    def close(self) -> None:
        """Stop all threads, and wait for their end."""
        self.jobs.stop()
        self.jobs.wait()
