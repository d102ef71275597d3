"""Diagnostics: convergence of chains, comparison of posteriors, trust and calibration."""

from __future__ import annotations
