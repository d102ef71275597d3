"""Keywords that were renamed are still accepted."""

from __future__ import annotations

import inspect
import warnings

import pytest

from sedflow_lab._keywords import renamed


@renamed(phot="photometry", n="draws")
def area(photometry: int, draws: int = 2) -> int:
    """Stand in for a function of the package."""
    return photometry * draws


def test_old_names_do_what_new_ones_do_and_say_what_to_write():
    with pytest.warns(DeprecationWarning, match=r"phot of area\(\) is called photometry") as seen:
        assert area(phot=3) == 6
    assert seen[0].filename == __file__
    with pytest.warns(DeprecationWarning, match="n of area"):
        assert area(3, n=5) == 15
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert area(3, draws=5) == area(photometry=3, draws=5) == 15


def test_old_and_new_together_are_refused():
    with pytest.raises(TypeError, match="leave out phot"):
        area(photometry=3, phot=3)
    with pytest.warns(DeprecationWarning), pytest.raises(TypeError, match="multiple values"):
        area(3, phot=3)


def test_what_is_decorated_keeps_its_face():
    assert area.__name__ == "area" and area.__doc__ == "Stand in for a function of the package."
    assert list(inspect.signature(area).parameters) == ["photometry", "draws"]
