"""How Sphinx makes the documentation: `make docs` builds it into build/docs.

The source is the whole checkout, so that links between pages and notebooks are the same here and
in the repository. Notebooks are shown as they are committed, without outputs: the tests run them.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

sedflow_lab = import_module("sedflow_lab")

# Names of a lazy face are found by autodoc once they are there.
for face in ("sedflow_lab", "sedflow_lab.diagnostics", "sedflow_lab.plots", "sedflow_lab.panels"):
    module = import_module(face)
    vars(module).update({name: getattr(module, name) for name in module.__all__})

project = "sedflow_lab"
author = "The sedflow_lab developers"
copyright = f"2026, {author}. MIT licence"
version = release = sedflow_lab.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "notebooks/*.ipynb",
    "benchmarks/*.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
]
exclude_patterns = [".*", "build", "docs/site", "**/.ipynb_checkpoints"]
suppress_warnings = ["misc.highlighting_failure"]  # %magics of notebooks are no Python

myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "off"

default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings say more: shapes and units
napoleon_google_docstring = False
napoleon_use_ivar = True  # attributes are told once, in their class
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"sedflow_lab {release}"
html_extra_path = ["site"]  # sends visitors of the top page to docs/index.html
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}
