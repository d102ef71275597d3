"""Measured galaxies: broad-band fluxes, uncertainties and redshifts, checked and in one unit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import InputError
from ..units import Measured, flux_from, magnitude, split_unit
from . import checks
from .limits import LIMIT_SIGMAS

if TYPE_CHECKING:
    from astropy.table import Table

    from ..sps.bands import BandSet

__all__ = ["OnBad", "Photometry"]

OnBad = Literal["raise", "flag", "mask"]


class Photometry:
    """Broad-band photometry of N galaxies in B bands.

    The arrays are read-only; methods that change something return a copy.

    Parameters
    ----------
    flux : array_like or Quantity, shape (N, B) or (B,)
        Plain numbers are nanomaggies (AB, zero point 22.5 mag or 3631 Jy). Quantities may be in
        any flux density per frequency (``nmgy``, Jy, mJy, erg/s/cm2/Hz) or AB magnitudes
        (``astropy.units.ABmag``). Masked entries count as NaN.
    sigma : array_like or Quantity, shape (N, B) or (B,)
        One standard deviation, in any of these units or in ``mag``; plain numbers have the unit
        of `flux`. Magnitude errors become 0.4 ln(10) f sigma_m.
    redshift : array_like, shape (N,) or scalar
        Redshifts that give the distance, above 0.
    redshift_sigma : array_like, shape (N,) or scalar, optional
        Standard deviations of the redshifts, 0 (the default) where they are known. Elsewhere the
        redshift is a parameter, see `exact.redshift`.
    bands : str, BandSet or sequence of str
        As for `sedflow_lab.sps.bands.get_bands`.
    ids : sequence, shape (N,), optional
        Names of the galaxies; default ``'0', '1', ...``.
    mask : array_like of bool, shape (N, B) or (B,), optional
        True where a band was observed; default all. What lies under the mask is never used and
        is kept as NaN.
    rows : array_like of int, shape (N,), optional
        Numbers of the galaxies in their catalogue; default 0, 1, ... A selection keeps them.
    on_bad : {'raise', 'flag', 'mask'}
        What to do with a value that cannot be used: a flux that is not finite, an uncertainty
        that is not finite and above 0, a redshift that is not finite and above 0, its uncertainty
        that is not finite or below 0, or one beyond the limits in
        `sedflow_lab.observations.checks`, where nothing is measured. ``'raise'`` raises
        InputError; ``'flag'`` keeps the galaxy and gives the reason in `problems`; ``'mask'``
        masks the bad bands where two good ones are left, and flags the galaxy otherwise.

    Attributes
    ----------
    flux, sigma : ndarray, shape (N, B)
        Nanomaggies, float64.
    redshift, redshift_sigma : ndarray, shape (N,)
    bands : BandSet
    ids : ndarray of str, shape (N,)
    rows : ndarray of int, shape (N,)
    mask : ndarray of bool, shape (N, B)
        True where a band is observed.
    problems : ndarray of str, shape (N,)
        Why a galaxy cannot be used; '' where it can.
    ebv : ndarray, shape (N,)
        E(B-V) of the Milky Way's dust for which the fluxes have been corrected here; 0 where they
        are as given. Fluxes must be corrected: see `observations.extinction`.
    error_floor : ndarray, shape (B,)
        What `with_error_floor` has added to the uncertainties, as a fraction of the flux.

    Raises
    ------
    InputError
        If shapes do not fit, a unit is unknown, or a value is bad and `on_bad` is ``'raise'``.

    Examples
    --------
    >>> flux = [30.3, 75.7, 104.2, 130.2, 145.5]
    >>> Photometry(flux, [1.5, 1.4, 1.9, 2.4, 4.1], 0.03, ids=["a"])
    <Photometry of galaxy 'a' at z = 0.03: u 18.80, g 17.80, r 17.46, i 17.21, z 17.09 mag>
    """

    flux: np.ndarray
    sigma: np.ndarray
    redshift: np.ndarray
    redshift_sigma: np.ndarray
    bands: BandSet
    ids: np.ndarray
    rows: np.ndarray
    mask: np.ndarray
    problems: np.ndarray
    ebv: np.ndarray
    error_floor: np.ndarray

    def __init__(
        self,
        flux: Any,
        sigma: Any,
        redshift: Any,
        bands: str | BandSet | Sequence[str] = "sdss-ugriz",
        ids: Sequence[Any] | np.ndarray | None = None,
        mask: Any = None,
        on_bad: OnBad = "raise",
        rows: Any = None,
        redshift_sigma: Any = None,
    ):
        from ..sps.bands import get_bands

        if on_bad not in ("raise", "flag", "mask"):
            raise InputError(f"on_bad is {on_bad!r}: use 'raise', 'flag' or 'mask'.")
        self.bands = get_bands(bands)
        if not isinstance(flux, Measured):
            flux = flux_from(*split_unit(flux, "flux"), "flux")
        flux = checks.as_flux(flux, self.bands)
        sigma = checks.as_sigma(sigma, flux, self.bands)
        n = len(flux.values)
        z, error = checks.as_redshift(redshift, n), checks.as_redshift_sigma(redshift_sigma, n)
        self.redshift, self.redshift_sigma = z, error
        self.ids, self.rows = checks.as_ids(ids, n), checks.as_rows(rows, n)
        self.mask, self.problems = checks.find_problems(
            flux,
            sigma,
            self.redshift,
            self.redshift_sigma,
            self.bands,
            self.ids,
            self.rows,
            checks.as_mask(mask, flux.values.shape),
            on_bad,
            checks.redshift_words((redshift, z), (redshift_sigma, error)),
        )
        self.flux = np.where(self.mask, flux.values, np.nan)
        self.sigma = np.where(self.mask, sigma.values, np.nan)
        self.ebv = np.zeros(n)
        self.error_floor = np.zeros(len(self.bands))
        self._freeze()

    def _freeze(self) -> None:
        for array in (*self._arrays().values(), self.error_floor):
            array.setflags(write=False)

    @classmethod
    def checked(cls, bands: BandSet, error_floor: np.ndarray, **arrays: np.ndarray) -> Photometry:
        """Make one of all its arrays by name, which have been checked before."""
        new = object.__new__(cls)
        new.bands, new.error_floor = bands, error_floor
        for name, array in arrays.items():
            setattr(new, name, array)
        new._freeze()
        return new

    def _of(self, error_floor: np.ndarray | None = None, **arrays: np.ndarray) -> Photometry:
        """Make one in the same bands, of arrays that have been checked before."""
        floor = self.error_floor if error_floor is None else error_floor
        return self.checked(self.bands, floor, **self._arrays() | arrays)

    def _arrays(self) -> dict[str, np.ndarray]:
        names = "flux sigma redshift redshift_sigma ids rows mask problems ebv".split()
        return {name: getattr(self, name) for name in names}

    def _changed(
        self, reasons: Mapping[int, str] | None = None, **arrays: np.ndarray
    ) -> Photometry:
        """Copy with other arrays, checked anew; `reasons` replace what is found of galaxies."""
        new = self._arrays() | arrays
        ebv = new.pop("ebv")
        del new["problems"]
        made = Photometry(**new, bands=self.bands, on_bad="flag")
        problems = made.problems.astype(object)
        for row, reason in (reasons or {}).items():
            problems[row] = reason
        return self._of(**made._arrays() | {"ebv": ebv, "problems": problems.astype(str)})

    def __len__(self) -> int:
        return len(self.redshift)

    def __getitem__(self, index: Any) -> Photometry:
        """Select galaxies by number, slice, boolean mask or list of numbers."""
        index = checks.as_index(index, len(self))
        return self._of(**{k: v[index].copy() for k, v in self._arrays().items()})

    def __iter__(self) -> Iterator[Photometry]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        if len(self) == 1:
            mags = [
                f"{label} {mag:.2f}" if mag == mag else f"{label} -"
                for label, mag in zip(self.bands.labels, self.magnitude[0], strict=True)
            ]
            name, problem = str(self.ids[0]), "" if self.usable[0] else ", not usable"
            galaxy = f"galaxy {name!r} at z = {self.redshift[0]:.4g}"
            if self.redshift_sigma[0]:
                galaxy += f" ± {self.redshift_sigma[0]:.2g}"
            return f"<Photometry of {galaxy}: {', '.join(mags)} mag{problem}>"
        parts = [f"{len(self)} galaxies in {self.bands.name} ({', '.join(self.bands.labels)})"]
        if np.isfinite(self.redshift).any():
            low, high = np.nanmin(self.redshift), np.nanmax(self.redshift)
            parts.append(f"z = {low:.4g} to {high:.4g}")
        if masked := (~self.mask).any(axis=1).sum():
            parts.append(f"{masked} with masked bands")
        if flagged := (~self.usable).sum():
            parts.append(f"{flagged} not usable")
        return f"<Photometry of {', '.join(parts)}>"

    @property
    def usable(self) -> np.ndarray:
        """Whether a galaxy has no problem, (N,) bool."""
        return self.problems == ""

    @property
    def magnitude(self) -> np.ndarray:
        """AB magnitudes, (N, B); NaN where the flux is not above 0 or the band is masked."""
        return magnitude(self.flux)

    @property
    def snr(self) -> np.ndarray:
        """Signal-to-noise ratios, (N, B); NaN where a band is masked or sigma is 0."""
        return self.flux / np.where(self.sigma == 0, np.nan, self.sigma)

    @property
    def warning(self) -> str:
        """What is wrong with most galaxies, after a mistake of units; '' where nothing is."""
        return checks.what_looks_wrong(self.flux, self.sigma, self.redshift, self.problems)

    def drop_bands(self, *names: str) -> Photometry:
        """Copy with these bands masked for every galaxy, ``phot.drop_bands("u", "z")``.

        They are named by labels or as filters (``sdss2010-u``). Problems are looked for anew: a
        galaxy whose only bad band is dropped becomes usable, and one that keeps fewer than two
        observed bands is flagged. InputError is raised if no galaxy could keep two.
        """
        keep = np.ones(len(self.bands), dtype=bool)
        keep[[checks.band_index(self.bands, name) for name in names]] = False
        if keep.sum() < checks.MIN_BANDS:
            raise InputError(
                f"Without {', '.join(names)} only {keep.sum()} of the bands "
                f"{', '.join(self.bands.labels)} would be left: keep at least {checks.MIN_BANDS}."
            )
        return self._changed(mask=self.mask & keep)

    def select_bands(self, *names: str) -> Photometry:
        """Copy with all other bands masked; the counterpart of `drop_bands`."""
        keep = {checks.band_index(self.bands, name) for name in names}
        return self.drop_bands(*(n for i, n in enumerate(self.bands.names) if i not in keep))

    def with_error_floor(self, floor: float | Mapping[str, float]) -> Photometry:
        r"""Copy with uncertainties that are never below a fraction of the flux.

        .. math:: \sigma_X' = \sqrt{\sigma_X^2 + (\mathrm{floor}_X \hat f_X)^2}

        It allows for what formal errors leave out: zero points, apertures, an imperfect model.

        Parameters
        ----------
        floor : float or mapping of str to float
            Fraction of the flux, at least 0 and below 1, in all bands or by their labels or names,
            ``{"u": 0.1}``. A second floor adds to the first in quadrature.

        Raises
        ------
        InputError
            If a band is unknown, or a floor is not such a fraction.
        """
        new = checks.as_error_floor(floor, self.bands)
        sigma = np.hypot(self.sigma, new * self.flux)
        return self._of(np.hypot(self.error_floor, new), sigma=sigma)

    def with_redshift_sigma(self, sigma: Any) -> Photometry:
        """Copy with other uncertainties of the redshifts, one for all or (N,); 0 is known."""
        return self._of(redshift_sigma=checks.as_redshift_sigma(sigma, len(self), strict=True))

    def settings(self) -> dict[str, Any]:
        """Error floors by band, for the provenance of results; empty where there are none."""
        floors = zip(self.bands.labels, self.error_floor.tolist(), strict=True)
        used = {label: value for label, value in floors if value}
        return {"error_floor": used} if used else {}

    @classmethod
    def concatenate(cls, parts: Sequence[Photometry]) -> Photometry:
        """Join galaxies measured in the same bands, in order.

        Raises
        ------
        InputError
            If there is nothing to join, or the bands or error floors differ.
        """
        if len({(part.bands, *part.error_floor.tolist()) for part in parts}) != 1:
            raise InputError("Give one or more Photometry in the same bands with one error floor.")
        arrays = [part._arrays() for part in parts]
        joined = {name: np.concatenate([a[name] for a in arrays]) for name in arrays[0]}
        return parts[0]._of(**joined)

    @classmethod
    def from_table(
        cls,
        table: Any,
        bands: str | BandSet | Sequence[str] = "sdss-ugriz",
        columns: Mapping[str, str | None] | None = None,
        on_bad: OnBad = "raise",
        extinction: str | None = None,
        rows: Any = None,
        units: Mapping[str, str] | None = None,
        limit_sigmas: float = LIMIT_SIGMAS,
    ) -> Photometry:
        """Take the photometry from a table, finding its columns by name in any case.

        For a band u: fluxes are ``flux_u`` (or ``nmgy_u``, ``nanomaggies_u``) with ``sigma_u``,
        ``flux_err_u``, ``fluxerr_u``, ``ivar_u`` or ``nmgy_ivar_u``; magnitudes ``mag_u`` with
        ``mag_err_u``, ``magerr_u``, ``sigma_mag_u`` or ``ivar_u``; the SDSS's asinh magnitudes
        ``asinhmag_u`` with ``asinhmag_err_u``; ``u_flux`` and the like work too, and so do the
        Atlas's vector columns ``NMGY`` and ``NMGY_IVAR``. A bare ``u`` with ``u_err`` or
        ``err_u`` counts where the column has a unit. Units of columns are honoured; without one,
        fluxes are nanomaggies, magnitudes AB, and errors and inverse variances in the unit of
        what they belong to. Ids are ``id``, ``name``, ``nsaid``, ``iauname`` or ``objid``, else
        row numbers.

        Fluxes must be corrected for Galactic extinction; ``extinction="F99"`` does it with the
        column ``ebv``, E(B-V) of the SFD maps (see `observations.extinction`).

        The redshift is ``redshift``, ``zdist``, ``z_redshift``, ``zspec``, ``z_spec``, ``specz``,
        ``zphot`` or ``z_phot``, in this order, so that the Atlas's flow-model ``ZDIST`` comes
        before its heliocentric ``Z``. A bare ``z`` is the redshift only where nothing suggests
        that it is the z band: it has a unit, or bare ``u``, ``g``, ... stand beside it. Its
        uncertainty is ``redshift_sigma``, ``z_err``, or ``zphot_err``, ``e_zphot`` and the like.

        Upper limits are ``limit_u``, ``flux_limit_u``, ``upper_limit_u`` or ``mag_limit_u``. Where
        a band has no flux with an uncertainty, the flux is 0 with that of the limit (see
        `observations.limits`), and a `UserWarning` says so.

        Parameters
        ----------
        table : Table, Row, DataFrame, dict or structured array
        bands : str, BandSet or sequence of str
        columns : dict, optional
            Columns that have other names, by role: ``flux_u``, ``sigma_u``, ``ivar_u``,
            ``mag_u``, ``mag_err_u``, ``asinhmag_u``, ``asinhmag_err_u``, ``limit_u``, ...,
            ``redshift``, ``redshift_sigma``, ``id``, ``ebv``. ``{"flux_u": None}`` says that the
            band was not observed, ``{"redshift_sigma": None}`` that redshifts are known.
        on_bad : {'raise', 'flag', 'mask'}
            As for `Photometry`; masked table entries count as NaN.
        extinction : {'F99', 'CCM89', 'O94', 'G23'}, optional
            Law by which to correct for Galactic extinction; default, take the fluxes as they are.
        rows : array_like of int, optional
            Numbers of the rows in their catalogue, of which this table is a part; default 0, 1, ...
        units : dict, optional
            Units of columns, by their names, in place of those that the table has.
        limit_sigmas : float
            Standard deviations that upper limits are of.

        Raises
        ------
        InputError
            If a column is missing or a value is bad, or if the table's metadata (``bands``) name
            another filter for a band.
        """
        from ..sps.bands import check_same_filters, get_bands
        from .extinction import correct_extinction
        from .files import as_table
        from .tables import measurements

        bands, table = get_bands(bands), as_table(table)
        if isinstance(said := table.meta.get("bands"), str):
            check_same_filters(bands, said)
        rows = checks.as_rows(rows, len(table))
        found = measurements(table, bands, columns, rows, units, limit_sigmas)
        measured = found.flux, found.sigma, found.redshift
        new = cls(*measured, bands, found.ids, found.mask, on_bad, rows, found.redshift_sigma)
        if isinstance(said := table.meta.get("error_floor"), dict):
            known = {label: said[label] for label in bands.labels if label in said}
            new = new._of(checks.as_error_floor(known, bands))
        if found.corrected is not None:
            new = new._changed(ebv=found.corrected)
        if extinction is None:
            return new
        if found.ebv is None:
            raise InputError(
                f"The table has no column ebv for the extinction law {extinction}: pass "
                "columns={'ebv': 'its name'}, or leave extinction out if fluxes are corrected."
            )
        return correct_extinction(new, found.ebv, extinction, on_bad)

    def to_table(self) -> Table:
        """Table with ``id``, ``redshift``, and ``flux_u``, ``sigma_u`` [nmgy] for every band.

        Where a redshift is uncertain there is ``redshift_sigma``, where a band is masked there are
        ``observed_u`` columns too, ``problems`` where a galaxy has one, and ``ebv_corrected`` after
        a correction for extinction. `from_table` reads it back unchanged.
        """
        from .tables import table_of

        return table_of(self)
