"""The glossary: it has the words that panels and notebooks use, in two sentences each."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from sedflow_lab.methods import BADGES, METHODS

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "glossary.md").read_text()
ENTRIES = {
    title: " ".join(body.split())
    for title, body in re.findall(r"^### (.*?)\n\n(.*?)(?=\n#|\Z)", TEXT, re.MULTILINE | re.DOTALL)
}
USED = (
    "posterior, prior, implied prior, likelihood, evidence, mode, marginal, ABC, tolerance, "
    "summary, acceptance, NPE, NLE, NRE, ANPE, amortization, flow, embedding, importance weights, "
    "ESS, efficiency, Pareto k, SBC, rank, p–p curve, HPD, TARP, coverage, Holm, p-value, "
    "Kolmogorov-Smirnov, z-score, contraction, total variation, C2ST, Wasserstein, JS, R-hat, "
    "autocorrelation time, walker, bootstrap, population, stacking, bit, loss, nat, overfitting, "
    "support, defensive mixture, fit to the data, misspecification"
).split(", ")


def anchor(title: str) -> str:
    """The name that GitHub and JupyterLab give to a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize("word", [*METHODS, *BADGES, *USED])
def test_a_word_that_is_used_is_explained(word: str):
    assert word in ENTRIES


def test_each_entry_has_two_sentences():
    assert len(ENTRIES) > 70
    for title, body in ENTRIES.items():
        assert len(re.findall(r"\.(?:\s|$)", body)) == 2, title


def test_links_from_notebooks_lead_somewhere():
    anchors = {anchor(title) for title in ENTRIES}
    targets = [
        target
        for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
        for cell in nbformat.read(path, as_version=4).cells
        for target in re.findall(r"\.\./docs/glossary\.md#([^)]+)\)", cell.source)
    ]
    assert len(targets) >= 5 and set(targets) <= anchors
