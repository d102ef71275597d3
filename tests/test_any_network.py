"""Every panel, and the notebooks that choose a network, with one of other bands than the shipped.

It has three bands and redshifts to 0.6, was trained for seconds, and has no calibration card.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nbformat
import numpy as np
import pytest
import test_notebooks
from conftest import TINY
from nbclient import NotebookClient

import sedflow_lab as sl
from sedflow_lab import panels
from sedflow_lab.anpe.examples import find_examples
from sedflow_lab.commands.main import main
from sedflow_lab.diagnostics.mocks import ANOTHER, Fault, draw_mocks
from sedflow_lab.diagnostics.witnesses import CASES
from sedflow_lab.observations.nsa import showcase_table
from sedflow_lab.panels.kit.choice import describe, main_bands
from sedflow_lab.panels.kit.takeaway import loading_code
from sedflow_lab.panels.picker.shown import Shown, planes_of
from sedflow_lab.panels.whatif.state import presets
from sedflow_lab.sps.ssp import load_ssp_grid
from sedflow_lab.units import magnitude

ROOT = Path(__file__).resolve().parents[1]
SIMULATED = "No real galaxies ship in the bands of this network"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("survey") / "grz"
    assert main(["train", str(folder), "--survey", "legacy-grz", *TINY]) == 0
    return folder


@pytest.fixture(scope="module")
def posterior(folder):
    return sl.load_posterior(folder)


def run(code: str) -> dict:
    names: dict = {}
    exec(code, names)
    return names


# The galaxies


def test_examples_are_real_where_the_atlas_has_the_bands_and_the_redshifts(tiny_bundle):
    of_atlas = sl.load_posterior(tiny_bundle)
    assert np.array_equal(sl.example_galaxies(of_atlas).flux, sl.showcase().flux)
    found = find_examples(of_atlas)
    assert found.truth is None and found.table.colnames == showcase_table().colnames
    # None is beyond what the network knows.
    of_atlas.bundle = replace(of_atlas.bundle, redshift_max=0.02)
    near = find_examples(of_atlas)
    assert 0 < len(near.photometry) < 192 and near.photometry.redshift.max() <= 0.02
    assert list(near.table["NSAID"].astype(str)) == near.photometry.ids.tolist()


def test_elsewhere_examples_are_simulated_and_always_the_same(posterior, folder):
    galaxies, table, truth = find_examples(posterior)
    assert galaxies.ids[[0, 23]].tolist() == ["simulated-01", "simulated-24"] and table is None
    assert galaxies.bands == posterior.bands and 0.3 < galaxies.redshift.max() <= 0.6
    again = sl.example_galaxies(sl.load_posterior(folder))
    assert np.array_equal(galaxies.flux, again.flux)
    # They are the truth but for the noise, and such as the survey sees.
    clean = posterior.model.photometry(truth, galaxies.redshift)
    off = (galaxies.flux - clean) / galaxies.sigma
    # 72 numbers: their scatter is known to 8 %; six errors, and as many for each of them.
    assert 0.5 < off.std() < 1.5 and np.abs(off).max() < 6.5
    noise = posterior.bundle.noise
    seen = magnitude(clean[:, 1])
    assert (seen < noise.faint + 0.3).all() and (seen > noise.bright - 0.3).all()
    assert np.median(galaxies.snr) > 10


def test_a_list_of_galaxies_tells_what_there_is():
    bands = sl.get_bands("wise2010-W1,wise2010-W2")
    one = sl.Photometry([[10.0, 1.0]], [[0.1, 0.1]], [0.1], bands=bands, ids=["a"])
    assert main_bands(bands) == (0, 1)
    assert describe(one) == "a  ·  z 0.1000  ·  W2 22.50  ·  W1−W2 -2.50"
    masked = sl.Photometry(
        [[1.0, 1.0, 1.0]], [[0.1] * 3], [0.1], "decam-grz", ["b"], [[True, False, True]]
    )
    assert describe(masked) == "b  ·  z 0.1000"


# The panels


def test_the_galaxy_panel_and_its_code(posterior):
    panel = panels.GalaxyPanel(posterior, method="fast", draws=100)
    assert SIMULATED in panel.children[0].value
    assert panel.state.truth["log_mstar"] == find_examples(posterior).truth[0, 0]
    panel.next.click()
    panel.bands["r"].value = False
    panel.state.error_floor = True
    panel.drawers.selected_index = 1
    made = run(panel.state.code)
    assert np.array_equal(made["result"].samples, panel.state.outcome.result.samples)
    assert made["galaxy"].mask.tolist() == [[True, False, True]]
    panel.close()


@pytest.mark.parametrize("kept", [True, False], ids=["in a file", "in memory"])
def test_code_has_the_stellar_populations_of_the_network(posterior, tmp_path, kept):
    grid = load_ssp_grid()
    other = replace(grid, ssp_lsun_per_aa=1.1 * grid.ssp_lsun_per_aa)
    other.save(tmp_path / "other.npz")
    bundle = replace(posterior.bundle, ssp_hash=other.hash)
    bundle.save(tmp_path / "net")
    if kept:
        other = load_ssp_grid(tmp_path / "other.npz")
    loaded = sl.load_posterior(tmp_path / "net", ssp=other)
    lines = loading_code(loaded)
    if kept:
        assert run("\n".join(lines))["posterior"].bundle.hash == loaded.bundle.hash
    else:
        assert "grid = load_ssp_grid('mist-miles.npz')  # save mist-miles" in lines[3]


def test_networks_on_the_shelf_are_loaded_by_name_in_code(posterior, folder):
    assert loading_code(posterior)[-1] == f"posterior = sl.load_posterior({str(folder)!r})"
    shipped = sl.load_posterior("nsa-ugriz")
    assert loading_code(shipped)[-1] == "posterior = sl.load_posterior('nsa-ugriz')"


def test_the_picker(posterior):
    panel = panels.PickerPanel(posterior, draws=100)
    state = panel.state
    assert SIMULATED in panel.children[0].value and SIMULATED not in panel.galaxy.children[0].value
    assert state.planes[:2] == (("abs_r", "g-r"), ("g-r", "r-z"))
    assert state.planes[2] == ("redshift", "snr_r") and state.planes[3] == ("redshift", "mag_r")
    assert all(np.isfinite(values).sum() > 12 for k in range(4) for values in state.points(k))
    state.find("simulated-03")
    assert state.tapped == panel.galaxy.state.index == 2
    assert panel.galaxy.state.truth is not None
    state.find("187.28 2.05")
    assert "no positions" in state.message
    assert "no position, no picture" in panel.picture.value and panel.ask.layout.display == "none"
    assert "Signal to noise" in panel._heads[2].value
    panel.close()


def test_planes_of_two_bands(posterior):
    bands = sl.get_bands("wise2010-W1,wise2010-W2")
    pair = sl.Photometry([[10.0, 1.0]], [[0.1, 0.1]], [0.1], bands=bands)
    found = Shown.of(pair, None, None, posterior.model)
    planes = planes_of(found, pair)
    assert planes[:2] == (("abs_W2", "W1-W2"), ("W1-W2", "snr_W2"))
    assert all(name in found.columns for plane in planes for name in plane)


def test_own_galaxies_and_the_code_that_reads_them(posterior, tmp_path):
    sl.example_galaxies(posterior)[:3].to_table().write(tmp_path / "mine.csv")
    panel = panels.OwnGalaxiesPanel(tmp_path / "mine.csv", posterior, method="fast", draws=100)
    state = panel.state
    assert state.wait(60) and "<b>3</b> can be used" in panel.status.value
    assert list(panel.menus.bands) == ["g", "r", "z"]
    state.infer()
    assert state.wait(60) and state.message == ""
    found = run(state.code)["result"].summary()
    assert np.array_equal(found["log_mstar"], state.results["log_mstar"])
    panel.close()


def test_what_if(posterior):
    panel = panels.WhatIfPanel(posterior, draws=100)
    state = panel.state
    names = ["no g band", "errors halved", "10 × S/N", "g and z only"]
    assert [button.description for button in panel.presets] == names
    assert panel.redshift.max == 0.6 and SIMULATED in panel.children[0].value
    for button, mask in zip(panel.presets, ([0, 1, 1], [1] * 3, [1] * 3, [1, 0, 1]), strict=True):
        button.click()
        assert state.wait(60) and state.now.photometry.mask[0].tolist() == [bool(m) for m in mask]
    state.put(redshift=0.55)
    assert state.wait(60) and state.now.result.redshift[0] == 0.55
    panel.close()


def test_presets_of_two_bands_spare_none():
    assert list(presets(sl.get_bands("decam2014-g,decam2014-z"))) == ["errors halved", "10 × S/N"]


def test_a_galaxy_that_lacks_the_bands_of_a_preset_is_told(posterior):
    one = sl.Photometry(
        [[1.0, 2.0, 3.0]], [[0.1] * 3], [0.1], "decam-grz", mask=[[True, True, False]]
    )
    panel = panels.WhatIfPanel(posterior, one, draws=100)
    panel.presets[0].click()
    assert "needs two bands or more" in panel.state.message
    panel.close()


def test_the_witness(posterior):
    panel = panels.WitnessPanel(posterior)
    assert panel.state.network.result.usable[0] and SIMULATED in panel.children[0].value
    panel.galaxy.value = 5
    assert panel.state.network.photometry.ids[0] == "simulated-06"
    panel.close()


def test_the_explorer(folder):
    panel = panels.ExplorerPanel(str(folder))
    assert panel.state.model.bands.labels == ("g", "r", "z")
    panel.state.put(redshift=0.6)
    assert panel.state.frame.curves.photometry[0].shape == (3,)
    assert panel.sliders["redshift"].max == pytest.approx(np.log10(0.6))
    panel.close()


def test_coverage(posterior, folder):
    panel = panels.CoveragePanel(posterior, simulations=20, draws=50)
    state = panel.state
    assert panel.posterior.value == str(folder)
    state.start()
    assert state.wait(120) and state.message == "" and len(state.findings.run) == 20
    state.drill(2)
    assert state.wait(60) and "badge" in panel.story.value
    # Another network and back, which is the one that was given.
    state.bundle = "nsa-ugriz"
    state.bundle = str(folder)
    assert state.posterior is posterior
    panel.close()


def test_the_wrong_filter_is_never_the_networks_own(posterior):
    assert CASES["filter"].fault == Fault(filters=ANOTHER)
    how = posterior.model, posterior.prior, posterior.bundle.noise, 20, 3
    right, _ = draw_mocks(*how)
    wrong, _ = draw_mocks(*how, Fault(filters=ANOTHER))
    named, _ = draw_mocks(*how, Fault(filters="sdss2010-g"))
    assert np.array_equal(wrong.flux, named.flux)
    ratio = wrong.flux / right.flux
    assert np.allclose(ratio[:, 1:], 1) and 0.01 < np.median(np.abs(ratio[:, 0] - 1)) < 0.3


def test_a_catalogue_and_the_network_that_made_it(posterior):
    panel = panels.CataloguePanel(posterior=posterior, draws=100)
    state = panel.state
    assert SIMULATED in panel.children[0].value
    assert panel.run.description == "Infer 24 galaxies"
    state.run()
    assert state.wait(120) and state.finished
    state.tapped = 4
    assert state.wait(60) and state.outcome.photometry.ids[0] == "simulated-05"
    table, galaxies = state.table, state.galaxies
    panel.close()
    # A panel for other bands says what it lacks.
    wrong = panels.CatalogueState(table, galaxies, "nsa-ugriz")
    wrong.tapped = 0
    assert wrong.wait(60) and wrong.outcome is None
    sentence = "this panel's network is for sdss2010-u"
    assert sentence in wrong.message and wrong.message.endswith("made them, as posterior=.")
    wrong.close()
    with pytest.raises(sl.InputError, match=sentence):
        panels.CatalogueState(posterior.infer(galaxies[:1], 50), galaxies[:1], "nsa-ugriz")


def test_results_name_a_network_of_the_shelf(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("SEDFLOW_CACHE", str(tmp_path / "cache"))
    sl.fetch_network(folder, name="mine")
    of_shelf = sl.load_posterior("mine")
    assert of_shelf.bundle.source == "mine"
    galaxies = sl.example_galaxies(of_shelf)[:2]
    result = of_shelf.infer(galaxies, 50)
    state = panels.CatalogueState(result, galaxies)
    assert state.posterior.bundle.name == "mine" and not state.simulated
    state.close()


def test_abc(posterior):
    panel = panels.ABCPanel(posterior, budget=2000, tolerance=10.0)
    state = panel.state
    assert state.wait(60) and state.message == ""
    assert state.problem.model is posterior.model and state.findings.expected.shape == (50,)
    # In three bands the ball grows with the cube of its radius.
    found = state.findings
    grows = np.log(found.expected[-1] / found.expected[0])
    assert grows == pytest.approx(3 * np.log(found.tolerances[-1] / found.tolerances[0]))
    labels = [item.label.value for item in panel.price.price.legend[0].items]
    assert labels[0] == "evidence × ball ∝ ε³"
    panel.close()


def test_training(posterior, tmp_path):
    few = {"simulations": 200, "steps": 20, "size": "small", "examined": 20}
    panel = panels.TrainPanel(posterior, folder=tmp_path, **few)
    state = panel.state
    state.start()
    assert state.wait(120) and state.message == ""
    assert state.network.bands == posterior.bands
    assert state.network.bundle.redshift_max == 0.6
    assert state.rival == "grz" and "(grz: " in panel.verdict.value
    assert any("A simulated galaxy by both" in w.value for w in panel._galaxies.children[:1])
    panel.close()


# The notebooks

SHORTER = {
    "03_pick_and_infer": {'method="auto"': 'method="fast"'},
    "08_break_it": test_notebooks.SHORTER["08_break_it"],
    "10_catalogue": {"draws=1000": "draws=100"},
}


@pytest.mark.parametrize(
    "names", [("03_pick_and_infer", "09_your_own_galaxies", "10_catalogue"), ("08_break_it",)]
)
@pytest.mark.timeout(400)
def test_notebooks_run_with_another_network(names, folder, monkeypatch):
    """One after the other in one kernel, which starts sooner than three."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    choice = 'sl.load_posterior("nsa-ugriz")  # or another of sl.networks()'
    whole = nbformat.v4.new_notebook()
    for name in names:
        cells = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4).cells
        assert sum(choice in cell.source for cell in cells) == 1
        changes = SHORTER.get(name, {}) | {choice: f"sl.load_posterior({str(folder)!r})"}
        for long, short in changes.items():
            assert any(long in cell.source for cell in cells), long
            for cell in cells:
                cell.source = cell.source.replace(long, short)
        for cell in cells:
            cell.id = f"{name}-{cell.id}"
        whole.cells += cells
    where = {"metadata": {"path": ROOT / "notebooks"}}
    NotebookClient(whole, timeout=300, kernel_name="python3", resources=where).execute()
    for cell in whole.cells:
        if "solution" in cell.metadata.get("tags", ()):
            printed = "".join(out.get("text", "") for out in cell.outputs)
            assert printed.startswith("Right"), printed
