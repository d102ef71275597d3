"""The commands of `sedflow-lab`, one module a group; they import what is heavy when they run."""

from __future__ import annotations

from . import data, demo, inference, mcmc, training

__all__ = ["GROUPS"]

GROUPS = (
    demo.add_commands,
    inference.add_commands,
    mcmc.add_commands,
    training.add_commands,
    data.add_commands,
)
"""Functions that add commands to the parser, in the order of the help."""
