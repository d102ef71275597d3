"""What the picker tells of one galaxy: photometry, badge, and a picture of the sky around it."""

from __future__ import annotations

from ...methods import BADGES
from ...observations.photometry import Photometry
from ..kit import html

__all__ = ["about", "picture"]

_SIZE = 190  # pixels
_FIELD = 1.6  # arcmin
_SERVER = "https://www.legacysurvey.org/viewer"
_LAYER = "ls-dr10"


def about(galaxy: Photometry, badge: str, place: tuple[float, float] | None) -> str:
    """A galaxy's name, badge, and photometry with errors, as HTML."""
    name = html.escape(str(galaxy.ids[0]))
    parts = [f"<b>Galaxy {name}</b>", f"z {html.number(float(galaxy.redshift[0]), '.4f')}"]
    if place is not None:
        parts.append(f"RA {place[0]:.4f}°, Dec {html.number(place[1], '+.4f')}°")
    if badge in BADGES:
        parts.append(html.cell(html.badge(badge), BADGES[badge].meaning))
    problem = str(galaxy.problems[0])
    wrong = html.remark(problem[:1].upper() + problem[1:] + ".") if problem else ""
    heads = ("Band", "AB mag", "±", "Flux <i>nmgy</i>", "±", "S/N")
    rows: list[tuple[str, ...]] = []
    for k, label in enumerate(galaxy.bands.labels):
        flux, sigma = float(galaxy.flux[0, k]), float(galaxy.sigma[0, k])
        if not galaxy.mask[0, k]:
            rows.append((label, "–", "–", "–", "–", "–"))
            continue
        magnitude, snr = float(galaxy.magnitude[0, k]), float(galaxy.snr[0, k])
        error = 1.0857 / snr if snr > 0 else float("nan")
        numbers = (magnitude, ".3f"), (error, ".3f"), (flux, ".5g"), (sigma, ".3g"), (snr, ".1f")
        rows.append((label, *(_shown(value, digits) for value, digits in numbers)))
    head = "".join(f"<th scope='col'>{text}</th>" for text in heads)
    return html.strip(parts) + wrong + html.table([head], rows)


def picture(name: str, place: tuple[float, float] | None, asked: bool) -> str:
    """The sky around a galaxy, which the browser loads, and links to viewers.

    The picture lies over a text that says that there is none: without internet this is what is
    seen, and nothing is broken.
    """
    if place is None:
        return _frame("", "no position, no picture", f"No picture of galaxy {name}")
    ra, dec = place
    where = f"ra={ra:.6f}&amp;dec={dec:.6f}"
    scale = _FIELD * 60 / _SIZE
    source = f"{_SERVER}/cutout.jpg?{where}&amp;layer={_LAYER}&amp;pixscale={scale:.3f}"
    image = (
        # Of no size of its own and no alternative text: where it cannot be loaded nothing is drawn.
        f"<img src='{source}&amp;size={_SIZE}' alt='' referrerpolicy='no-referrer'>"
        if asked
        else ""
    )
    said = f"{_FIELD:g}′ of the sky: no picture without internet" if asked else "not asked for"
    links = (
        (f"{_SERVER}?{where}&amp;layer={_LAYER}&amp;zoom=15", "Legacy Surveys"),
        (
            f"https://skyserver.sdss.org/dr18/VisualTools/navi?ra={ra:.6f}&amp;dec={dec:.6f}",
            "SDSS",
        ),
    )
    shown = " · ".join(
        f"<a href='{link}' target='_blank' rel='noopener noreferrer'>{text}</a>"
        for link, text in links
    )
    label = f"The sky around galaxy {name}, {_FIELD:g} arcmin wide"
    return _frame(image, said, label) + f"<div class='sedflow-small'>Look there: {shown}</div>"


def _frame(image: str, text: str, label: str) -> str:
    return (
        f"<div class='sedflow-sky' role='img' aria-label='{html.escape(label)}' "
        f"style='width:{_SIZE}px;height:{_SIZE}px'><span>{text}</span>{image}</div>"
    )


def _shown(value: float, digits: str) -> str:
    return "–" if value != value else html.number(value, digits)
