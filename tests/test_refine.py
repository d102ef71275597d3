"""Defensive weights and exact draws where the answer is known, and against emcee."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import sedflow_lab as sl
from sedflow_lab.diagnostics.comparison import Draws, js_distance
from sedflow_lab.exact import draws
from sedflow_lab.exact.defensive import Drawn, _largest, defend
from sedflow_lab.exact.likelihood import LogPosterior
from sedflow_lab.exact.modes import Modes, find_modes
from sedflow_lab.exact.profile import MassProfile
from sedflow_lab.exact.ridge import IMPOSSIBLE, StraightRidge, possible
from sedflow_lab.exact.scatter import log_density, relax, scatter, stretch
from sedflow_lab.exact.weights import importance_weights
from sedflow_lab.parameters import FREE_NAMES

WIDTH = 0.05  # of the mass, as a fraction: a signal-to-noise ratio of 20


class _Toy:
    """Stands in for a `LogPosterior`: the best mass and the likelihood of φ1 are known.

    The likelihood is Gaussian in the mass, around 10^10 M☉ whatever φ, and has two peaks in φ1,
    at -2 and 2, of which the second holds three times as much of the posterior.
    """

    def __init__(self, n: int) -> None:
        self.prior = sl.get_prior()
        self.n = n

    def select(self, rows: torch.Tensor) -> _Toy:
        return _Toy(len(rows))

    @property
    def signal_to_noise(self) -> torch.Tensor:
        return torch.full((self.n,), 1 / WIDTH)

    def reported(self, phi: torch.Tensor) -> tuple[torch.Tensor, None]:
        return self.prior.from_free(phi), None

    def best_chi2(self, theta: torch.Tensor, redshift: None) -> torch.Tensor:
        return torch.zeros(self.n)

    def log_prior(self, phi: torch.Tensor) -> torch.Tensor:
        return self.prior.log_prob_free(phi)

    def profile(self, phi: torch.Tensor) -> MassProfile:
        x = phi[..., 1]
        # Likelihood times the normal prior of φ1 is the mixture of two peaks.
        peaks = torch.logaddexp(
            np.log(0.25) - 0.5 * ((x + 2) / 0.3).square(),
            np.log(0.75) - 0.5 * ((x - 2) / 0.3).square(),
        )
        one = torch.ones_like(x)
        return MassProfile(one, one / WIDTH**2, peaks + 0.5 * x.square())


# Peaks hold 0.3 of what a unit normal does; the mass, its width over the prior's 5.5 dex.
EVIDENCE = np.log(0.3) + np.log(np.sqrt(2 * np.pi) * WIDTH / np.log(10) / 5.5)


def _drawn(n, size, centre, spread):
    """From an approximation that is right in all but φ1."""
    generator = torch.Generator().manual_seed(0)
    mass = WIDTH / np.log(10)

    def density(phi):
        z = torch.cat([(phi[..., :1] - 10) / mass, phi[..., 1:]], -1)
        z[..., 1] = (z[..., 1] - centre) / spread
        return -0.5 * z.square().sum(-1) - 5.5 * np.log(2 * np.pi) - np.log(mass * spread)

    phi = torch.randn(n, size, 11, generator=generator)
    phi[..., 0] = 10 + phi[..., 0] * mass
    phi[..., 1] = centre + spread * phi[..., 1]
    return Drawn(phi, density(phi), density)


def _pool(centre, spread, scattered=16_384, n=2):
    target = StraightRidge(_Toy(n))
    drawn = _drawn(n, 1000, centre, spread)
    return target, defend(target, drawn, scattered, torch.Generator().manual_seed(1))


APPROXIMATIONS = {
    "covers both peaks": (0.5, 2.2),
    "knows one peak alone": (-2.0, 0.3),
    "too narrow": (-1.0, 0.1),
}


@pytest.mark.parametrize("n_possible", [0, 1, 3, 40, 700, 4096])
def test_scattered_points_that_are_possible_are_kept(n_possible):
    """However few they are: those that are not have no weight, and were kept in their stead."""
    generator = torch.Generator().manual_seed(0)
    log_prob = torch.full((2, 4096), IMPOSSIBLE)
    for galaxy in log_prob:
        where = torch.randperm(4096, generator=generator)[:n_possible]
        galaxy[where] = 5 * torch.randn(n_possible, generator=generator)
    rows, n, matter = _largest(possible(log_prob))
    assert matter <= rows.shape[1] <= n
    weights = importance_weights(possible(log_prob))[0].gather(1, rows[:, :matter])
    if n_possible:
        assert n == 4096 and weights.sum(1).min() >= 1 - 1.1e-3


@pytest.mark.parametrize("case", APPROXIMATIONS)
def test_toy_posterior_is_met_whatever_the_network_knew(case, monkeypatch):
    # A toy has no bands by which to search for its modes: particles have to find them.
    def prior(target, _):
        return Modes(draws._prior_mixture(target.known), torch.zeros(2, dtype=torch.long))

    monkeypatch.setattr(draws, "find_modes", prior)
    target, pool = _pool(*APPROXIMATIONS[case])
    target.known = pool.points
    result = draws.sample_exact(target, pool, 1000, torch.Generator().manual_seed(1))
    assert result.finished.all()
    # Six standard errors of a thousand draws each: once in 5e8 runs, and so below.
    right = (result.phi[..., 1] > 0).float().mean(1)
    assert right.tolist() == pytest.approx([0.75, 0.75], abs=0.083)
    upper = result.phi[..., 1][result.phi[..., 1] > 0]
    assert [float(upper.mean()), float(upper.std())] == pytest.approx([2.0, 0.3], abs=0.05)
    mass = (10.0 ** (result.phi[..., 0] - 10)).std(1)
    assert mass.tolist() == pytest.approx([WIDTH] * 2, rel=0.14)
    rest = result.phi[..., 2:]
    assert float(rest.mean()) == pytest.approx(0, abs=0.05)
    assert float(rest.std()) == pytest.approx(1, abs=0.035)
    assert ((result.log_evidence - EVIDENCE) / result.log_evidence_error).abs().max() < 7
    assert (result.ess <= 1000).all() and (result.ess > 500).all()


@pytest.mark.parametrize("scattered", [4096, 16_384])
def test_a_peak_that_the_network_misses_is_seen_by_the_weights(scattered):
    _, pool = _pool(*APPROXIMATIONS["knows one peak alone"], scattered)
    # A quarter of the posterior is where the network is, and is four times as dense there.
    # Few points have weight there: seeds scatter both by 0.025, and the evidence by 0.1.
    assert pool.distance.tolist() == pytest.approx([0.75] * 2, abs=0.2)
    right = (pool.weights * (pool.phi[..., 1] > 0)).sum(1)
    assert right.tolist() == pytest.approx([0.75] * 2, abs=0.2)
    assert pool.log_evidence.tolist() == pytest.approx([EVIDENCE] * 2, abs=0.7)
    # The draws of the network by themselves see nothing; seeds scatter this by 0.0055.
    alone = torch.logsumexp(pool.log_ratio, 1) - np.log(1000)
    assert alone.tolist() == pytest.approx([EVIDENCE + np.log(0.25)] * 2, abs=0.035)


def test_distance_of_a_known_approximation():
    """φ1 by a normal that holds both peaks: the integral is done on a grid."""
    x = np.linspace(-12, 12, 200_001)
    normal = np.exp(-0.5 * ((x - 0.5) / 2.2) ** 2) / 2.2
    peaks = (
        0.25 * np.exp(-0.5 * ((x + 2) / 0.3) ** 2) + 0.75 * np.exp(-0.5 * ((x - 2) / 0.3) ** 2)
    ) / 0.3
    known = np.trapezoid(np.maximum(peaks - normal, 0), x) / np.sqrt(2 * np.pi)
    _, pool = _pool(0.5, 2.2)
    assert pool.distance.tolist() == pytest.approx([known] * 2, abs=0.06)


def test_where_nothing_is_possible_the_distance_is_one():
    target, drawn = StraightRidge(_Toy(1)), _drawn(1, 100, 0.5, 2.2)

    def impossible(phi):
        profile = MassProfile(*(torch.full_like(phi[..., 0], v) for v in (1.0, 400.0, -np.inf)))
        return profile

    target.exact.profile = impossible
    pool = defend(target, drawn, 500, torch.Generator().manual_seed(0))
    assert pool.distance.tolist() == [1.0]
    assert torch.isneginf(pool.log_evidence).all()
    assert torch.isfinite(pool.weights).all()


def test_stretching_goes_both_ways_and_knows_its_volume():
    x = torch.randn(5000, 11, generator=torch.Generator().manual_seed(0)).double()
    burst = FREE_NAMES.index("tburst")
    x[:41, burst] = torch.linspace(-5, 5, 41)
    phi, log_volume = relax(x)
    back, again = stretch(phi)
    assert (back - x).abs().max() < 1e-6 and (again - log_volume).abs().max() < 1e-6
    step = torch.zeros_like(x)
    step[:, burst] = 1e-4
    slope = (relax(x + step)[0] - relax(x - step)[0])[:, burst] / 2e-4
    assert (torch.log(slope) - log_volume).abs().max() < 1e-4


def test_half_of_the_scattered_bursts_are_uniform_in_the_logarithm():
    points = scatter(1, 40_000, torch.Generator().manual_seed(0))
    age = sl.get_prior().from_free(relax(points)[0])[0, :, 6]
    for edge in (0.02, 0.1, 1.0):
        known = 0.5 * (edge - 0.01) / 13.26 + 0.5 * np.log(edge / 0.01) / np.log(1327)
        # Six standard errors of a fraction of 40,000.
        room = 6 * np.sqrt(known * (1 - known) / 40_000)
        assert float((age < edge).double().mean()) == pytest.approx(known, abs=room)
    # The density is that of the points: the mean of another over it is one.
    wide = -0.5 * (points / 0.8).square().sum(-1) - 5.5 * np.log(2 * np.pi) - 11 * np.log(0.8)
    ratio = torch.exp(wide - log_density(points))
    assert float(ratio.mean()) == pytest.approx(1, abs=6 * float(ratio.std()) / 200)


@pytest.mark.parametrize("nsaid", ["82151", "15185"])
def test_galaxies_that_the_network_finds_hard_agree_with_emcee(nsaid):
    galaxies = sl.showcase()
    one = galaxies[np.asarray(galaxies.ids).astype(str) == nsaid]
    posterior = sl.load_posterior()
    exact = posterior.infer(one, 1000, "exact", seed=1)
    chain = sl.run_mcmc(one, seed=0, start="prior", draws=4000)
    assert chain.badge[0] == "converged"
    reference = chain.samples[0]
    got, wanted = Draws(exact.samples[0]), Draws(reference)
    # Two sets of a thousand independent draws are up to 0.12 apart, and once in a while more.
    assert js_distance(got, wanted).max() < 0.16
    # Half of the chain is below the median of the draws, to six standard errors: between two modes
    # a median is poorly known, and what is below it is not. Over 40 seeds such shares scattered up
    # to 1.5 times as much as those of independent draws, so that 1,000 count as 450.
    below = (reference < np.median(exact.samples[0], axis=0)).mean(0)
    error = 0.5 * np.sqrt(1 / 450 + 1 / chain.diagnostics["ess_bulk"][0])
    assert (np.abs(below - 0.5) < 6 * error).all() and error.max() < 0.03


def test_the_small_mode_of_young_bursts_is_not_lost():
    """NSA 15863: a fifth of the posterior are bursts younger than 30 Myr, which are far off.

    Of 4,000 draws of converged chains (R-hat 1.001) they are 21.8 %; of 60 seeds the share of the
    draws scattered by 1.6 %, and the evidence by 0.022.
    """
    flux = [36.503106, 93.078249, 144.18519, 154.20228, 164.25406]
    sigma = [1.88999, 1.76052, 2.71622, 2.95373, 5.03306]
    galaxy = sl.Photometry(flux, sigma, 0.014006474)
    posterior = sl.load_posterior()
    found = [posterior.infer(galaxy, 1000, "exact", seed) for seed in (1, 4, 5)]
    young = [(each.samples[0, :, sl.NAMES.index("tburst")] < 0.03).mean() for each in found]
    # One seed in some thousands may lose it yet, and two of three do not.
    assert np.median(np.abs(np.array(young) - 0.218)) < 0.1
    evidence = np.array([each.log_evidence[0] for each in found])
    assert np.median(np.abs(evidence + 32.61)) < 0.15  # without the mode it is 0.25 lower


def test_modes_bring_back_young_bursts_whatever_the_first_rounds_knew(monkeypatch):
    """The same galaxy, whose first points are not trusted: no seed loses them."""
    flux = [36.503106, 93.078249, 144.18519, 154.20228, 164.25406]
    sigma = [1.88999, 1.76052, 2.71622, 2.95373, 5.03306]
    galaxy = sl.Photometry(flux, sigma, 0.014006474)
    posterior, carries, young = sl.load_posterior(), draws._carries, []
    for seed in (1, 4, 5):
        calls = []

        def first_fail(found, at_least, calls=calls):
            calls.append(found)
            return carries(found, at_least) & (len(calls) > 1)

        monkeypatch.setattr(draws, "_carries", first_fail)
        exact = posterior.infer(galaxy, 1000, "exact", seed)
        assert len(calls) == 2
        young.append((exact.samples[0, :, sl.NAMES.index("tburst")] < 0.03).mean())
    # Six standard deviations of what 60 seeds gave.
    assert np.abs(np.array(young) - 0.218).max() < 0.1


@pytest.mark.parametrize(("share", "carries"), [(0.01, False), (0.001, True), (0.0, True)])
def test_weights_of_a_mode_that_is_hardly_known_do_not_carry_it(share, carries):
    """Among 4,000 even weights are ten of young bursts, beside which others of them are nothing."""
    points, log_weights = torch.zeros(1, 4400, 11), torch.zeros(1, 4400)
    log_weights[0, :4000] = torch.linspace(-0.5, 0.5, 4000)
    points[0, 4000:, FREE_NAMES.index("tburst")] = -2.5
    log_weights[0, 4000:] = torch.linspace(-40.0, -20.0, 400)
    if share:
        log_weights[0, 4001:4011] = np.log(0.1 * share * 4167.0)  # sum of the even ones
    found = draws.Adapted(points, log_weights, None, 0)
    assert draws._carries(found, 1000).tolist() == [carries]


def test_a_narrow_mode_far_from_the_network_is_found():
    """NSA 79900: a mode 0.04 dex narrow in metallicity, of which the network draws nothing.

    Converged chains (R-hat 1.0002) have 88.0 % of their draws in it.
    """
    galaxies, posterior = sl.showcase(), sl.load_posterior()
    galaxy = galaxies[galaxies.ids.tolist().index("79900")]
    result = posterior.infer(galaxy, 1000, "exact", seed=3)
    inside = in_the_narrow_mode(result.samples[0, :, sl.NAMES.index("log_gamma1")])
    # Six standard errors of a thousand draws, and what the chains leave open.
    assert inside.mean() == pytest.approx(0.880, abs=0.08)
    assert result.badge[0] == "exact"


def in_the_narrow_mode(log_gamma1):
    """Of NSA 79900."""
    return (log_gamma1 > -3.1) & (log_gamma1 < -2.8)


@pytest.mark.parametrize("uncertain", [False, True])
def test_searches_end_in_the_narrow_mode_whatever_the_seed(uncertain):
    galaxies, posterior = sl.showcase(), sl.load_posterior()
    galaxy = galaxies[galaxies.ids.tolist().index("79900")]
    galaxy = galaxy.with_redshift_sigma(1e-3 if uncertain else 0)
    target = StraightRidge(LogPosterior(galaxy, posterior.model))
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        modes = find_modes(target, generator).mixture
        assert modes.means.shape[-1] == 11 + uncertain
        points = modes.sample(4000, generator)
        weights = torch.softmax(target(points) - modes.log_prob(points), 1)
        theta, _ = target.exact.reported(target.place(points)[0])
        inside = in_the_narrow_mode(theta[..., sl.NAMES.index("log_gamma1")])
        # One mode of eight, or more, and most of the posterior, as far as these points can tell.
        assert inside.double().mean() > 0.05
        assert (weights * inside).sum() > 0.3


@pytest.mark.parametrize(
    ("flux", "sigma", "redshift"),
    [(1e10, 1e8, 1), (1e-9, 1e-9, 1), (1e-6, 1e-6, 0.01), (1, 1e-4, 1), (1, 1, 1e-3), (-1, 1, 1)],
)
def test_modes_of_rows_that_nothing_fits_are_finite(flux, sigma, redshift):
    one = sl.showcase()[0]
    bad = sl.Photometry(
        one.flux * flux, one.sigma * sigma, np.maximum(one.redshift * redshift, 1e-5)
    )
    target = StraightRidge(LogPosterior(bad, sl.SEDModel()))
    modes = find_modes(target, torch.Generator().manual_seed(0)).mixture
    points = modes.sample(1000, torch.Generator().manual_seed(1))
    assert torch.isfinite(points).all() and points.abs().max() < 1e5
