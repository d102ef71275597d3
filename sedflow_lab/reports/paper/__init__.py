"""The figures of the paper, and those that it leaves out."""

from .chains import chains_of_study, numbers_of
from .figures import FIGURES, FigureSettings, make_figures

__all__ = ["FIGURES", "FigureSettings", "chains_of_study", "make_figures", "numbers_of"]
