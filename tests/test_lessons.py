"""The lessons: what judges say of answers, and the figure beside the exact posterior."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest

from sedflow_lab.lessons import abc_to_npe, break_it, first_steps, train_your_own
from sedflow_lab.lessons.answers import judge
from sedflow_lab.plots.plane import plot_beside_exact
from sedflow_lab.samplers.mass_and_dust import MassAndDust

HINT = "Think of the square root."
SLIPS = {"That is the square.": 16.0, "That is its inverse.": 0.25}


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (4.05, "Right: 4.05."),
        (np.float64(3.95), "Right: 3.95."),
        (16.1, "16.1 is not it. That is the square."),
        (0.251, "0.251 is not it. That is its inverse."),
        (8, f"8 is too large. {HINT}"),
        (-1, f"-1 is too small. {HINT}"),
        (np.nan, f"nan is no answer: {HINT}"),
        ("four", f"A number is asked for, not str: {HINT}"),
        ([1, 2], f"A number is asked for, not list: {HINT}"),
    ],
)
def test_an_answer_is_right_or_helped(answer, sentence):
    assert judge(answer, 4.0, 0.1, HINT, SLIPS) == sentence


def test_what_is_not_answered_yet_is_told_at_once(capsys):
    break_it.check_support(None, bench=None)  # nothing is worked out
    said = capsys.readouterr().out
    assert said == ("Not answered yet: put your number in place of None, and run the cell again.\n")
    assert "support" in break_it.check_support.__doc__


def test_the_price_of_other_errors_is_told_from_that_which_is_asked_for(capsys):
    abc_to_npe.check_price(3.7e7)
    assert "That is the number for errors of 10 %" in capsys.readouterr().out
    abc_to_npe.check_price(9e8)
    assert capsys.readouterr().out.startswith("Right")


def test_posteriors_are_drawn_beside_the_exact_one():
    galaxy = MassAndDust()
    exact = galaxy.exact()
    draws = {"exact": exact.sample(4000), "prior": galaxy.draw(500, np.random.default_rng(0))}
    figure = plot_beside_exact(exact, draws, galaxy.labels(), galaxy.truth)
    titles = [ax.get_title() for ax in figure.axes]
    drawn, near = titles[0].split(": ")
    # Of 4,000 draws of the grid 0.031 with a scatter of 0.005, over 40 seeds.
    assert drawn == "exact" and float(near) < 0.07 and titles[1].startswith("prior: 0.9")
    assert figure.axes[0].get_xlabel() == "log M★ [M☉]"


@pytest.mark.parametrize(
    ("check", "right", "slip", "sentence"),
    [
        (first_steps.check_mass, -0.7526, 0.7526, "mind the sign"),
        (first_steps.check_coverage, 0.513, 0.476, "not proportional to width"),
        (first_steps.check_holm, 0.0033, 0.05, "for one quantity alone"),
        (first_steps.check_simulations, 2055, 45.3, "Square it"),
        (train_your_own.check_nothing, 15.9, 22.9, "That is in bits"),
        (break_it.check_prior, 0, 12, "count the others"),
    ],
)
def test_answers_of_lessons_are_judged_and_slips_named(check, right, slip, sentence, capsys):
    check(right)
    assert capsys.readouterr().out.startswith("Right")
    check(slip)
    assert sentence in capsys.readouterr().out


NUMBERS = {  # cells of lessons that are quick, and print numbers that chance has a hand in
    "06_train_your_own": ("norm.logpdf",),
    "07_abc_to_npe": ("200_000)  # draws of the prior", "galaxy = MassAndDust"),
    "11_population": ("lesson.toy(noise=1.0)", "minus_log_likelihood"),
}


def test_a_lesson_prints_the_same_numbers_in_another_kernel():
    """A few cells; benchmarks/lessons.py runs all of all lessons twice."""
    root = Path(__file__).resolve().parents[1]
    sys.path.insert(0, str(root / "benchmarks"))
    try:
        from lessons import run
    finally:
        sys.path.pop(0)
    chosen = [
        cell
        for stem, signs in NUMBERS.items()
        for cell in nbformat.read(root / "notebooks" / f"{stem}.ipynb", as_version=4).cells
        if cell.cell_type == "code" and any(sign in cell.source for sign in signs)
    ]
    assert len(chosen) == 5
    for number, cell in enumerate(chosen):
        cell.id = f"cell-{number}"
    made = [nbformat.v4.new_notebook(cells=copy.deepcopy(chosen)) for _ in range(2)]
    first, second = (run(notebook) for notebook in made)
    assert first == second and all(any(c.isdigit() for c in text) for text in first)
