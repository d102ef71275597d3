r"""NPE, NLE and NRE of the sbi package, on problems small enough to see what each has learnt.

From the same pairs of parameters θ and data x each learns something else,

* NPE (neural posterior estimation): the posterior :math:`p(\theta \mid x)`, from which it draws,
* NLE (neural likelihood estimation): the likelihood :math:`p(x \mid \theta)`,
* NRE (neural ratio estimation): the ratio :math:`p(x \mid \theta) / p(x)`, by telling pairs that
  belong together from pairs that do not,

and the last two still need a sampler for every galaxy. With two parameters a grid is one.

References
----------
Cranmer, Brehmer & Louppe 2020, PNAS 117, 30055; Tejero-Cantero et al. 2020, JOSS 5, 2505 (sbi).
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from sbi.inference import NLE, NPE, NRE
from sbi.neural_nets import posterior_nn
from sbi.utils import BoxUniform

from ..errors import InputError
from .grid import tabulate

__all__ = ["KINDS", "Kind", "Learned", "learn"]

Kind = Literal["NPE", "NLE", "NRE"]

KINDS: tuple[Kind, ...] = ("NPE", "NLE", "NRE")
"""What can be learnt."""

_BATCH = 200
_CELLS = 60
_RATES = {"NPE": 2e-3, "NLE": 1e-3, "NRE": 1e-3}


@dataclass(frozen=True, eq=False, repr=False)
class Learned:
    """What one of the three has learnt of a problem with two parameters.

    Attributes
    ----------
    kind : str
    posterior : NeuralPosterior
        As sbi made it, for all of sbi's tools.
    low, high : tuple of float
        Limits of the prior, which is uniform.
    epochs : int
        How often training saw all simulations.
    seconds : float
        That training took.
    """

    kind: Kind
    posterior: Any
    low: tuple[float, float]
    high: tuple[float, float]
    epochs: int
    seconds: float

    def sample(self, features: np.ndarray, draws: int = 1000, seed: int = 0) -> np.ndarray:
        """Draws (draws, 2) of the posterior of one observation (S,).

        NPE draws by itself. What NLE and NRE know is multiplied by the prior, and drawn from a
        grid.
        """
        x = torch.as_tensor(np.asarray(features), dtype=torch.float32)[None]
        with torch.no_grad(), _alone(seed):
            if self.kind == "NPE":
                found = self.posterior.sample((draws,), x=x, show_progress_bars=False)
                return np.asarray(found, dtype=np.float64)
            self.posterior.set_default_x(x)
            return tabulate(self._log_density, self.low, self.high, _CELLS).sample(draws, seed)

    def _log_density(self, points: np.ndarray) -> np.ndarray:
        theta = torch.as_tensor(points, dtype=torch.float32)
        return np.asarray(self.posterior.potential(theta), dtype=np.float64)


def learn(
    kind: Kind,
    theta: np.ndarray,
    features: np.ndarray,
    low: tuple[float, float],
    high: tuple[float, float],
    *,
    epochs: int = 30,
    seed: int = 0,
) -> Learned:
    """Train one of the three on simulations: a small spline flow for NPE, else sbi's defaults.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    theta : ndarray, shape (n, 2)
        Draws of the prior.
    features : ndarray, shape (n, S)
        What was observed of each, noise included.
    low, high : tuple of float
        Limits of the prior, which is uniform.
    epochs : int
        After which training ends, if it has not stopped to improve before.
    seed : int

    Raises
    ------
    InputError
        If there is no such kind.
    """
    if kind not in KINDS:
        raise InputError(f"There is no {kind!r}: learn one of {', '.join(KINDS)}.")
    prior = BoxUniform(torch.tensor(low), torch.tensor(high))
    maker: Any = {"NPE": NPE, "NLE": NLE, "NRE": NRE}[kind]
    began = time.perf_counter()
    with _alone(seed):
        silence: Any = {"show_progress_bars": False, "summary_writer": _Nowhere()}
        inference = maker(prior, **silence, **_networks(kind))
        inference.append_simulations(
            *(torch.as_tensor(a, dtype=torch.float32) for a in (theta, features))
        )
        inference.train(
            training_batch_size=_BATCH, learning_rate=_RATES[kind], max_num_epochs=epochs
        )
        posterior = inference.build_posterior()
    found = inference.summary["epochs_trained"][-1]
    return Learned(kind, posterior, low, high, int(found), time.perf_counter() - began)


class _Nowhere:
    """In place of the writer of TensorBoard, which would leave a folder where one works."""

    log_dir = None

    def add_scalar(self, *args: Any, **options: Any) -> None:
        """Write nothing."""

    def flush(self) -> None:
        """Have nothing to write."""


@contextmanager
def _alone(seed: int) -> Iterator[None]:
    """Context with random numbers of its own, without what sbi warns of in its own code."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        yield


def _networks(kind: Kind) -> dict[str, Any]:
    if kind != "NPE":
        return {}
    # The default, a masked autoregressive flow, is slow to fill a prior with hard edges.
    flow = posterior_nn("nsf", hidden_features=32, num_transforms=3, num_bins=8)
    return {"density_estimator": flow}
