"""Catalogues on Dask: the same store, whoever computes it, and whoever dies."""

from __future__ import annotations

import hashlib
import os
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sedflow_lab as sl

pytest.importorskip("distributed")
pytest.importorskip("zarr")

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[1]
N, DRAWS = 8, 60


@pytest.fixture(scope="module")
def galaxies():
    """Galaxies of which some are made exact, and one has no posterior."""
    found = sl.showcase()[:N]
    redshift = found.redshift.copy()
    redshift[1:7] = 3.0
    return sl.Photometry(found.flux, found.sigma, redshift, found.bands, ids=found.ids)


def files_of(store: Path) -> dict[str, str]:
    """Hash of every file that is neither a lock nor half written."""
    return {
        str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def test_with_a_worker_killed_and_a_reader_the_store_is_that_of_one_process(galaxies, tmp_path):
    from dask.distributed import Client, LocalCluster

    one, many, seen = tmp_path / "one.zarr", tmp_path / "many.zarr", []
    how = {"posterior": "nsa-ugriz", "chunk": 1}
    sl.infer_catalogue(galaxies, one, DRAWS, "auto", 5, **how)
    cluster = LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs="ERROR"
    )
    with cluster, Client(cluster) as client, Client(cluster.scheduler_address) as other:
        processes = list(client.run(os.getpid).values())

        def look(progress) -> None:
            if not seen:
                os.kill(processes[0], signal.SIGKILL)
            # Another client reads what there is, on whichever worker.
            there = other.submit(lambda path: sl.open_catalogue(path).done, str(many), pure=False)
            assert there.result() >= progress.badges.total()
            seen.append(progress.phase)

        sl.infer_catalogue(galaxies, many, DRAWS, "auto", 5, scheduler=client, watch=look, **how)
    assert seen.count("network") == N and "exact" in seen
    assert files_of(many) == files_of(one)


def test_workers_of_this_machine_give_the_store_of_one_process(galaxies, tiny_bundle, tmp_path):
    how = {"posterior": tiny_bundle, "chunk": 4}
    for name, workers in (("one.zarr", None), ("two.zarr", 1)):
        out = tmp_path / name
        sl.infer_catalogue(galaxies, out, DRAWS, "fast", 5, workers=workers, **how)
    assert files_of(tmp_path / "two.zarr") == files_of(tmp_path / "one.zarr")


def test_simulations_and_calibration_runs_are_those_of_one_process(
    tiny_bundle, tmp_path, monkeypatch
):
    from dask.distributed import Client, LocalCluster

    from sedflow_lab.anpe import simulate as simulations

    monkeypatch.setattr(simulations, "_CHUNK", 8)
    posterior = sl.load_posterior(tiny_bundle)
    model, how = posterior.model, {"simulations": 70, "draws": 60, "seed": 3}
    here = simulations.simulate(tmp_path / "here", 60, model, seed=2)
    run = sl.run_calibration(posterior, "fast", **how)
    cluster = LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs="ERROR"
    )
    with cluster, Client(cluster) as client:
        assert client.submit(os.getpid).result() != os.getpid()
        there = simulations.simulate(tmp_path / "there", 60, model, seed=2, scheduler=client)
        (tmp_path / "there" / "simulations-00003.safetensors").write_bytes(b"damaged")
        with pytest.warns(UserWarning, match="made anew"):
            again = simulations.simulate(tmp_path / "there", 60, model, seed=2, scheduler=client)
        many = sl.run_calibration(
            posterior, "fast", **how, scheduler=client, path=tmp_path / "run.npz"
        )
    for name in ("phi", "redshift", "flux"):
        assert (getattr(there, name) == getattr(here, name)).all()
        assert (getattr(again, name) == getattr(here, name)).all()
    for each in (many, type(run).load(tmp_path / "run.npz")):
        for name in ("truth", "flux", "scores", "chi2_min"):
            np.testing.assert_array_equal(getattr(each, name), getattr(run, name))


def test_what_workers_cannot_have_is_refused(galaxies, tiny_bundle, tmp_path):
    import dask

    how = {"posterior": tiny_bundle}
    with pytest.raises(sl.InputError, match="give its name or folder"):
        loaded = sl.load_posterior(tiny_bundle)
        sl.infer_catalogue(galaxies, tmp_path / "a.zarr", posterior=loaded, workers=2)
    with pytest.raises(sl.InputError, match="workers must be positive"):
        sl.infer_catalogue(galaxies, tmp_path / "a.zarr", workers=0, **how)
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(sl.InputError, match=r"No Dask scheduler answers at tcp://127.0.0.1:9"),
    ):
        sl.infer_catalogue(galaxies, tmp_path / "a.zarr", scheduler="tcp://127.0.0.1:9", **how)


def test_the_recipe_for_slurm_asks_for_what_it_says():
    pytest.importorskip("dask_jobqueue")
    page = (ROOT / "docs" / "clusters.md").read_text()
    recipes = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (recipe,) = (text for text in recipes if "cluster.scale" in text)
    names: dict[str, Any] = {}
    exec(recipe[: recipe.index("cluster.scale")], names)
    try:
        script = names["cluster"].job_script()
    finally:
        names["cluster"].close()
    assert script.startswith("#!")
    for line in ("#SBATCH -p ", "#SBATCH -t ", "#SBATCH --mem="):
        assert line in script, script
    assert "--nthreads 1" in script and "distributed" in script
