"""The SSP grid: checks, files, identity; and comparing two grids in bands."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sedflow_lab.errors import InputError
from sedflow_lab.reports.grids import compare_ssp_grids, plot_comparison
from sedflow_lab.sps.ssp import SSPGrid, load_ssp_grid


def small_grid(**changes):
    """Spectra that are lines in log age, log metallicity and wavelength."""
    age, metallicity = np.array([0.01, 0.1, 1.0, 13.0]), np.array([1e-4, 1e-3, 0.019])
    wavelength = np.arange(2900.0, 12000.0, 10.0)
    level = 3 - np.log10(age)[:, None] + 0.2 * np.log10(metallicity)
    fields = {
        "age_gyr": age,
        "metallicity": metallicity,
        "wavelength_aa": wavelength,
        "ssp_lsun_per_aa": level[..., None] * (wavelength / 5000),
        "young_lsun_per_aa": 5 * level[0][:, None] * np.ones_like(wavelength),
        "young_age_max_gyr": 0.0089,
        "surviving_mass": 0.9 - 0.1 * np.log10(age / 0.01)[:, None] + 0 * metallicity,
        "provenance": {"code": "analytic"},
    }
    return SSPGrid(**(fields | changes))


def test_shipped_grid_is_the_one_we_know():
    grid = load_ssp_grid()
    assert grid.ssp_lsun_per_aa.shape == (64, 12, 1703)
    assert (grid.age_gyr[0], grid.age_gyr[-1]) == (0.01, 13.2)
    assert grid.metallicity[9] == 0.019
    assert grid.hash == "2505eddf2cb844ca"  # trained posteriors record it
    assert grid.provenance["isochrones"] == "mist"
    assert load_ssp_grid() is grid
    # One solar mass formed at solar metallicity has a luminosity near that of the Sun at 5 Gyr.
    v_band = (grid.wavelength_aa > 5000) & (grid.wavelength_aa < 6000)
    old = grid.ssp_lsun_per_aa[np.searchsorted(grid.age_gyr, 5.0), 9, v_band].mean()
    assert 1e-5 < old < 1e-4


def test_hash_is_cached_and_sees_every_array():
    grid = small_grid()
    assert grid.hash is grid.hash
    assert len(grid.hash) == 16
    assert replace(grid, provenance={}).hash == grid.hash
    for name in ("age_gyr", "young_lsun_per_aa", "surviving_mass", "young_age_max_gyr"):
        assert replace(grid, **{name: getattr(grid, name) * 1.001}).hash != grid.hash


def test_save_and_load_round_trip(tmp_path):
    grid = small_grid()
    path = tmp_path / "folder" / "grid.npz"
    grid.save(path)
    loaded = load_ssp_grid(path)
    assert loaded.hash == grid.hash
    assert loaded.provenance == {"code": "analytic"}
    np.testing.assert_array_equal(loaded.ssp_lsun_per_aa, grid.ssp_lsun_per_aa)
    assert [f.name for f in path.parent.iterdir()] == ["grid.npz"]


def test_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "grid.npz"
    small_grid().save(path)
    before = path.read_bytes()

    def full_disk(stream, **arrays):
        stream.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full_disk)
    with pytest.raises(OSError, match="No space"):
        small_grid().save(path)
    assert path.read_bytes() == before
    assert [f.name for f in tmp_path.iterdir()] == ["grid.npz"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"surviving_mass": np.ones((3, 3))}, "surviving_mass has shape"),
        ({"age_gyr": np.array([0.1, 0.01, 1.0, 13.0])}, "age_gyr must be positive and strictly"),
        ({"young_lsun_per_aa": np.full((3, 910), np.nan)}, "young_lsun_per_aa has negative or non"),
        ({"metallicity": -np.array([3e-4, 2e-4, 1e-4])}, "metallicity has negative"),
    ],
)
def test_broken_grids_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        small_grid(**changes)


def test_unreadable_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="Cannot read the SSP grid"):
        load_ssp_grid(tmp_path / "nowhere.npz")
    np.savez(tmp_path / "other.npz", age_gyr=np.ones(3))
    with pytest.raises(InputError, match="lacks metallicity, wavelength_aa"):
        load_ssp_grid(tmp_path / "other.npz")
    np.save(tmp_path / "array.npy", np.ones(3))
    with pytest.raises(InputError, match="Cannot read the SSP grid"):
        load_ssp_grid(tmp_path / "array.npy")


@settings(max_examples=60, deadline=None)
@given(position=st.floats(0, 1), byte=st.integers(0, 255), cut=st.floats(0, 1))
def test_damaged_files_load_alike_or_are_refused(tmp_path_factory, position, byte, cut):
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    stream = io.BytesIO()
    grid = small_grid()
    arrays = {n: getattr(grid, n) for n in vars(grid) if n not in ("provenance", "hash")}
    np.savez_compressed(stream, **arrays)
    data = bytearray(stream.getvalue())
    data[int(position * (len(data) - 1))] = byte
    path.write_bytes(data[: int(cut * len(data)) if cut < 0.5 else len(data)])
    try:
        assert load_ssp_grid(path).hash == grid.hash
    except InputError:
        pass


def test_a_brighter_grid_differs_by_its_brightness():
    grid = small_grid()
    brighter = replace(
        grid,
        ssp_lsun_per_aa=1.1 * grid.ssp_lsun_per_aa,
        young_lsun_per_aa=1.2 * grid.young_lsun_per_aa,
        surviving_mass=grid.surviving_mass - 0.05,
    )
    comparison = compare_ssp_grids(grid, brighter, "sdss-ugriz")
    assert comparison.delta_mag.shape == (4, 3, 5)
    np.testing.assert_allclose(comparison.delta_mag, -2.5 * np.log10(1.1), atol=1e-5)
    np.testing.assert_allclose(comparison.young_delta_mag, -2.5 * np.log10(1.2), atol=1e-5)
    np.testing.assert_allclose(comparison.delta_surviving_mass, -0.05, atol=1e-12)


def test_a_redder_grid_differs_by_band():
    grid = small_grid()
    tilt = (grid.wavelength_aa / 6000) ** 0.2
    redder = replace(grid, ssp_lsun_per_aa=grid.ssp_lsun_per_aa * tilt)
    comparison = compare_ssp_grids(grid, redder, "sdss-ugriz")
    expected = -2.5 * 0.2 * np.log10(comparison.bands.effective_wavelength / 6000)
    # The u filter leaks in the red.
    np.testing.assert_allclose(comparison.delta_mag[0, 0, 1:], expected[1:], atol=2e-3)
    table = comparison.summary()
    assert list(table["band"]) == ["u", "g", "r", "i", "z"]
    np.testing.assert_allclose(table["median"][1:], expected[1:], atol=2e-3)
    assert str(table["worst"].unit) == "mag"
    assert np.abs(table["scatter"]).max() < 1e-5


def test_grids_are_compared_where_both_have_populations():
    """The spectra are lines in log age and log Z, so that interpolation between them is exact."""
    grid = small_grid()
    age, metallicity = np.array([0.02, 0.3, 20.0]), np.array([5e-4, 0.03])
    level = 3 - np.log10(age)[:, None] + 0.2 * np.log10(metallicity)
    other = replace(
        grid,
        age_gyr=age,
        metallicity=metallicity,
        ssp_lsun_per_aa=level[..., None] * (grid.wavelength_aa / 5000),
        young_lsun_per_aa=grid.young_lsun_per_aa[:2],
        surviving_mass=0.9 - 0.1 * np.log10(age / 0.01)[:, None] + 0 * metallicity,
    )
    comparison = compare_ssp_grids(grid, other, "sdss2010-r")
    assert comparison.age_gyr.tolist() == [0.1, 1.0, 13.0]
    assert comparison.metallicity.tolist() == [1e-3, 0.019]
    np.testing.assert_allclose(comparison.delta_mag, 0, atol=1e-5)
    np.testing.assert_allclose(comparison.delta_surviving_mass, 0, atol=1e-12)


def test_what_cannot_be_compared_is_said():
    grid = small_grid()
    with pytest.raises(InputError, match=r"share no ages: A has 0\.01 to 13, B 20 to 80"):
        compare_ssp_grids(grid, replace(grid, age_gyr=np.array([20.0, 30, 40, 80])))
    with pytest.raises(InputError, match="galex-fuv"):
        compare_ssp_grids(grid, grid, "galex-sdss")


def test_figure_has_a_panel_a_band_and_a_line_a_metallicity(tmp_path):
    grid = small_grid()
    path = tmp_path / "mine.npz"
    grid.save(path)
    figure = plot_comparison(compare_ssp_grids(grid, path, "sdss-ugriz"))
    panels = [axis for axis in figure.axes if axis.axison]
    assert [p.get_title().split()[0] for p in panels] == ["u", "g", "r", "i", "z"]
    assert all(len(p.lines) == 1 + 3 for p in panels)
    assert panels[0].get_ylabel().endswith("[mag]")
    assert panels[-1].get_xlabel() == "Age [Gyr]"
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == ["0.0001", "0.001", "0.019"]
    assert "mine.npz" in figure.get_suptitle()
    figure.savefig(tmp_path / "figure.png", dpi=60)
