"""Stores of catalogues: the numbers of infer, whatever happens on the way."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

import sedflow_lab as sl

pytest.importorskip("zarr")
pytest.importorskip("pyarrow")

N, DRAWS, CHUNK = 11, 60, 3


@pytest.fixture(scope="module")
def posterior(tiny_bundle: Path):
    return sl.load_posterior(tiny_bundle)


@pytest.fixture(scope="module")
def galaxies():
    """Some of them without a posterior, among these all of one chunk."""
    found = sl.showcase()[:N]
    redshift, flux = found.redshift.copy(), found.flux.copy()
    redshift[[3, 4, 5]] = 3.0
    flux[8, 2] = np.nan
    return sl.Photometry(flux, found.sigma, redshift, found.bands, ids=found.ids, on_bad="flag")


def infer(posterior, galaxies, out: Path, method: str = "fast", **options):
    how = {"posterior": posterior, "chunk": CHUNK} | options
    return sl.infer_catalogue(galaxies, out, DRAWS, method, 5, **how)


def files_of(store: Path) -> dict[str, str]:
    """Hash of every file that is no lock."""
    return {
        str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.rglob("*"))
        if path.is_file()
    }


def same(found, wanted) -> None:
    for name in ("redshift", "ids", "badge", "ess", "chi2_min", "log_evidence", "problems"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), name)
    np.testing.assert_array_equal(found.weights, wanted.weights.astype(np.float32))
    np.testing.assert_array_equal(found.samples, wanted.samples.astype(np.float32))
    for name, values in wanted.diagnostics.items():
        np.testing.assert_array_equal(found.diagnostics[name], values, name)


@pytest.fixture(scope="module")
def whole(posterior, galaxies, tmp_path_factory) -> Path:
    """A store by the method auto, and what `infer` says."""
    out = tmp_path_factory.mktemp("whole") / "whole.zarr"
    infer(posterior, galaxies, out, "auto")
    return out


@pytest.mark.parametrize("method", ["fast", "weighted", "auto"])
def test_a_store_holds_the_numbers_of_infer(posterior, galaxies, tmp_path, whole, method):
    outliers = None if method == "fast" else sl.Outliers(0.02)
    if method == "auto":
        catalogue, outliers = sl.open_catalogue(whole), None
    else:
        catalogue = infer(posterior, galaxies, tmp_path / "a.zarr", method, outliers=outliers)
    wanted = posterior.infer(galaxies, DRAWS, method, 5, outliers=outliers, on_bad="flag")
    same(catalogue.posterior(range(N)), wanted)
    table, summary = catalogue.summary, wanted.summary()
    for name in summary.colnames:
        np.testing.assert_array_equal(table[name], summary[name], name)
        assert str(table[name].unit) == str(summary[name].unit)
    derived = wanted.derived(posterior.model)["log_sfr_1gyr"]
    good = wanted.usable
    middle = sl.posterior.weighting.weighted_quantile(
        derived[good][..., None], wanted.weights[good], 0.5
    )
    np.testing.assert_array_equal(table["log_sfr_1gyr"][good], middle[:, 0])
    exact = np.isin(wanted.badge, ["exact", "model cannot fit", "unfinished"])
    np.testing.assert_array_equal(table["exact"], exact)
    assert exact.any() == (method == "auto")


def test_a_catalogue_is_looked_into_by_id_and_by_number(whole, galaxies, tmp_path):
    catalogue = sl.open_catalogue(whole)
    assert (len(catalogue), catalogue.done) == (N, N)
    assert catalogue.ids.tolist() == galaxies.ids.tolist()
    name = str(galaxies.ids[7])
    assert catalogue.posterior(name).ids.tolist() == [name]
    picked = catalogue.posterior([9, 0, 1, 10])
    assert picked.ids.tolist() == galaxies.ids[[9, 0, 1, 10]].tolist()
    photometry = catalogue.photometry([2, 8])
    np.testing.assert_array_equal(photometry.flux, galaxies.flux[[2, 8]])
    assert photometry.problems.tolist() == galaxies.problems[[2, 8]].tolist()
    assert catalogue.table("id", "badge").colnames == ["id", "badge"]
    assert sum(catalogue.badges.values()) == N
    catalogue.to_fits(tmp_path / "summary.fits")
    assert len(Table.read(tmp_path / "summary.fits")) == N
    for wrong, what in ((N, "There is no galaxy 11"), ("x", "There is no galaxy 'x': see ids")):
        with pytest.raises(sl.InputError, match=what):
            catalogue.posterior(wrong)
    with pytest.raises(sl.InputError, match="has no column 'age'"):
        catalogue.table("age")


def test_a_store_is_a_zarr_group_that_others_can_read(whole):
    import zarr

    group = zarr.open_group(whole, mode="r")
    assert group["samples"].shape == (N, DRAWS, 12)
    assert group.attrs["sedflow_lab"]["settings"]["seed"] == 5
    found = sl.open_catalogue(whole).posterior([6, 7])
    np.testing.assert_array_equal(group["samples"][6:8], found.samples.astype(np.float32))
