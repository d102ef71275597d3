"""How fast the SED model makes photometry, and how exactly: prints Markdown tables.

    python benchmarks/forward_model.py                     speed
    python benchmarks/forward_model.py --accuracy 10000    also errors against the slow model

Every round times all contenders one after the other, and the tables show each one's best round:
whatever else runs on the machine can only make it slower.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from sedflow_lab import SEDModel, get_prior
from sedflow_lab.sps.histories import METALLICITY_RANGE, load_bases
from sedflow_lab.sps.populations import POPULATION_EDGES

# Milliseconds an evaluation; Hahn & Melchior 2022 (ApJ 938, 11) and Hahn et al. 2022
# (arXiv:2202.01809).
PUBLISHED = {"PROVABGS emulator": 2.9, "FSPS": 340.0}
PRODUCT = (780, 554)  # rows of the SSP grid, wavelengths under ugriz: the bare matrix product
_PAUSE = 0.1  # seconds, for the last contender's idle threads to leave the cores


class PlainModel:
    """The same model in plain NumPy: dense weights times the grid, at every wavelength."""

    def __init__(self, model: SEDModel) -> None:
        grid = model.ssp
        self.model, self.grid = model, grid
        n_wave = len(grid.wavelength_aa)
        self.table = np.concatenate(
            [grid.young_lsun_per_aa, grid.ssp_lsun_per_aa.reshape(-1, n_wave)]
        )
        times, sfh, zh = load_bases()
        self.fine = np.linspace(0.0, 13.8, 20_001)
        self.zh = np.array([_line(self.fine, times, column) for column in zh.T])
        rates = np.array([_line(self.fine, times, column) for column in sfh.T])
        steps = 0.5 * (rates[:, 1:] + rates[:, :-1]) * np.diff(self.fine)
        self.formed = np.concatenate([np.zeros((4, 1)), np.cumsum(steps, axis=1)], axis=1)

    def photometry(self, theta: np.ndarray, redshift: np.ndarray) -> np.ndarray:
        """Fluxes (N, 5), 500 galaxies at a time."""
        parts = range(0, len(theta), 500)
        return np.concatenate(
            [self._photometry(theta[i : i + 500], redshift[i : i + 500]) for i in parts]
        )

    def _photometry(self, theta: np.ndarray, redshift: np.ndarray) -> np.ndarray:
        sky, z = self.model.cosmology, torch.as_tensor(redshift)
        universe, distance = sky.age(z).double().numpy(), sky.log_distance(z).double().numpy()
        edges = np.minimum(POPULATION_EDGES, universe[:, None])
        at_edges = np.stack([np.interp(edges, self.fine, f) for f in self.formed], axis=-1)
        formed = (at_edges * theta[:, None, 1:5]).sum(-1)
        burst = np.where(theta[:, 6] <= universe, theta[:, 5], 0.0)[:, None]
        smooth = np.diff(formed, axis=1) / formed[:, -1:] * (1 - burst)
        mass = np.hstack([smooth, burst])
        age = np.hstack([0.5 * (edges[:, 1:] + edges[:, :-1]), theta[:, 6:7]])
        basis = np.stack([np.interp(age, self.fine, z) for z in self.zh], axis=-1)
        metallicity = (basis * 10 ** theta[:, None, 7:9]).sum(-1).clip(*METALLICITY_RANGE)

        i, f = _bracket(self.grid.age_gyr, age)
        j, g = _bracket(self.grid.metallicity, metallicity)
        n_met = len(self.grid.metallicity)
        f[:, 0], i[:, 0] = 0.0, -1  # the mean young spectrum comes first in the table
        old_limit = self.model.birth_cloud_age * (1 - 1e-9)
        young = np.hstack(
            [
                np.tile(POPULATION_EDGES[:-1] < old_limit, (len(theta), 1)),
                theta[:, 6:7] < self.model.birth_cloud_age,
            ]
        )
        weights = np.zeros((2, len(theta), len(self.table)))
        row = np.arange(len(theta))[:, None]
        for di, dj in ((0, 0), (0, 1), (1, 0), (1, 1)):
            weight = mass * (f if di else 1 - f) * (g if dj else 1 - g)
            column = (i + 1 + di) * n_met + j + dj
            np.add.at(weights, (young.astype(int), row, column), weight)
        old_light, young_light = weights.astype(np.float32) @ self.table

        wave = self.grid.wavelength_aa
        tau_bc, tau_ism, n = theta[:, 9:10], theta[:, 10:11], theta[:, 11:]
        x = 1e4 / wave
        curve = np.where(
            wave < 6300,
            2.659 * (-2.156 + x * (1.509 + x * (-0.198 + x * 0.011))),
            2.659 * (-1.857 + 1.040 * x),
        )
        bump = (350 * wave) ** 2 / ((wave**2 - 2175.0**2) ** 2 + (350 * wave) ** 2)
        depth = np.maximum(curve + 4.05, 0) + (0.85 - 1.9 * n) * bump
        diffuse = np.exp(-tau_ism * depth * (wave / 5500) ** n / 4.05)
        spectrum = diffuse * (old_light + np.exp(-tau_bc * 5500 / wave) * young_light)

        observed = wave * (1 + redshift[:, None])
        scale = 3.846e33 / (4 * np.pi * (3.0856775814913673e24 * np.exp(distance)) ** 2)
        scale *= 10 ** theta[:, 0] * (1 + redshift)
        fluxes = []
        for band in self.model.bands.bands:
            response = np.interp(observed, band.wavelength, band.response, left=0, right=0)
            fluxes.append(
                scale * np.trapezoid(spectrum * response * wave, wave, axis=1) / band.ab_flux
            )
        return np.stack(fluxes, axis=1)


def _line(t: np.ndarray, times: np.ndarray, values: np.ndarray) -> np.ndarray:
    i = np.clip(np.searchsorted(times, t, side="right") - 1, 0, len(times) - 2)
    f = (t - times[i]) / (times[i + 1] - times[i])
    return values[i] + f * (values[i + 1] - values[i])


def _bracket(nodes: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    position = np.interp(np.log(values), np.log(nodes), np.arange(len(nodes)))
    lower = np.minimum(position.astype(int), len(nodes) - 2)
    return lower, position - lower


def machine() -> str:
    """Processor, accelerator and versions, in one line."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    cpu = f"{names[0]}, {len(names)} cores" if names else platform.processor()
    gpu = f"; {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return (
        f"{cpu}{gpu}; Python {platform.python_version()}, NumPy {np.__version__}, "
        f"torch {torch.__version__}"
    )


def galaxies(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Parameters (n, 12) from the prior and redshifts (n,) up to 0.2."""
    return get_prior().sample(n, seed=seed), np.random.default_rng(seed).uniform(1e-3, 0.2, n)


def seconds(function: Callable[[], object], device: str) -> float:
    """Time of one call, repeated until 20 ms have passed."""
    calls, start = 0, time.perf_counter()
    while True:
        function()
        calls += 1
        if device == "cuda":
            torch.cuda.synchronize()
        elapsed = time.perf_counter() - start
        if elapsed > 0.02:
            return elapsed / calls


def rates(batch: int, rounds: int, threads: int, device: str) -> dict[str, np.ndarray]:
    """Evaluations a second (rounds,) of every contender, interleaved."""
    theta, redshift = galaxies(batch)
    model = SEDModel(device=device)
    plain = PlainModel(SEDModel())
    left, right = torch.rand(batch, PRODUCT[0]), torch.rand(PRODUCT)
    left, right = left.to(device), right.to(device)
    t = torch.tensor(theta, dtype=torch.float32, device=device)
    z = torch.tensor(redshift, dtype=torch.float32, device=device)
    contenders: dict[str, Callable[[], object]] = {
        "own redshifts": lambda: model.photometry(t, z),
        "one redshift": lambda: model.photometry(t, z[:1]),
        "bare product": lambda: left @ right,
    }
    if device == "cpu" and batch <= 10_000:
        contenders["plain NumPy"] = lambda: plain.photometry(theta, redshift)
    torch.set_num_threads(threads)
    times: dict[str, list[float]] = {name: [] for name in contenders}
    with torch.no_grad(), threadpool_limits(threads, user_api="blas"):
        for _ in range(rounds + 1):
            for name, function in contenders.items():
                time.sleep(_PAUSE)
                times[name].append(seconds(function, device))
    return {name: batch / np.array(values[1:]) for name, values in times.items()}  # warm


def print_speed(batches: list[int], rounds: int, threads: list[int]) -> None:
    """Print evaluations a second against the batch size, one table for each way to run."""
    ways = [("cpu", n) for n in threads] + [("cuda", 1)] * torch.cuda.is_available()
    for device, n in ways:
        where = f"{n} thread{'s' * (n > 1)}" if device == "cpu" else "on the GPU"
        print(f"\nPhotometric evaluations a second, {where} (best of {rounds} rounds):\n")
        print(
            "| batch | ms a call | each its redshift | all at one | plain NumPy | bare product "
            "| time over bare product |"
        )
        print("|---:|---:|---:|---:|---:|---:|---:|")
        for batch in batches:
            r = {name: values.max() for name, values in rates(batch, rounds, n, device).items()}
            cells = [
                f"{r[name]:,.0f}" if name in r else "–"
                for name in ("own redshifts", "one redshift", "plain NumPy", "bare product")
            ]
            own, bare = r["own redshifts"], r["bare product"]
            cells.insert(0, f"{1e3 * batch / own:,.3g}")
            print(f"| {batch:,} | {' | '.join(cells)} | {bare / own:.2f} |", flush=True)
    product = f"(batch × {PRODUCT[0]}) @ ({PRODUCT[0]} × {PRODUCT[1]})"
    print(
        f"\nThe bare product is {product} in single precision. Published, one at a time:",
        ", ".join(f"{name} {1e3 / ms:,.0f}/s ({ms:g} ms)" for name, ms in PUBLISHED.items())
        + " (Hahn & Melchior 2022).",
    )


def print_accuracy(n: int) -> None:
    """Print errors [mag] against the slow model of the tests."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    import reference_sed as slow
    from tqdm.auto import tqdm

    model = SEDModel()
    theta, redshift = galaxies(n, seed=1)
    redshift[: n // 10] *= 0.02  # the nearest too
    fast = model.photometry(theta, redshift)
    rows = tqdm(zip(theta, redshift, strict=True), total=n, desc="slow model", leave=False)
    wanted = [slow.photometry(model.ssp, model.bands, t, z, 0.1, refine=2) for t, z in rows]
    errors = np.abs(2.5 * np.log10(fast / np.array(wanted)))
    plain = PlainModel(model).photometry(theta[:2000], redshift[:2000])
    check = np.abs(2.5 * np.log10(plain / fast[:2000])).max(0)
    print(
        f"\nErrors [mag] of {n:,} draws from the prior, z = {redshift.min():.0e} to "
        f"{redshift.max():.2f}, against the slow model:\n"
    )
    print("| | " + " | ".join(model.bands.labels) + " |\n|---|" + "---:|" * len(model.bands))
    for name, values in (
        ("median", np.median(errors, axis=0)),
        ("99.9 %", np.percentile(errors, 99.9, axis=0)),
        ("largest", errors.max(0)),
        ("plain NumPy, largest of the first 2,000", check),
    ):
        print(f"| {name} | " + " | ".join(f"{v:.1e}" for v in values) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--batches", type=int, nargs="*", default=[1, 10, 100, 1000, 10_000, 100_000]
    )
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--accuracy",
        type=int,
        metavar="N",
        default=0,
        help="also compare N draws with the slow model (15 ms each)",
    )
    options = parser.parse_args()
    print(machine())
    if options.batches:
        print_speed(options.batches, options.rounds, options.threads)
    if options.accuracy:
        print_accuracy(options.accuracy)


if __name__ == "__main__":
    main()
