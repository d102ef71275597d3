"""How long work will take yet, from how it has gone."""

from __future__ import annotations

import time

__all__ = ["Pace", "time_left"]


class Pace:
    """Watches work of which so much is done, and begins anew where less is done than before."""

    def __init__(self) -> None:
        self._began, self._first, self._last = 0.0, 0, -1

    def words(self, done: int, total: int) -> str:
        """How far it is, and how long it will take yet, as far as that is known."""
        now = time.monotonic()
        if self._last < 0 or done < self._last:
            self._began, self._first = now, done
        self._last = done
        told = f"{done:,} of {total:,}"
        if not self._first < done < total:
            return told
        left = (now - self._began) * (total - done) / (done - self._first)
        return f"{told}, {time_left(left)}"


def time_left(seconds: float) -> str:
    """A time that is left, in minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} left"
