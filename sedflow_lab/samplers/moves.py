r"""emcee moves for a vectorised target: local moves and independent proposals of a mixture.

emcee's own moves loop over walkers in Python, which would cost more time than the model does,
and in emcee 3.1.6 ``DESnookerMove`` does not leave the target invariant (on a unit normal in
five dimensions it gives a variance of 0.7). These work on whole arrays, and on several
independent ensembles at once that share each call of the target but exchange nothing.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from emcee.moves import Move
from emcee.state import State
from scipy.special import gammaln

__all__ = ["CrankNicolsonMove", "DEMove", "FittedProposal", "IndependentMove"]


class _SplitMove(Move):
    """Metropolis-Hastings in halves: each half of an ensemble moves with the help of the other.

    The walkers of each of K independent ensembles lie next to each other.
    """

    def __init__(self, ensembles: int = 1) -> None:
        self.ensembles = ensembles

    def propose(self, model: Any, state: State) -> tuple[State, np.ndarray]:
        """Advance all walkers by one step."""
        walkers, size = state.coords.shape
        each = walkers // self.ensembles
        order = np.argsort(model.random.rand(self.ensembles, each), axis=1)
        order += each * np.arange(self.ensembles)[:, None]
        first, second = order[:, : each // 2], order[:, each // 2 :]
        accepted = np.zeros(walkers, dtype=bool)
        for active, rest in ((first, second), (second, first)):
            new, log_factor = self.get_proposal(
                state.coords[active], state.coords[rest], model.random
            )
            log_prob = _evaluate(model, new.reshape(-1, size)).reshape(active.shape)
            gain = log_prob - state.log_prob[active] + log_factor
            take = np.log(model.random.rand(*active.shape)) < gain
            state.coords[active[take]] = new[take]
            state.log_prob[active[take]] = log_prob[take]
            accepted[active[take]] = True
        return state, accepted

    def get_proposal(
        self, walkers: np.ndarray, others: np.ndarray, random: np.random.RandomState
    ) -> tuple[np.ndarray, np.ndarray]:
        """New positions (K, H, d) of the half that moves, with the help of the other (K, J, d).

        With them the log ratio (K, H) of the densities of proposing back and forth.
        """
        raise NotImplementedError


class DEMove(_SplitMove):
    r"""Differential evolution: a step along the difference of two other walkers.

    .. math:: x' = x + \gamma (x_a - x_b)

    γ is log-normal around half the optimal 2.38 / √(2d) of a normal target, which is better for
    bent posteriors and frees walkers that are stuck; one step in ten has γ = 1 and jumps from
    mode to mode.

    References
    ----------
    ter Braak 2006, Stat. Comput. 16, 239; Nelson, Ford & Payne 2014, ApJS 210, 11.
    """

    _SCATTER = 0.5
    _JUMPS = 0.1

    def get_proposal(
        self, walkers: np.ndarray, others: np.ndarray, random: np.random.RandomState
    ) -> tuple[np.ndarray, np.ndarray]:
        """Propose new positions (see `_SplitMove`)."""
        ensembles, count, size = walkers.shape
        pool = others.shape[1]
        row = np.arange(ensembles)[:, None]
        a = random.randint(pool, size=(ensembles, count))
        b = random.randint(pool - 1, size=(ensembles, count))
        b += b >= a
        scale = 1.19 / np.sqrt(2 * size) * np.exp(self._SCATTER * random.randn(ensembles, count))
        scale[random.rand(ensembles, count) < self._JUMPS] = 1.0
        new = walkers + scale[..., None] * (others[row, a] - others[row, b])
        return new, np.zeros((ensembles, count))


class CrankNicolsonMove(_SplitMove):
    r"""Preconditioned Crank-Nicolson move with Student-t noise.

    With m and C the mean and covariance of the other half of the ensemble,

    .. math:: x' = m + \sqrt{1 - \beta^2} (x - m) + \beta \sqrt s \, C^{1/2} \xi,

    where s is inverse-gamma so that the move leaves a Student-t invariant; β is drawn from
    U(0.1, 1), so that steps of all sizes are tried.

    References
    ----------
    Cotter et al. 2013, Stat. Sci. 28, 424; Kamatani 2018, Stat. Comput. 28, 297;
    Grumitt et al. 2022, arXiv:2205.14240 (the form used here).
    """

    _FREEDOM = 5.0

    def get_proposal(
        self, walkers: np.ndarray, others: np.ndarray, random: np.random.RandomState
    ) -> tuple[np.ndarray, np.ndarray]:
        """Propose new positions (see `_SplitMove`)."""
        ensembles, count, size = walkers.shape
        nu = self._FREEDOM
        mean = others.mean(axis=1, keepdims=True)
        apart = others - mean
        covariance = np.einsum("kji,kjl->kil", apart, apart) / (others.shape[1] - 1)
        spread = np.einsum("kii->k", covariance)[:, None, None] / size
        # Keeps the root defined should the walkers of a half ever lie in a plane.
        root = np.linalg.cholesky(covariance + 1e-14 * spread * np.eye(size))
        scaled = np.linalg.solve(root, np.swapaxes(walkers - mean, 1, 2)).swapaxes(1, 2)
        beta = random.uniform(0.1, 1.0, size=(ensembles, count, 1))
        square = np.square(scaled).sum(-1)
        shrink = random.standard_gamma(0.5 * (size + nu), size=square.shape) * 2 / (nu + square)
        noise = random.randn(ensembles, count, size) / np.sqrt(shrink)[..., None]
        moved = np.sqrt(1 - beta**2) * scaled + beta * noise
        new = mean + np.einsum("kil,kjl->kji", root, moved)
        log_ratio = np.log1p(np.square(moved).sum(-1) / nu) - np.log1p(square / nu)
        return new, 0.5 * (size + nu) * log_ratio


class FittedProposal:
    """Mixture of multivariate Student-t distributions, fitted to points.

    A Gaussian mixture is fitted to the whitened points (scikit-learn's EM); its components get
    t tails and 15 % more variance, and one broad component covers what they leave out, so that
    the density does not fall off faster than a posterior would. `exact.mixture` is another: that
    one fits many galaxies at once in torch, this one draws from the `RandomState` of emcee, with
    which a resumed chain goes on exactly as it would have. There are fewer components where there
    are not some fifty of the points (n, d) for each.
    """

    _FREEDOM = 6.0
    _INFLATION = 1.15
    _BROAD = 0.05

    def __init__(self, points: np.ndarray, components: int = 8, seed: int = 0) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        count, size = points.shape
        centre = points.mean(axis=0)
        root = np.linalg.cholesky(np.cov(points.T) + 1e-14 * np.eye(size))
        white = np.linalg.solve(root, (points - centre).T).T
        fit = GaussianMixture(
            max(1, min(components, count // 50)),
            reg_covar=1e-2,
            max_iter=50,
            init_params="k-means++",
            random_state=seed,
        )
        with warnings.catch_warnings():
            # A mixture that is not quite the best fit makes just as valid a proposal.
            warnings.simplefilter("ignore", ConvergenceWarning)
            fit.fit(white)
        covariance = np.concatenate([self._INFLATION * fit.covariances_, np.eye(size)[None] * 1.3])
        self.weights = np.append((1 - self._BROAD) * fit.weights_, self._BROAD)
        self.means = centre + np.vstack([fit.means_, np.zeros(size)]) @ root.T
        self.roots = root @ np.linalg.cholesky(covariance)
        # All components side by side, so that one product whitens points for each of them.
        inverse = np.linalg.inv(self.roots)
        self._unroot = inverse.reshape(-1, size).T
        self._unmean = np.einsum("kij,kj->ki", inverse, self.means).ravel()
        nu = self._FREEDOM
        log_det = np.log(np.diagonal(self.roots, axis1=1, axis2=2)).sum(-1)
        norm = gammaln(0.5 * (nu + size)) - gammaln(0.5 * nu) - 0.5 * size * np.log(nu * np.pi)
        self._offset = np.log(self.weights) + norm - log_det

    def sample(self, n: int, random: np.random.RandomState) -> np.ndarray:
        """Draw points, shape (n, d)."""
        which = random.choice(len(self.weights), size=n, p=self.weights)
        chi2 = 2 * random.standard_gamma(0.5 * self._FREEDOM, size=(n, 1))
        points = random.randn(n, self.means.shape[1]) * np.sqrt(self._FREEDOM / chi2)
        for k, root in enumerate(self.roots):
            mine = which == k
            points[mine] = self.means[k] + points[mine] @ root.T
        return points

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """Log density of points (n, d), shape (n,)."""
        n, size = x.shape
        scaled = (x @ self._unroot - self._unmean).reshape(n, -1, size)
        square = np.einsum("nki,nki->nk", scaled, scaled)
        tail = 0.5 * (self._FREEDOM + size) * np.log1p(square / self._FREEDOM)
        terms = self._offset - tail
        top = terms.max(axis=1, keepdims=True)
        return top[:, 0] + np.log(np.exp(terms - top).sum(axis=1))


class IndependentMove(Move):
    """Iterated sampling-importance-resampling with a fixed proposal.

    Each walker sees some points of the proposal q and goes to one of them, or stays, with
    probabilities in proportion to π/q. That leaves π invariant, crosses from mode to mode, and
    needs one call of the target for all walkers and tries.

    References
    ----------
    Andrieu, Lee & Vihola 2018, Bernoulli 24, 842 (iterated SIR); Samsonov et al. 2022,
    arXiv:2111.02702 (with local moves between).
    """

    def __init__(self, proposal: FittedProposal, tries: int = 4) -> None:
        self.proposal, self.tries = proposal, tries

    def propose(self, model: Any, state: State) -> tuple[State, np.ndarray]:
        """Advance all walkers by one step."""
        walkers, size = state.coords.shape
        new = self.proposal.sample(walkers * self.tries, model.random)
        log_prob = _evaluate(model, new)
        points = np.concatenate([state.coords, new])
        shape = (self.tries, walkers)
        log_probs = np.concatenate([state.log_prob[None], log_prob.reshape(shape)])
        log_weight = log_probs - self.proposal.log_prob(points).reshape(log_probs.shape)
        # The largest of the log weights plus Gumbel noise is a draw in proportion to the weights.
        gumbel = -np.log(-np.log(model.random.uniform(1e-300, 1.0, size=log_weight.shape)))
        chosen = np.argmax(log_weight + gumbel, axis=0)
        column = np.arange(walkers)
        state.coords = points.reshape(-1, walkers, size)[chosen, column]
        state.log_prob = log_probs[chosen, column]
        return state, chosen > 0


def _evaluate(model: Any, points: np.ndarray) -> np.ndarray:
    """Log densities of points; emcee's own wrapper of this loops over them in Python."""
    log_prob = np.asarray(model.log_prob_fn(points), dtype=np.float64)
    if np.isnan(log_prob).any():
        raise ValueError("The log density is NaN: return minus infinity outside its support.")
    return log_prob
