"""Noise and simulations: what is drawn, what is fitted, what is kept and resumed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

import sedflow_lab as sl
from sedflow_lab.anpe.simulate import SimulationSet, mock_photometry, simulate
from sedflow_lab.observations.noise import NoiseModel, fit_noise, load_noise

SHARED = Path(os.environ.get("SEDFLOW_SHARED", Path(__file__).parents[2] / "shared"))
SAMPLE = SHARED / "nsa" / "nsa_v0_1_2_sample.csv"


def _rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_observed_fluxes_scatter_by_their_sigma():
    flux = torch.tensor([[10.0, 30.0, 60.0, 80.0, 90.0]]).repeat(20_000, 1)
    observed, sigma = load_noise().observe(flux, _rng())
    pull = ((observed - flux) / sigma).std(0)
    # Six standard errors: once in 5e8 numbers.
    assert pull.tolist() == pytest.approx([1.0] * 5, abs=0.03)
    assert (sigma > 0).all()


def test_signal_to_noise_does_not_depend_on_the_mass():
    flux = torch.tensor([[10.0, 30.0, 60.0, 80.0, 90.0]]).repeat(20_000, 1)
    _, bright = load_noise().observe(flux, _rng(1))
    _, faint = load_noise().observe(flux * 1e-4, _rng(1))
    assert torch.allclose(bright * 1e-4, faint, rtol=1e-3)


def test_fit_recovers_the_model_it_was_drawn_from():
    model = load_noise()
    generator = np.random.default_rng(0)
    magnitude = generator.uniform(14, 19, 4000)
    colour = np.array([1.8, 0.7, 0.0, -0.3, -0.5]) + 0.1 * generator.standard_normal((4000, 5))
    flux = 10 ** (0.4 * (22.5 - magnitude[:, None] - colour))
    # Without scatter in the floor, as measured catalogues have it.
    quiet = NoiseModel.from_dict({**model.to_dict(), "floor_scatter": 0.0})
    sigma = quiet.draw_sigma(torch.as_tensor(flux), _rng(2)).numpy()
    fitted = fit_noise(sl.Photometry(flux, sigma, np.full(4000, 0.05)))
    assert fitted.floor == pytest.approx(model.floor, rel=0.1)
    typical = 10 ** (0.4 * (22.5 - 17.5))
    for a, b, c, d in zip(
        fitted.intercept, fitted.slope, model.intercept, model.slope, strict=True
    ):
        assert a + b * np.log(typical) == pytest.approx(c + d * np.log(typical), abs=0.35)


@pytest.mark.skipif(not SAMPLE.exists(), reason="the development sample of the NSA is not here")
def test_shipped_coefficients_are_those_of_the_sample():
    sample = sl.read_photometry(SAMPLE, on_bad="flag")
    assert fit_noise(sample).to_dict() == load_noise().to_dict()


def test_noise_round_trip_and_bad_files(tmp_path):
    model = NoiseModel.from_depths(("a", "b"), [24.0, 23.0])
    model.save(tmp_path / "noise.json")
    assert load_noise(tmp_path / "noise.json") == model
    (tmp_path / "bad.json").write_text('{"floor": 1}')
    with pytest.raises(sl.InputError, match="not the coefficients"):
        load_noise(tmp_path / "bad.json")
    with pytest.raises(sl.InputError, match="Cannot read the noise model"):
        load_noise("nowhere.json")


def test_simulations_survive_interruption(tmp_path, tiny_model, monkeypatch):
    monkeypatch.setattr("sedflow_lab.anpe.simulate._CHUNK", 100)
    whole = simulate(tmp_path / "whole", 250, tiny_model, seed=4)
    simulate(tmp_path / "broken", 250, tiny_model, seed=4)
    (tmp_path / "broken" / "simulations-00001.safetensors").unlink()
    with pytest.raises(sl.InputError, match=r"simulations-00001.*no such file.*simulate again"):
        SimulationSet.load(tmp_path / "broken")
    again = simulate(tmp_path / "broken", 250, tiny_model, seed=4)
    assert torch.equal(whole.flux, again.flux)
    assert torch.equal(whole.phi, again.phi)
    with pytest.raises(sl.InputError, match="that differ in seed"):
        simulate(tmp_path / "whole", 250, tiny_model, seed=5)


def test_simulated_fluxes_are_the_models(tmp_path, tiny_model):
    made = simulate(tmp_path / "set", 50, tiny_model, seed=0)
    theta = sl.get_prior().from_free(made.phi.double().numpy())
    wanted = tiny_model.photometry(theta, made.redshift.double().numpy())
    assert made.flux.numpy() == pytest.approx(wanted, rel=1e-3)


def test_mock_galaxies_come_with_their_truth(tiny_model):
    photometry, theta = mock_photometry(tiny_model, sl.get_prior(), load_noise(), 1000, seed=1)
    model = tiny_model.photometry(theta, photometry.redshift)
    chi2 = (((photometry.flux - model) / photometry.sigma) ** 2).sum(1)
    # The mean of chi-squared of five bands scatters by 0.1: six and a half standard errors.
    assert chi2.mean() == pytest.approx(5.0, abs=0.65)
