"""What a panel shows, without widgets: the part that all states share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import traitlets

from ...errors import InputError
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

    shared: ClassVar[tuple[str, ...]] = ()  # traits that a view is made of, in their order

    def __init__(self, **choice: Any) -> None:
        self.jobs = Jobs(running_loop())
        self._patient = False
        super().__init__(**choice)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a trait and tell of it, one change at a time.

        JupyterLab lets widgets call back on a thread of their own, beside the one that runs cells
        and delivers news: whoever is told of a choice late would take it for the newest.
        """
        with Jobs.lock:
            super().__setattr__(name, value)

    def to_json(self) -> str:
        """The view as a line of JSON: what was chosen, and nothing that follows from it."""
        return json.dumps({name: getattr(self, name) for name in self.shared}, ensure_ascii=False)

    def load_json(self, text: str) -> None:
        """Go to a view that `to_json` has told.

        Raises
        ------
        InputError
            If the text is no view of this kind of panel.
        """
        try:
            with Jobs.lock, self.patiently(), self.hold_trait_notifications():
                self._put(self.read_json(text))
        except traitlets.TraitError as error:
            raise InputError(f"This view cannot be shown: {error}") from None

    @classmethod
    def read_json(cls, text: str) -> Traits:
        """Traits of a view that `to_json` has told."""
        try:
            found = json.loads(text)
        except ValueError as error:
            raise InputError(f"A view is a line of JSON: {error}.") from None
        if not isinstance(found, dict):
            raise InputError("A view is a JSON object, in braces.")
        if unknown := sorted(set(found) - set(cls.shared)):
            known = ", ".join(cls.shared)
            raise InputError(f"This view has no {unknown[0]!r}: it may have {known}.")
        return {k: tuple(v) if isinstance(v, list) else v for k, v in found.items()}

    @contextmanager
    def patiently(self) -> Iterator[None]:
        """Context for what a person does: where it comes in a hurry, only the last is worked on."""
        before, self._patient = self._patient, True
        try:
            yield
        finally:
            self._patient = before

    def _when_at_rest(self, name: str, work: Callable[[], None]) -> None:
        """Work at once, or once no more of it comes in a hurry (see `patiently`)."""
        if self._patient:
            self.jobs.when_at_rest(name, work)
        else:
            self.jobs.forget(name)
            work()

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
