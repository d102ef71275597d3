from __future__ import annotations

import io
import json
import sys
from types import ModuleType

import h5py
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import sedflow_lab as sl
from sedflow_lab.errors import InputError
from sedflow_lab.parameters import NAMES, get_prior
from sedflow_lab.posterior import PosteriorResult
from sedflow_lab.posterior.hdf5 import seal
from sedflow_lab.posterior.weighting import kish_ess, systematic_resample, weighted_quantile
from sedflow_lab.sps.bands import Band, BandSet, get_bands


def make_result(n=3, draws=400, seed=0, bad=(), method="weighted", **changes):
    rng = np.random.default_rng(seed)
    samples = get_prior().sample(n * draws, seed=seed).reshape(n, draws, 12)
    weights = rng.exponential(size=(n, draws))
    weights /= weights.sum(1, keepdims=True)
    problems = np.full(n, "", dtype=object)
    badge = np.full(n, "ok", dtype=object)
    for i in bad:
        samples[i], weights[i] = np.nan, 0.0
        problems[i], badge[i] = "band u: flux is NaN", "bad photometry"
    fields = {
        "samples": samples,
        "weights": weights,
        "redshift": np.linspace(0.02, 0.1, n),
        "ids": [f"galaxy-{i}" for i in range(n)],
        "bands": "sdss-ugriz",
        "method": method,
        "badge": badge,
        "chi2_min": np.arange(n, dtype=float),
        "diagnostics": {
            "draw_chain": np.tile(np.repeat([0, 1], draws // 2), (n, 1)),
            "tau": rng.random((n, 11)),
            "note": np.array(["é"] * n),
        },
        "provenance": {"seed": seed, "bundle": "toy"},
        "problems": problems,
    }
    return PosteriorResult(**(fields | changes))


def assert_same(a, b):
    for name in ("samples", "weights", "redshift", "ess", "chi2_min", "log_evidence"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    for name in ("ids", "badge", "problems"):
        assert list(getattr(a, name)) == list(getattr(b, name))
    assert (a.method, a.bands, a.provenance) == (b.method, b.bands, b.provenance)
    assert sorted(a.diagnostics) == sorted(b.diagnostics)
    for name, array in a.diagnostics.items():
        np.testing.assert_array_equal(array, b.diagnostics[name])


# Weighted statistics ---------------------------------------------------------------------------


def test_equal_weights_give_hazen_quantiles():
    values = np.random.default_rng(1).normal(size=(4, 101, 3))
    ours = weighted_quantile(values, np.full((4, 101), 0.3), [0.0, 0.16, 0.5, 0.99, 1.0])
    expected = np.quantile(values, [0.0, 0.16, 0.5, 0.99, 1.0], axis=1, method="hazen")
    np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-12)


def test_importance_weights_move_quantiles_to_the_target():
    # Draws from N(0, 2^2) reweighted to N(1, 1): known quantiles 0, 1, 2 at 15.87 %, 50 %, 84.13 %.
    x = 2 * np.random.default_rng(2).normal(size=(5, 40_000, 1))
    log_weight = -0.5 * (x - 1) ** 2 + 0.5 * (x / 2) ** 2
    weights = np.exp(log_weight[..., 0])
    ours = weighted_quantile(x, weights, [0.158655, 0.5, 0.841345])
    # Draws are worth 23,000 that are even, so that quantiles scatter by 0.01: seven such errors.
    np.testing.assert_allclose(ours[:, :, 0], [[0.0] * 5, [1.0] * 5, [2.0] * 5], atol=0.07)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(0, 4)), min_size=1, max_size=20),
    st.floats(0, 1),
)
@example([(0.0, 0), (0.0, 0), (0.0, 1), (0.0, 2), (1.0, 2)], 0.5)
def test_zero_weights_take_no_part_and_quantiles_stay_inside(pairs, level):
    values = np.array([v for v, _ in pairs])
    weights = np.array([w for _, w in pairs], dtype=float)
    got = weighted_quantile(values[None, :, None], weights[None], level)[0, 0]
    used = weights > 0
    if not used.any():
        assert np.isnan(got)
        return
    alone = weighted_quantile(values[None, used, None], weights[None, used], level)[0, 0]
    assert got == pytest.approx(alone, abs=1e-6)
    assert values[used].min() <= got <= values[used].max()


def test_blocks_of_galaxies_agree_with_one_by_one(monkeypatch):
    rng = np.random.default_rng(3)
    values, weights = rng.normal(size=(7, 50, 2)), rng.random((7, 50))
    whole = weighted_quantile(values, weights, [0.1, 0.9])
    monkeypatch.setattr("sedflow_lab.posterior.weighting._BLOCK", 200)
    np.testing.assert_array_equal(weighted_quantile(values, weights, [0.1, 0.9]), whole)


def test_quantile_levels_are_checked():
    with pytest.raises(InputError, match="between 0 and 1"):
        weighted_quantile(np.zeros((1, 2, 1)), np.ones((1, 2)), 1.5)


def test_systematic_resampling_takes_each_draw_floor_or_ceil_times():
    weights = np.random.default_rng(4).exponential(size=(6, 30))
    weights /= weights.sum(1, keepdims=True)
    pick = systematic_resample(weights, 500, seed=1)
    for row, w in zip(pick, weights, strict=True):
        count = np.bincount(row, minlength=30)
        assert ((count >= np.floor(500 * w)) & (count <= np.ceil(500 * w))).all()
    assert (systematic_resample(np.eye(3), 4) == np.arange(3)[:, None]).all()


def test_kish_ess():
    np.testing.assert_allclose(
        kish_ess(np.array([[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]])), [4, 1, 0]
    )


# The result ------------------------------------------------------------------------------------


def test_fields_get_their_types_and_defaults():
    result = make_result(ess=None, log_evidence=None)
    np.testing.assert_allclose(result.ess, 1 / (result.weights**2).sum(1))
    assert np.isnan(result.log_evidence).all() and result.log_evidence.shape == (3,)
    assert isinstance(result.bands, BandSet)
    assert make_result(problems=None).problems.tolist() == ["", "", ""]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": np.zeros((3, 400, 11))}, "12"),
        ({"weights": np.zeros((3, 10))}, "weights"),
        ({"redshift": np.zeros(2)}, "redshift"),
        ({"diagnostics": {"tau": np.zeros((2, 11))}}, "tau"),
        ({"diagnostics": {"draw_chain": np.zeros((3, 5))}}, "draw_chain"),
    ],
)
def test_shapes_that_disagree_are_named(changes, message):
    with pytest.raises(InputError, match=message):
        make_result(**changes)


def test_indexing_by_number_slice_and_mask():
    result = make_result(4)
    one = result[-1]
    assert len(one) == 1 and one.ids.tolist() == ["galaxy-3"]
    np.testing.assert_array_equal(one.diagnostics["tau"], result.diagnostics["tau"][3:])
    assert result[1:3].ids.tolist() == ["galaxy-1", "galaxy-2"]
    assert result[result.chi2_min > 1.5].ids.tolist() == ["galaxy-2", "galaxy-3"]
    assert [r.ids[0] for r in result] == [f"galaxy-{i}" for i in range(4)]
    with pytest.raises(IndexError, match="4"):
        result[4]


def test_summary_columns_units_and_values():
    result = make_result(3, bad=[1])
    table = result.summary()
    quality = ["ess", "badge", "chi2_min", "log_evidence", "problem"]
    triples = [name + s for name in NAMES for s in ("", "_lo", "_hi")]
    assert table.colnames == ["id", "redshift", *triples, *quality]
    assert str(table["log_mstar"].unit) == "dex(solMass)" and str(table["tburst"].unit) == "Gyr"
    assert table["fburst"].unit is None
    np.testing.assert_allclose(table["fburst_hi"], result.quantile(0.84)[:, 5])
    good = [0, 2]
    assert (table["log_mstar_lo"] < table["log_mstar"])[good].all()
    assert (table["log_mstar"] < table["log_mstar_hi"])[good].all()
    assert np.isnan(table["log_mstar"][1]) and table["problem"][1] == "band u: flux is NaN"
    assert "0.84" in table["fburst_hi"].description


@pytest.mark.filterwarnings("ignore:The unit 'dex")  # FITS knows no logarithmic units
def test_summary_survives_ecsv_and_fits(tmp_path):
    from astropy.table import Table

    table = make_result(2, bad=[1]).summary()
    for name in ("summary.ecsv", "summary.fits"):
        table.write(tmp_path / name)
        back = Table.read(tmp_path / name)
        np.testing.assert_allclose(back["tburst"], table["tburst"])
        assert [str(b) for b in back["badge"]] == ["ok", "bad photometry"]


def test_mean_is_weighted_and_nan_where_there_is_no_posterior():
    result = make_result(2, bad=[1])
    expected = np.average(result.samples[0], axis=0, weights=result.weights[0])
    np.testing.assert_allclose(result.mean()[0], expected)
    assert np.isnan(result.mean()[1]).all()
    assert result.usable.tolist() == [True, False]


def test_resample_keeps_the_distribution_and_the_draws_together():
    result = make_result(3, draws=2000, bad=[2])
    result.diagnostics["draw_mass"] = result.samples[..., 0]
    even = result.resample(1000, seed=5)
    assert even.samples.shape == (3, 1000, 12)
    np.testing.assert_allclose(even.weights[:2], 1e-3)
    # Systematic resampling scatters means by 0.02 σ of the draws: seven such errors.
    apart = (even.mean()[:2] - result.mean()[:2]) / result.samples[:2].std(1)
    assert np.abs(apart).max() < 0.14
    np.testing.assert_array_equal(even.diagnostics["draw_mass"], even.samples[..., 0])
    assert np.isnan(even.samples[2]).all() and (even.weights[2] == 0).all()
    assert (even.ess <= 1000).all() and (even.ess <= result.ess).all()
    np.testing.assert_array_equal(even.samples, result.resample(1000, seed=5).samples)


def test_resample_is_systematic_on_unequal_weights():
    result = make_result(1, draws=4, weights=[[0.5, 0.25, 0.25, 0.0]])
    picked = result.resample(8, seed=0).samples[0, :, 0]
    expected = np.repeat(result.samples[0, :, 0], [4, 2, 2, 0])
    np.testing.assert_array_equal(picked, expected)


def test_to_table_carries_weights_and_identity():
    result = make_result(2)
    table = result.to_table(1)
    assert len(table) == 400 and table.colnames == [*NAMES, "weight"]
    np.testing.assert_array_equal(table["tau_ism"], result.samples[1, :, 10])
    np.testing.assert_array_equal(table["weight"], result.weights[1])
    assert table.meta["id"] == "galaxy-1"


def test_to_arviz_keeps_chains_of_equally_weighted_draws():
    pytest.importorskip("arviz")
    result = make_result(1, draws=100, weights=np.full((1, 100), 0.01))
    data = result.to_arviz()
    assert dict(data.posterior.sizes) == {"chain": 2, "draw": 50}
    np.testing.assert_array_equal(data.posterior["tburst"].values[1], result.samples[0, 50:, 6])
    assert data.posterior.attrs["galaxy"] == "galaxy-0"


def test_to_arviz_resamples_unequal_weights():
    pytest.importorskip("arviz")
    result = make_result(2, draws=2000, bad=[1])
    data = result.to_arviz(0)
    assert dict(data.posterior.sizes) == {"chain": 1, "draw": 2000}
    mean = float(data.posterior["n_dust"].mean())
    # Resampling scatters it by 0.008: seven standard errors.
    assert mean == pytest.approx(result.mean()[0, 11], abs=0.06)
    with pytest.raises(InputError, match="galaxy-1 has no posterior: band u"):
        result.to_arviz(1)


@pytest.mark.parametrize(("version", "new"), [("0.23.4", False), ("1.3.0", True)])
def test_to_arviz_speaks_to_either_arviz_as_it_expects(version, new, monkeypatch):
    """A stand-in takes what each `from_dict` takes, for want of two ArviZ in one place."""
    calls = []

    def old_from_dict(posterior=None, *, posterior_attrs=None):
        calls.append((posterior, posterior_attrs))

    def new_from_dict(data, *, attrs=None):
        assert set(data) == set(attrs) == {"posterior"}  # attributes are given group by group
        calls.append((data["posterior"], attrs["posterior"]))

    stand_in = ModuleType("arviz")
    stand_in.__version__ = version
    stand_in.from_dict = new_from_dict if new else old_from_dict
    monkeypatch.setitem(sys.modules, "arviz", stand_in)
    result = make_result(1, draws=100, weights=np.full((1, 100), 0.01))
    result.to_arviz()
    ((posterior, attributes),) = calls
    assert set(posterior) == set(NAMES) and posterior["tburst"].shape == (2, 50)
    assert attributes["galaxy"] == "galaxy-0" and attributes["badge"] == result.badge[0]


def test_save_and_load_round_trip(tmp_path):
    result = make_result(3, bad=[1])
    path = tmp_path / "result.h5"
    path.write_text("an older file")
    result.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["result.h5"]
    assert_same(PosteriorResult.load(path), result)


def test_save_keeps_bands_that_have_no_name_to_look_up(tmp_path):
    mine = Band("mine", "m", np.array([4000.0, 5000, 6000]), np.array([0.0, 1, 0]))
    result = make_result(1, bands=get_bands(["sdss2010-r", mine]))
    result.save(tmp_path / "r.h5")
    back = PosteriorResult.load(tmp_path / "r.h5").bands
    assert back.names == ("sdss2010-r", "mine") and back.labels == ("r", "m")
    np.testing.assert_array_equal(back.bands[1].response, mine.response)


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "result.h5"
    result = make_result(2)
    result.save(path)
    broken = make_result(2, provenance={"not json": {1, 2}})
    with pytest.raises(TypeError):
        broken.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["result.h5"]
    assert_same(PosteriorResult.load(path), result)


def test_files_that_are_something_else_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"missing\.h5"):
        PosteriorResult.load(tmp_path / "missing.h5")
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(InputError, match=r"text\.h5"):
        PosteriorResult.load(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = [1, 2]
    with pytest.raises(InputError, match="not a posterior result"):
        PosteriorResult.load(tmp_path / "other.h5")
    make_result(1).save(tmp_path / "old.h5")
    with h5py.File(tmp_path / "old.h5", "a") as file:
        file.attrs["parameters"] = json.dumps(["log_mstar", "age"])
    with pytest.raises(InputError, match=r"old\.h5 \(its content is not what was written\)"):
        PosteriorResult.load(tmp_path / "old.h5")
    sealed = (tmp_path / "old.h5").read_bytes()
    (tmp_path / "old.h5").write_bytes(seal(io.BytesIO(sealed)))
    with pytest.raises(InputError, match="other parameters"):
        PosteriorResult.load(tmp_path / "old.h5")


def test_concatenate_restores_what_indexing_took_apart():
    result = make_result(4, bad=[2])
    assert_same(PosteriorResult.concatenate([result[:1], result[1:3], result[3]]), result)


def test_concatenate_keeps_each_provenance_once_and_refuses_misfits():
    a, b = make_result(1), make_result(1, provenance={"seed": 7})
    joined = PosteriorResult.concatenate([a, b, a])
    assert joined.provenance == {"parts": [a.provenance, {"seed": 7}]}
    with pytest.raises(InputError, match="number of draws"):
        PosteriorResult.concatenate([a, make_result(1, draws=10)])
    with pytest.raises(InputError, match="method"):
        PosteriorResult.concatenate([a, make_result(1, method="mcmc")])
    with pytest.raises(InputError, match="no results"):
        PosteriorResult.concatenate([])


def test_repr_says_what_matters():
    text = repr(make_result(3, bad=[1]))
    for part in ("3 galaxies", "400 draws", "'weighted'", "sdss-ugriz", "2 'ok'", "median ESS"):
        assert part in text
    assert "galaxy-0" in repr(make_result(3)[0])


def test_repr_counts_who_has_no_posterior_and_leaves_them_out_of_the_median():
    result = make_result(4, bad=[1, 2])
    result.ess = np.array([100.0, 1.0, 1.0, 300.0])
    assert repr(result).endswith("; median ESS 200; 2 without a posterior>")
    assert repr(result[[0, 3]]).endswith("; median ESS 200>")
    assert repr(result[1]).endswith("; median ESS -; 1 without a posterior>")


def test_put_takes_over_galaxies_and_their_diagnostics():
    photometry = sl.showcase()[:3]
    whole = PosteriorResult.blank(photometry, 5, "fast", badge="unfinished")
    assert not whole.usable.any() and (whole.badge == "unfinished").all()
    theta = get_prior().sample(5)[None]
    part = PosteriorResult.of(
        photometry[1], theta, "exact", "model cannot fit", diagnostics={"tau": [[1.0, 2.0]]}
    )
    whole.put([1], part)
    assert whole.usable.tolist() == [False, True, False]
    assert whole.badge.tolist() == ["unfinished", "model cannot fit", "unfinished"]
    np.testing.assert_array_equal(whole.samples[1], theta[0])
    np.testing.assert_array_equal(whole.diagnostics["tau"][1], [1.0, 2.0])
    assert np.isnan(whole.diagnostics["tau"][[0, 2]]).all()


def test_put_leaves_nothing_of_what_stood_there():
    photometry = sl.showcase()[:1]
    theta = get_prior().sample(4)[None]
    old = PosteriorResult.of(photometry, theta, "fast", "refine", diagnostics={"k": [1.0]})
    old.put([0], PosteriorResult.of(photometry, theta[:, ::-1], "exact", "exact"))
    assert old.badge[0] == "exact" and np.isnan(old.diagnostics["k"][0])
