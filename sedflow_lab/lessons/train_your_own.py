"""Answers to the exercises of the lesson in which a network is trained."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..diagnostics.exam import Exam
from ..panels.train.state import TrainState
from ..parameters import N_FREE, PARAMETERS
from .answers import exercise, judge

__all__ = ["FEW", "check_draws", "check_gap", "check_nothing"]

FEW = 500
"""Simulations that are too few."""

_WANTED = 1000


@exercise
def check_nothing(answer: Any) -> None:
    """Loss of the prior, which has learnt nothing."""
    normal = 0.5 * (N_FREE - 1) * (1 + math.log(2 * math.pi))
    mass = math.log(PARAMETERS[0].high - PARAMETERS[0].low)
    print(
        judge(
            answer,
            normal + mass,
            0.1,
            "Draw many free coordinates with prior.sample_free(100_000), take the log of the "
            "prior's density there with prior.log_prob_free, and give minus its mean.",
            {
                "That is the mean of the logarithm: the loss is minus that.": -(normal + mass),
                "That is in bits: give it in nats, with the natural logarithm.": (normal + mass)
                / math.log(2),
            },
        )
    )


@exercise
def check_gap(answer: Any, state: TrainState) -> None:
    """How much worse a network is at simulations that it has never seen."""
    if answer is not None and state.simulations != FEW:
        print(f"This network was shown {state.simulations:,} simulations: train one with {FEW}.")
        return
    if answer is not None and (state.busy or not state.done):
        print("This network is not trained yet: call start() and wait(300).")
        return
    record = state.records.get(state.how)
    training, validation = (
        (record.training_loss[-1], record.validation_loss[-1]) if record else (math.nan, math.nan)
    )
    print(
        judge(
            answer,
            validation - training,
            0.02,
            "Take the last of record.validation_loss less the last of record.training_loss.",
            {
                "That is the other way round: validation less training.": training - validation,
                "That is the validation loss itself: subtract that of training.": validation,
            },
        )
    )


@exercise
def check_draws(answer: Any, exam: Exam) -> None:
    """Draws of the network that are worth a thousand exact ones."""
    right = _WANTED / max(exam.efficiency, np.finfo(float).tiny)
    print(
        judge(
            answer,
            right,
            0.02 * right,
            "The efficiency is the number of effective draws over the number of draws: divide the "
            "effective draws that are wanted by it.",
            {
                "That is what a thousand draws are worth: the question is the other way round.": (
                    _WANTED * exam.efficiency
                ),
            },
        )
    )
