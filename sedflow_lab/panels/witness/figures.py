"""The Bokeh figure of the witness panel's walkers, step by step."""

from __future__ import annotations

import numpy as np

from ...methods import METHODS
from ...quantities import QUANTITIES
from ..kit.style import draw_band, empty, new_plot, set_range, small_legend

__all__ = ["WalkerFigure"]


class WalkerFigure:
    """Where the walkers are, step by step, beside the network's median and 68 % interval."""

    def __init__(self) -> None:
        steps = ("Steps of emcee", 0, 1000)
        self.figure = new_plot("Walkers, step by step", 300, steps, ("", 0, 1))
        (self.network, _), (self.source, _) = (
            draw_band(self.figure, color=method.color, legend_label=f"{method.label}{who}, 68 %")
            for method, who in ((METHODS["fast"], ""), (METHODS["mcmc"], ", walkers"))
        )
        small_legend(self.figure.legend, spacing=10)

    def show_network(self, name: str, draws: np.ndarray) -> None:
        """Show the network's interval of a parameter, draws (D,), and no walkers yet."""
        quantity = QUANTITIES[name]
        self.figure.yaxis.axis_label = quantity.axis_text
        low, middle, high = np.quantile(draws, (0.16, 0.5, 0.84))
        ends = {"low": low, "middle": middle, "high": high}
        self.network.data = {"x": [-1e6, 1e6]} | {k: [v, v] for k, v in ends.items()}
        empty(self.source)
        set_range(self.figure.y_range, quantity.low, quantity.high)
        set_range(self.figure.x_range, 0, 1000)

    def show_walkers(self, steps: np.ndarray, spread: np.ndarray) -> None:
        """Show quantiles (T, 3) of the walkers at steps (T,)."""
        low, middle, high = spread.T
        self.source.data = {"x": steps, "low": low, "middle": middle, "high": high}
        end = max(1000.0, 1.05 * float(steps[-1]))
        self.figure.x_range.update(end=end, reset_end=end)

    def clear(self) -> None:
        """Show nothing."""
        empty(self.source, self.network)
