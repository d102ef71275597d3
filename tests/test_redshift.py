"""Uncertain redshifts: what is read and kept, the prior, and posteriors with known answers."""

from __future__ import annotations

import math

import astropy.units as u
import numpy as np
import pytest
import torch
from astropy.table import Table
from scipy import stats

import sedflow_lab as sl
from sedflow_lab.catalogue.run import infer_catalogue
from sedflow_lab.exact.defensive import Drawn, defend
from sedflow_lab.exact.draws import sample_exact
from sedflow_lab.exact.profile import MassProfile
from sedflow_lab.exact.redshift import REDSHIFT_MIN, RedshiftPrior, log_normal
from sedflow_lab.exact.ridge import StraightRidge
from sedflow_lab.observations.tables import understood
from sedflow_lab.posterior.weighting import weighted_quantile
from sedflow_lab.samplers.nested import _from_cube
from sedflow_lab.samplers.walkers import WalkerTarget, reach_of
from sedflow_lab.sps.model import at_first
from sedflow_lab.sps.properties import derived

N_FREE = 11
MASS = sl.NAMES.index("log_mstar")


@pytest.fixture(scope="module")
def posterior():
    return sl.load_posterior()


def galaxy_of(nsaid: str, sigma: float = 0.0) -> sl.Photometry:
    galaxies = sl.showcase()
    return galaxies[galaxies.ids.tolist().index(nsaid)].with_redshift_sigma(sigma)


# What is measured


def flat(redshift, sigma=None, on_bad="flag"):
    """Galaxies of these redshifts and uncertainties, all of the same fluxes."""
    flux = np.ones((len(redshift), 5))
    return sl.Photometry(flux, 0.1 * flux, redshift, on_bad=on_bad, redshift_sigma=sigma)


def test_redshifts_are_known_unless_said_otherwise_and_every_copy_keeps_it():
    assert flat([0.1, 0.2]).redshift_sigma.tolist() == [0, 0]
    assert flat([0.1, 0.2], 0.02).redshift_sigma.tolist() == [0.02, 0.02]
    some = flat([0.1, 0.2, 0.05], [0, 0.03, 0.01])
    assert "0.2 ± 0.03" in repr(some[1]) and "±" not in repr(some[0])
    kept = sl.Photometry.concatenate([some[2], some[:2]])
    assert kept.redshift_sigma.tolist() == [0.01, 0, 0.03]
    for other in (some.drop_bands("u"), some.with_error_floor(0.1)):
        assert other.redshift_sigma.tolist() == some.redshift_sigma.tolist()
    back = sl.Photometry.from_table(some.to_table())
    np.testing.assert_array_equal(back.redshift_sigma, some.redshift_sigma)
    assert "redshift_sigma" not in some[:1].to_table().colnames
    assert some.with_redshift_sigma(0).redshift_sigma.tolist() == [0, 0, 0]


@pytest.mark.parametrize("bad", [-0.01, np.nan, np.inf, 31.0])
def test_uncertainties_that_cannot_be_used_are_flagged_or_refused(bad):
    some = flat([0.1, 0.1], [bad, 0.0])
    assert some.usable.tolist() == [False, True]
    assert f"the redshift's uncertainty is {bad:g} but must be from 0" in some.problems[0]
    for refused in (lambda: flat([0.1], [bad], "raise"), lambda: some[1].with_redshift_sigma(bad)):
        with pytest.raises(sl.InputError, match="uncertainty"):
            refused()


@pytest.mark.parametrize("bad", ["x", {}, 1j, object(), 300 * u.km / u.s, [0.1] * 3, [[0]]])
def test_what_is_no_uncertainty_is_refused(bad):
    for refused in (lambda: flat([0.1], bad), lambda: flat([0.1], [0.0]).with_redshift_sigma(bad)):
        with pytest.raises(sl.InputError, match="redshift"):
            refused()


@pytest.mark.parametrize(
    "redshift, error, counts",
    [
        ("redshift", "redshift_sigma", True),
        ("redshift", "z_err", True),
        ("redshift", "Redshift_Err", True),
        ("z", "zErr", True),
        ("z", "z_err", True),
        ("zphot", "zphot_err", True),
        ("z_phot", "e_z_phot", True),
        ("zspec", "z_err", False),  # there may be other redshifts
        ("zspec", "zphot_err", False),
        ("redshift", "err_z", False),  # of the z band
    ],
)
def test_columns_of_uncertainties_go_with_their_redshift(redshift, error, counts):
    table = Table({redshift: [0.1, 0.2], error: [0.01, 0.0]})
    for label in "ugriz":
        table[f"flux_{label}"], table[f"sigma_{label}"] = [1.0, 1.0], [0.1, 0.1]
    found = sl.Photometry.from_table(table)
    assert found.redshift_sigma.tolist() == ([0.01, 0] if counts else [0, 0])
    assert understood(table, found.bands).get("redshift_sigma", ("",))[0] == counts * error
    known = sl.Photometry.from_table(table, columns={"redshift_sigma": None})
    assert not known.redshift_sigma.any()
    named = sl.Photometry.from_table(table, columns={"redshift_sigma": error})
    assert named.redshift_sigma.tolist() == [0.01, 0]


def test_errors_of_bare_bands_are_not_those_of_the_redshift():
    table = Table({"redshift": [0.1]})
    for label in "ugriz":
        table[label], table[f"{label}_err"] = [1.0], [0.1]
        table[label].unit = "nmgy"
    assert not sl.Photometry.from_table(table).redshift_sigma.any()


# The prior


def test_prior_is_a_normal_that_is_cut_off():
    at = np.array([0.1, 0.15, 0.004, 5e-5, 0.2])
    sigma = np.array([0.02, 0.2, 0.01, 0.05, 30.0])
    some = flat(at, sigma)
    prior = RedshiftPrior(some, 0.2)
    low = np.minimum(at, REDSHIFT_MIN)
    known = stats.truncnorm((low - at) / sigma, (0.2 - at) / sigma, at, sigma)
    zeta = np.linspace(-5, 5, 41) * np.ones((len(at), 1))
    redshift = prior.redshift(zeta)
    np.testing.assert_allclose(known.cdf(redshift.T).T, stats.norm.cdf(zeta), atol=1e-9)
    np.testing.assert_allclose(prior.coordinate(redshift), zeta, atol=1e-5)
    ends = stats.norm.cdf(low, at, sigma), stats.norm.sf(0.2, at, sigma)
    np.testing.assert_allclose(prior.cut.numpy(), sum(ends), atol=1e-12)
    far = prior.redshift(np.full((len(at), 2), [-50.0, 50.0]))
    assert (far >= low[:, None]).all() and (far <= 0.2).all()


def test_known_redshifts_beside_uncertain_ones_stay_where_they_are():
    prior = RedshiftPrior(flat([0.1, 0.15], [0, 0.01]), 0.2)
    zeta = torch.linspace(-9, 9, 7).expand(2, 7)
    assert (prior.redshift(zeta)[0] == 0.1).all() and prior.cut[0] == 0
    assert (prior.coordinate(prior.redshift(zeta))[0] == 0).all()
    assert RedshiftPrior(flat([0.1]), 0.2).size == 0
    with pytest.raises(sl.InputError, match=r"the model ends at 0\.2"):
        RedshiftPrior(flat([0.25], [0.1]), 0.2)


def test_draws_are_stratified():
    prior = RedshiftPrior(flat([0.1, 0.1], 0.01), 0.2)
    zeta = prior.draw(500, torch.Generator().manual_seed(0))[..., 0]
    place = 500 * np.sort(stats.norm.cdf(zeta.numpy()), 1) - np.arange(500)
    assert (place > -1e-3).all() and (place < 1 + 1e-3).all()  # but for single precision
    assert not torch.equal(zeta[0].argsort(), zeta[1].argsort())


# The likelihood


def test_likelihood_is_that_at_each_points_own_redshift(tiny_model):
    galaxy = galaxy_of("79381", 0.02)
    target = sl.LogPosterior(galaxy, tiny_model)
    assert target.n_free == N_FREE + 1
    theta = sl.get_prior().sample(50, seed=1)
    theta[:, MASS] = 10
    phi = np.column_stack([target.prior.to_free(theta), np.linspace(-3, 3, 50)])[None]
    redshift = target.reported(phi)[1]
    found = target(phi)
    for k in range(0, 50, 7):
        moved = sl.Photometry(galaxy.flux, galaxy.sigma, redshift[:, k], ids=galaxy.ids)
        known = sl.LogPosterior(moved, tiny_model)
        wanted = known(phi[:, k : k + 1, :N_FREE]) + stats.norm.logpdf(phi[0, k, -1])
        assert found[:, k] == pytest.approx(wanted[0], rel=1e-4)


def test_a_tiny_uncertainty_gives_the_posterior_at_the_known_redshift(tiny_model):
    galaxy = galaxy_of("79381")
    phi = torch.randn(1, 200, N_FREE + 1, generator=torch.Generator().manual_seed(0))
    phi[..., 0] = 9.5
    known = sl.LogPosterior(galaxy, tiny_model)(phi[..., :N_FREE])
    tiny = sl.LogPosterior(galaxy.with_redshift_sigma(1e-9), tiny_model)(phi)
    apart = tiny - log_normal(phi[..., N_FREE:]) - known
    assert float((apart / known).abs().max()) < 1e-5


# Draws with known answers


class _Toy:
    """Stands in for a `LogPosterior`: a likelihood that is normal in the mass and in ζ."""

    n_free = N_FREE + 1
    centre, width = 1.5, 0.5

    def __init__(self, n: int) -> None:
        self.prior, self.n = sl.get_prior(), n

    def select(self, rows: torch.Tensor) -> _Toy:
        return _Toy(len(rows))

    @property
    def signal_to_noise(self) -> torch.Tensor:
        return torch.full((self.n,), 20.0)

    def reported(self, phi: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.prior.from_free(phi[..., :N_FREE]), phi[..., N_FREE]

    def best_chi2(self, theta: torch.Tensor, redshift: torch.Tensor) -> torch.Tensor:
        return torch.zeros(self.n)

    def log_prior(self, phi: torch.Tensor) -> torch.Tensor:
        return self.prior.log_prob_free(phi[..., :N_FREE]) + log_normal(phi[..., N_FREE:])

    def profile(self, phi: torch.Tensor) -> MassProfile:
        one = torch.ones_like(phi[..., 0])
        measured = -0.5 * ((phi[..., N_FREE] - self.centre) / self.width).square()
        return MassProfile(one, 400 * one, measured)


def test_toy_posterior_of_the_coordinate_is_met():
    """Prior N(0, 1), likelihood N(1.5, 0.5): posterior N(1.2, 0.447), evidence known."""
    generator = torch.Generator().manual_seed(0)
    mass = 0.05 / np.log(10)

    def density(phi):
        z = torch.cat([(phi[..., :1] - 10) / mass, phi[..., 1:]], -1)
        return -0.5 * z.square().sum(-1) - 6 * np.log(2 * np.pi) - np.log(mass)

    phi = torch.randn(2, 1000, N_FREE + 1, generator=generator)
    phi[..., 0] = 10 + phi[..., 0] * mass
    target = StraightRidge(_Toy(2))
    pool = defend(target, Drawn(phi, density(phi), density), 4096, generator)
    result = sample_exact(target, pool, 1000, generator)
    variance = 1 / (1 + 1 / _Toy.width**2)
    mean = variance * _Toy.centre / _Toy.width**2
    found = result.phi[..., N_FREE]
    # Six standard errors of a thousand draws, of which no two need be quite independent.
    assert found.mean(1).tolist() == pytest.approx([mean] * 2, abs=0.1)
    assert found.std(1).tolist() == pytest.approx([math.sqrt(variance)] * 2, rel=0.15)
    evidence = stats.norm.logpdf(_Toy.centre, 0, math.hypot(1, _Toy.width))
    evidence += np.log(_Toy.width * 2 * np.pi * mass / 5.5)
    assert ((result.log_evidence - evidence) / result.log_evidence_error).abs().max() < 6


def test_fast_draws_are_at_redshifts_of_the_prior(posterior):
    galaxy = galaxy_of("79381", 0.02)
    result = posterior.infer(galaxy, 500, "fast")
    drawn = np.sort(result.draw_redshift[0])
    at, sigma = galaxy.redshift[0], 0.02
    known = stats.truncnorm((REDSHIFT_MIN - at) / sigma, (0.2 - at) / sigma, at, sigma)
    # One in each of 500 parts, but for draws that fell off the prior on the mass.
    assert np.abs(known.cdf(drawn) - (np.arange(500) + 0.5) / 500).max() < 0.02
    assert result.diagnostics["redshift_cut"][0] == pytest.approx(
        1 - np.diff(stats.norm.cdf([REDSHIFT_MIN, 0.2], at, sigma))[0]
    )
    # Nearer is less massive.
    slope = stats.spearmanr(result.draw_redshift[0], result.samples[0, :, MASS])
    assert slope.statistic > 0.5 and slope.pvalue < 1e-6


def test_exact_draws_agree_with_emcee(posterior):
    galaxy = galaxy_of("79381", 0.02)
    exact = posterior.infer(galaxy, 1000, "exact", seed=1)
    chain = sl.run_mcmc(galaxy, posterior.model, start="prior", max_steps=1000)
    assert exact.badge[0] == "exact" and chain.diagnostics["rhat"].shape == (1, 13)
    found, wanted = (
        np.column_stack([each.samples[0], each.draw_redshift[0]]) for each in (exact, chain)
    )
    spread = wanted.std(0)
    # Six standard errors of two medians of some 900 draws, and of two standard deviations.
    shift = (np.median(found, 0) - np.median(wanted, 0)) / spread
    assert np.abs(shift[[MASS, -1]]).max() < 0.35
    assert found.std(0)[[MASS, -1]] / spread[[MASS, -1]] == pytest.approx([1, 1], abs=0.2)
    assert np.abs(shift).max() < 0.5
    # It is not the prior that they agree on.
    fast = posterior.infer(galaxy, 1000, "fast", seed=1)
    assert np.median(chain.draw_redshift) > np.median(fast.draw_redshift)


def test_chains_of_known_and_uncertain_redshifts_fit_into_one_result(posterior):
    galaxies = sl.showcase()[:2]
    how = {"model": posterior.model, "start": "prior", "max_steps": 50, "draws": 100}
    alone = sl.run_mcmc(galaxies[0], **how)
    both = sl.run_mcmc(galaxies.with_redshift_sigma([0, 0.01]), **how)
    np.testing.assert_array_equal(both.samples[0], alone.samples[0])
    for name, size in (("tau", 12), ("rhat", 13), ("ess_bulk", 13), ("ess_tail", 13)):
        assert both.diagnostics[name].shape == (2, size)
        np.testing.assert_array_equal(both.diagnostics[name][0, :-1], alone.diagnostics[name][0])
        assert np.isnan(both.diagnostics[name][0, -1])
    assert (both.draw_redshift[0] == galaxies.redshift[0]).all()
    assert np.ptp(both.draw_redshift[1]) > 0
    again = sl.run_mcmc(galaxies[1].with_redshift_sigma(0.01), **(how | {"start": both[1]}))
    assert np.isfinite(again.samples).all()


def test_walkers_see_the_likelihood_at_their_own_redshift(posterior):
    galaxy = galaxy_of("79381", 0.02)
    target = WalkerTarget(galaxy, posterior.model, posterior.prior)
    points = posterior.infer(galaxy, 200, "fast")
    reported = np.column_stack([points.samples[0], points.draw_redshift[0]])
    x = target.from_reported(reported, np.random.default_rng(0))
    assert x.shape == (200, 12)
    np.testing.assert_allclose(target.to_reported(x), reported, rtol=1e-4, atol=1e-5)
    apart = target.exact(target.to_phi(x)[None])[0] - target(x)
    error = 2e-3 + 3e-5 * np.abs(target(x))  # of single precision
    # Of 600 points one, with a burst near an age of the grid, was farther off, by 0.011: that ten
    # of 200 are happens once in 1e8 runs.
    assert (np.abs(apart - np.median(apart)) < error).mean() > 0.95
    cube = np.random.default_rng(0).uniform(size=(50, 12))
    zeta = _from_cube(cube, target)[:, -1]
    np.testing.assert_allclose(stats.norm.cdf(zeta), cube[:, -1])


def test_models_reach_as_far_as_uncertain_redshifts_may():
    assert reach_of(flat([0.1, 0.2], 0.5)) == 0.2
    assert reach_of(flat([0.1, 0.5], [0.0, 0.1])) == pytest.approx(1.0)
    assert reach_of(flat([0.1, 0.5], [30.0, 0.0])) == 10.0
    assert reach_of(flat([3.0])) == 3.0


@pytest.mark.parametrize("method", ["fast", "weighted", "exact"])
def test_known_redshifts_beside_uncertain_ones_give_the_same_bits(posterior, method):
    galaxies = sl.Photometry.concatenate([galaxy_of("79381")] * 2)
    alone = posterior.infer(galaxies, 60, method, seed=1)
    beside = posterior.infer(galaxies.with_redshift_sigma([0, 0.01]), 60, method, seed=1)
    for name in ("samples", "weights", "ess", "chi2_min", "log_evidence"):
        np.testing.assert_array_equal(getattr(alone, name)[0], getattr(beside, name)[0])
    assert "draw_redshift" not in alone.diagnostics
    assert np.isnan(beside.diagnostics["draw_redshift"][0]).all()
    assert (beside.draw_redshift[0] == galaxies.redshift[0]).all()
    assert np.ptp(beside.draw_redshift[1]) > 0.01


def test_weighted_posteriors_of_simulations_are_calibrated(posterior):
    """Redshifts from their prior, galaxies there: the truth has any rank among the draws.

    Only galaxies of some brightness are looked at, which what is measured decides alone.
    """
    n, rng = 400, np.random.default_rng(1)
    at = flat(rng.uniform(0.05, 0.1, n), rng.uniform(0.02, 0.03, n))
    redshift = RedshiftPrior(at, 0.2).redshift(rng.normal(size=(n, 1)))[:, 0]
    theta = sl.get_prior().sample(n, seed=2)
    sigma = np.array([2.0, 1.0, 1.0, 1.0, 2.0])
    flux = posterior.model.photometry(theta, redshift) + sigma * rng.normal(size=(n, 5))
    seen = np.flatnonzero((flux[:, 2] > 15) & (flux[:, 2] < 60))[:24]
    at, redshift, mass = at[seen], redshift[seen], theta[seen, MASS]
    galaxies = sl.Photometry(
        flux[seen],
        np.tile(sigma, (24, 1)),
        at.redshift,
        redshift_sigma=at.redshift_sigma,
    )
    found = posterior.infer(galaxies, 400, "weighted", seed=3)
    drawn = found.draw_redshift, found.samples[..., MASS]
    for draws, truth in zip(drawn, (redshift, mass), strict=True):
        level = (found.weights * (draws < truth[:, None])).sum(1)
        assert stats.kstest(level, "uniform").pvalue > 1e-6
        # More sensitive to posteriors that are too narrow.
        normal = stats.norm.ppf(level.clip(1 / 800, 1 - 1 / 800))
        assert stats.chi2.sf(np.square(normal).sum(), 24) > 1e-6
    # Distances that are not known make masses uncertain.
    known = posterior.infer(galaxies.with_redshift_sigma(0), 400, "fast", seed=3)
    low, high = (r.quantile((0.16, 0.84))[:, :, MASS] for r in (known, found))
    assert np.median(np.diff(high, axis=0) / np.diff(low, axis=0)) > 1.3


def test_every_galaxy_is_answered_however_uncertain_its_redshift(posterior):
    one = sl.showcase()[3]
    n = 5
    redshift = np.array([0.002, 0.05, 0.199, 0.1, 0.25])
    sigma = np.array([0.1, 30.0, 0.05, 1e-12, 0.1])
    galaxies = sl.Photometry(
        np.repeat(one.flux, n, 0), np.repeat(one.sigma, n, 0), redshift, redshift_sigma=sigma
    )
    with pytest.raises(sl.InputError, match="above the trained range"):
        posterior.infer(galaxies, 50)
    for method in ("fast", "weighted"):
        result = posterior.infer(galaxies, 50, method, on_bad="flag")
        assert result.usable.tolist() == [True] * 4 + [False]
        drawn = result.draw_redshift[:4]
        assert np.isfinite(result.samples[:4]).all()
        assert (drawn >= REDSHIFT_MIN).all() and (drawn <= 0.2).all()
        cut = result.diagnostics["redshift_cut"][:4]
        assert cut == pytest.approx([0.52, 0.997, 0.492, 0], abs=0.03)
        assert "redshift_cut" in result.summary().colnames


def test_density_of_the_network_alone_needs_a_known_redshift(posterior):
    galaxy = galaxy_of("79381", 0.01)
    theta = posterior.sample(galaxy, 5)
    for asked in (lambda: posterior.log_prob(galaxy, theta), lambda: posterior.to_sbi(galaxy)):
        with pytest.raises(sl.InputError, match=r"with_redshift_sigma\(0\)"):
            asked()


# Results


@pytest.fixture(scope="module")
def mixed(posterior):
    """Weighted posteriors of a galaxy with a known redshift, one without, one that is flagged."""
    galaxies = sl.showcase()[:3].with_redshift_sigma([0, 0.01, 0])
    far = galaxies.redshift.copy()
    far[2] = 3.0
    galaxies = sl.Photometry(
        galaxies.flux, galaxies.sigma, far, ids=galaxies.ids, redshift_sigma=[0, 0.01, 0]
    )
    return galaxies, posterior.infer(galaxies, 80, "weighted", on_bad="flag")


def test_what_derives_from_draws_is_at_their_own_redshift(mixed, posterior):
    _, result = mixed
    found = result.derived(posterior.model)
    for row in (0, 1):
        wanted = derived(result.samples[row], result.draw_redshift[row], posterior.model)
        for name, values in wanted.items():
            np.testing.assert_array_equal(found[name][row], values)


def test_spectra_of_draws_are_stretched_by_their_own_redshift(mixed, posterior):
    sed = pytest.importorskip("sedflow_lab.panels.kit.sed")
    galaxies, result = mixed
    one = result[1].resample(5)
    where, spectra = at_first(
        *posterior.model.observed_spectrum(one.samples[0], one.draw_redshift[0])
    )
    assert where.shape == (len(posterior.model.wavelength),) == spectra.shape[1:]
    alone, wanted = posterior.model.observed_spectrum(one.samples[0, 3], one.draw_redshift[0, 3])
    inside = (where > alone[0]) & (where < alone[-1])
    found = np.interp(alone, where[inside], spectra[3][inside])
    middle = (alone > 4000) & (alone < 9000)
    assert np.abs(found / wanted - 1)[middle].mean() < 0.01
    # The spectrum that is drawn goes through the fluxes that are predicted.
    shown = sed.sed_data(galaxies[1], result[1], posterior.model)
    band = shown["prediction"]["x"][2]
    drawn = np.interp(band, shown["spectrum"]["x"], shown["spectrum"]["middle"])
    assert drawn == pytest.approx(shown["prediction"]["middle"][2], abs=0.15)


def test_results_keep_and_tell_the_redshift_of_draws(mixed, tmp_path):
    _, result = mixed
    even = result.resample(40)
    pairs = set(zip(result.samples[1, :, 0], result.draw_redshift[1], strict=True))
    assert set(zip(even.samples[1, :, 0], even.draw_redshift[1], strict=True)) <= pairs
    result.save(tmp_path / "mixed.h5")
    back = sl.PosteriorResult.load(tmp_path / "mixed.h5")
    np.testing.assert_array_equal(back.draw_redshift, result.draw_redshift)
    np.testing.assert_array_equal(result.to_table(1)["redshift"], result.draw_redshift[1])
    table = result.summary()
    levels = weighted_quantile(result.draw_redshift[1], result.weights[1], [0.16, 0.5, 0.84])
    assert [table[f"redshift{end}"][1] for end in ("_lo", "", "_hi")] == levels.tolist()
    assert table["redshift_lo"][0] == table["redshift_hi"][0] == result.redshift[0]
    assert table["redshift"][2] == 3.0
    assert np.asarray(result.to_arviz(1).posterior["redshift"]).shape == (1, 80)


def test_catalogues_have_rows_with_and_without(mixed, posterior, tmp_path):
    galaxies, result = mixed
    table = infer_catalogue(posterior, galaxies, tmp_path / "all.ecsv", 80, "weighted")
    wanted = result.summary()
    for name in ("redshift", "redshift_lo", "redshift_hi", "redshift_cut", "log_mstar"):
        np.testing.assert_array_equal(table[name], wanted[name])
    pytest.importorskip("zarr")
    store = sl.infer_catalogue(
        galaxies, tmp_path / "all.zarr", 80, "weighted", posterior=posterior, chunk=1
    )
    np.testing.assert_array_equal(store.summary["redshift_lo"], wanted["redshift_lo"])
    np.testing.assert_array_equal(store.summary["redshift_given"], galaxies.redshift)
    kept = store.posterior([0, 1])
    np.testing.assert_array_equal(kept.redshift, galaxies.redshift[:2])
    np.testing.assert_allclose(kept.draw_redshift, result.draw_redshift[:2], rtol=1e-7)
    np.testing.assert_array_equal(
        store.photometry([0, 1, 2]).redshift_sigma, galaxies.redshift_sigma
    )
