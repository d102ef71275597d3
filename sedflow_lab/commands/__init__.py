"""The commands of `sedflow-lab`, one module a group; they import what is heavy when they run."""

from __future__ import annotations

from . import (
    card,
    check,
    compare,
    data,
    demo,
    figures,
    inference,
    mcmc,
    nested,
    networks,
    nsa,
    training,
)

__all__ = ["GROUPS"]

_MODULES = (
    *(demo, inference, mcmc, nested, compare, networks),
    *(training, card, figures, data, nsa, check),
)

GROUPS = tuple(module.add_commands for module in _MODULES)
"""Functions that add commands to the parser, in the order of the help."""
