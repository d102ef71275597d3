"""Diagnostics: comparison of posteriors, and calibration.

Everything that notebooks and scripts need is reachable from here, and loads what it needs when
first touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .bands import pp_band, pp_curve
    from .broken import blinded, train_badly
    from .calibration import (
        contraction,
        hpd_levels,
        predictive_p_values,
        predictive_scores,
        rank_scores,
        tarp_references,
        tarp_scores,
        z_scores,
    )
    from .calibration_run import CalibrationRun
    from .comparison import Draws, c2st, compare
    from .conditional import conditional_coverage, coverage_map
    from .exam import Exam, read_exams
    from .mocks import Fault
    from .runs import replay, run_calibration
    from .scoring import SCORED, score_result
    from .uniformity import Uniformity, check_uniformity
    from .witnesses import CASES, WITNESSES, Case, Sight, sights

__getattr__, __all__ = lazy(__name__, __file__)
