"""Ensemble MCMC of any vectorised log-probability: emcee, tuned as it runs, until it converges.

Several independent ensembles of walkers share each call of the target. At first they explore
with local moves, and walkers that lag hopelessly behind are put where others are. At fixed steps
a mixture of Student-t distributions is fitted to what the walkers have seen, and from then on
proposes independent points besides the local moves. Nothing from before the last fit is kept:
the kept steps are an ordinary Markov chain with one fixed kernel.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from emcee import EnsembleSampler, State
from emcee.backends import Backend

from ..errors import InputError
from .backend import FileBackend
from .convergence import autocorrelation_time, ess_bulk, ess_tail, split_rhat
from .moves import CrankNicolsonMove, DEMove, FittedProposal, IndependentMove

__all__ = ["RECIPE", "Chain", "sample_ensembles"]

RECIPE = 1
"""Version of the sampler: raise it when the same target and seed give another chain."""

LogProb = Callable[[np.ndarray], np.ndarray]

MIN_TAUS = 50
"""Steps in units of the autocorrelation time, for every coordinate (emcee's recommendation)."""
MAX_RHAT = 1.01
"""Rank-normalised split R-hat across the independent ensembles (Vehtari et al. 2021)."""
MIN_ESS_BULK, MIN_ESS_TAIL = 1000, 400
"""Effective sample sizes, with every walker as a chain."""
BURN_TAUS = 5
"""Autocorrelation times discarded after the last fit of the proposal."""

_THIN = 5  # steps from one stored to the next
_CHUNK = 50  # steps between looks at the schedule
_PRUNE = range(50, 301, 50)
_PRUNE_DEPTH = 15.0  # in ln probability below the median walker
_FITS = (200, 400, 800, 1600, 3200, 6400, 12_800)
_FIRST_CHECK = 1000
_LOOK_BACK = 200  # steps over which τ may change by no more than
_STABLE = 0.05
_FIT_POINTS = 4000


@dataclass(frozen=True)
class Chain:
    """What a run leaves: kept steps of W walkers in d coordinates, and how well they mix."""

    points: np.ndarray  # (S, W, d), one every `thin` steps
    reported: np.ndarray  # (S, W, P), the same as reported parameters
    log_prob: np.ndarray  # (S, W)
    thin: int
    steps: int  # all that were made
    tau: np.ndarray  # (d,), integrated autocorrelation times [steps]
    rhat: np.ndarray  # (P,), NaN where the chain is too short to say
    ess_bulk: np.ndarray
    ess_tail: np.ndarray
    acceptance: float  # mean fraction of proposals
    status: str  # "converged", "not converged" or "unfinished"
    evaluations: int = 0  # of the target, in this call
    seconds: float = 0.0


class _Counted:
    """A target that counts its evaluations."""

    def __init__(self, log_prob: LogProb) -> None:
        self.log_prob, self.evaluations = log_prob, 0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        self.evaluations += len(x)
        return self.log_prob(x)


def sample_ensembles(
    log_prob: LogProb,
    start: np.ndarray | Callable[[], np.ndarray],
    *,
    ensembles: int = 2,
    max_steps: int = 20_000,
    seed: int = 0,
    reported: Callable[[np.ndarray], np.ndarray] = lambda x: x,
    backend: tuple[str | Path, str] | None = None,
    stop: threading.Event | None = None,
    watch: Callable[[int, State, np.ndarray | None], None] | None = None,
) -> Chain:
    """Sample until several criteria at once say that the chain has converged.

    The criteria are: more than `MIN_TAUS` autocorrelation times kept, the estimate of which
    has changed by less than 5 % over the last 200 steps; R-hat across the ensembles below
    `MAX_RHAT`; bulk and tail effective sample sizes above `MIN_ESS_BULK` and `MIN_ESS_TAIL`.

    Parameters
    ----------
    log_prob : callable
        Log density, up to a constant, of points (n, d) as an array (n,); minus infinity outside
        its support, never NaN.
    start : ndarray, shape (W, d), or callable that returns one
        Where the walkers start; those of an ensemble lie next to each other.
    ensembles : int
        Independent ensembles.
    max_steps : int
        Steps after which to give up, a multiple of 50.
    reported : callable
        From points (n, d) to the parameters (n, P) that must have converged.
    backend : (path, name), optional
        HDF5 file and group to keep the chain in; a chain that is there is continued exactly as
        if it had never stopped.
    stop : threading.Event, optional
        Set it to stop within a few steps.
    watch : callable, optional
        Called every 50 steps with the step, emcee's state, and the last estimate of τ.

    Returns
    -------
    Chain

    Raises
    ------
    InputError
        If there are too few walkers, a walker starts where the density is zero, or the file of
        the backend cannot be used.
    """
    if max_steps < _CHUNK or max_steps % _CHUNK:
        raise InputError(f"max_steps must be a multiple of {_CHUNK}, it is {max_steps}.")
    began = time.perf_counter()
    stop = stop or threading.Event()
    target = _Counted(log_prob)
    with _open(backend) as store:
        state = _first_state(store, target, start, ensembles, seed)
        checks = _check_steps(max_steps)
        sampler, tau = None, None
        while True:
            step = _rows(store) * _THIN
            if step in checks or step >= max_steps:
                chain = _judge(store, ensembles, reported, final=step >= max_steps)
                tau = chain.tau
                if chain.status == "converged" or step >= max_steps:
                    break
            if step in _PRUNE:
                state = _prune(state, ensembles, seed, step)
            if sampler is None or step in _FITS:
                sampler = _sampler(target, state, store, ensembles, seed, step)
            end = min((step // _CHUNK + 1) * _CHUNK, max_steps)
            count = (end - step) // _THIN
            for advanced in sampler.sample(
                state, iterations=count, thin_by=_THIN, skip_initial_state_check=True
            ):
                state = advanced
                if stop.is_set():
                    break
            if watch is not None:
                watch(store.iteration * _THIN, state, tau)
            if stop.is_set():
                chain = _judge(store, ensembles, reported, final=True)
                break
    unfinished = chain.status != "converged" and stop.is_set()
    return replace(
        chain,
        status="unfinished" if unfinished else chain.status,
        evaluations=target.evaluations,
        seconds=time.perf_counter() - began,
    )


def _check_steps(max_steps: int) -> set[int]:
    """Steps at which convergence is checked: every 200 at first, later every tenth more."""
    steps, step = {max_steps}, _FIRST_CHECK
    while step < max_steps:
        steps.add(step)
        step += max(200, step // 10 // _CHUNK * _CHUNK)
    return steps


def _open(backend: tuple[str | Path, str] | None) -> Backend:
    if backend is None:
        return Backend()
    path, name = backend
    if not Path(path).parent.is_dir():
        raise InputError(f"There is no folder {Path(path).parent} for the chain: make it first.")
    return FileBackend(path, name)


def _rows(store: Backend) -> int:
    """Stored steps."""
    return int(store.iteration) if store.initialized else 0


def _first_state(
    store: Backend,
    target: _Counted,
    start: np.ndarray | Callable[[], np.ndarray],
    ensembles: int,
    seed: int,
) -> State:
    """Where to go on: the last stored state, or the start."""
    if _rows(store):
        return store.get_last_sample()
    coords = np.array(start() if callable(start) else start, dtype=np.float64)
    walkers, size = coords.shape
    if walkers % (2 * ensembles) or walkers < 4 * size * ensembles:
        raise InputError(
            f"{walkers} walkers do not suit {ensembles} ensembles in {size} dimensions: take a "
            f"multiple of {2 * ensembles} that is at least {4 * size * ensembles}."
        )
    log_prob = np.asarray(target(coords), dtype=np.float64)
    if not np.isfinite(log_prob).all():
        bad = int(np.flatnonzero(~np.isfinite(log_prob))[0])
        raise InputError(f"Walker {bad} starts where the log density is {log_prob[bad]}.")
    random = np.random.RandomState(seed)
    return State(coords, log_prob=log_prob, random_state=random.get_state())


def _prune(state: State, ensembles: int, seed: int, step: int) -> State:
    """Put walkers that lag far behind their ensemble on walkers of its better half."""
    rng = np.random.default_rng([seed, step])
    coords, log_prob = state.coords.copy(), state.log_prob.copy()
    for members in np.split(np.arange(len(coords)), ensembles):
        middle = np.median(log_prob[members])
        lag = members[log_prob[members] < middle - _PRUNE_DEPTH]
        to = rng.choice(members[log_prob[members] >= middle], size=len(lag))
        coords[lag], log_prob[lag] = coords[to], log_prob[to]
    return State(coords, log_prob=log_prob, random_state=state.random_state)


def _sampler(
    target: _Counted, state: State, store: Backend, ensembles: int, seed: int, step: int
) -> EnsembleSampler:
    """A sampler with the moves of this step; those are a function of what is stored alone."""
    local = [DEMove(ensembles), CrankNicolsonMove(ensembles)]
    moves = [(local[0], 0.5), (local[1], 0.5)]
    fit = _last_fit(step + 1)
    if fit:
        # The later half of what came before: the walkers have left their start by then.
        seen = store.get_chain(discard=fit // _THIN // 2)[: fit // _THIN - fit // _THIN // 2]
        points = seen.reshape(-1, seen.shape[-1])
        rng = np.random.default_rng([seed, fit])
        points = points[rng.permutation(len(points))[:_FIT_POINTS]]
        mixture = FittedProposal(points, seed=seed)
        moves = [(IndependentMove(mixture), 0.6), (local[0], 0.2), (local[1], 0.2)]
    walkers, size = state.coords.shape
    return EnsembleSampler(walkers, size, target, moves=moves, backend=store, vectorize=True)


def _last_fit(step: int) -> int:
    """The last step before `step` at which the proposal was fitted, or 0."""
    return max((fit for fit in _FITS if fit < step), default=0)


def _judge(
    store: Backend,
    ensembles: int,
    reported: Callable[[np.ndarray], np.ndarray],
    final: bool = False,
) -> Chain:
    """Apply the criteria, the cheap ones first; all of them if this is the final verdict."""
    steps = store.iteration * _THIN
    first = _last_fit(steps)
    if steps - first < _CHUNK:  # stopped right after a fit, or before the first
        first = steps // 2
    points = store.get_chain(discard=first // _THIN)
    nothing = np.full(points.shape[-1], np.inf)
    tau = _THIN * autocorrelation_time(points) if len(points) > 1 else nothing
    burn = BURN_TAUS * tau.max() / _THIN
    if burn < len(points) / 2:
        points = points[int(np.ceil(burn)) :]
    converged = len(points) * _THIN > max(MIN_TAUS * tau.max(), 2 * _LOOK_BACK)
    if converged:
        before = _THIN * autocorrelation_time(points[: -_LOOK_BACK // _THIN])
        converged = bool(abs(before.max() / tau.max() - 1) < _STABLE)
    size, walkers, _ = points.shape
    values = points
    if converged or final:
        values = reported(points.reshape(size * walkers, -1)).reshape(size, walkers, -1)
    rhat = bulk = tail = np.full(values.shape[-1], np.nan)
    if size >= 4 and (converged or final):
        whole = np.swapaxes(values.reshape(size, ensembles, walkers // ensembles, -1), 0, 1)
        rhat = split_rhat(whole.reshape(ensembles, size * walkers // ensembles, -1))
        single = np.swapaxes(values, 0, 1)
        bulk, tail = ess_bulk(single), ess_tail(single)
    # What is not known is not above a limit either.
    limits = (rhat < MAX_RHAT) & (bulk > MIN_ESS_BULK) & (tail > MIN_ESS_TAIL)
    return Chain(
        points,
        values,
        store.get_log_prob(discard=store.iteration - size),
        _THIN,
        steps,
        tau,
        rhat,
        bulk,
        tail,
        float(np.mean(store.accepted) / store.iteration),
        "converged" if converged and limits.all() else "not converged",
    )
