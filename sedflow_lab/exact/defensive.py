r"""A defensive mixture: draws of a network and points that owe it nothing, weighted together.

Importance weights cannot see a mode that the network never draws. So scattered points (see
`scatter`) join its draws, and all N of them are weighted by the posterior over the density of the
mixture of both,

.. math:: w \propto \frac{p(x)}{n_q\, q(x) + n_d\, d(x)}, \qquad
          Z = \sum \frac{p(x)}{n_q\, q(x) + n_d\, d(x)},

which never exceeds what either would give alone. With them the distance between network and
posterior (total variation) is

.. math:: \mathrm{TV} = \sum w \max(0, 1 - Z q / p).

References
----------
Owen & Zhou 2000, J. Am. Stat. Assoc. 95, 135 (defensive mixtures); Veach & Guibas 1995,
SIGGRAPH 95, 419 (the balance heuristic).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch

from .ridge import StraightRidge, possible
from .scatter import log_density, scatter
from .weights import flatten, importance_weights

__all__ = ["Drawn", "Pool", "defend"]

_SHARE_LEFT_OUT = 1e-3  # of the posterior, by scattered points alone
_MOST_THAT_MATTER = 1024  # at which the network's density is found
_MOST_KEPT = 4096
_FLAT_ESS = 500.0


class Drawn(NamedTuple):
    """Draws of a network for G galaxies, and its normalised log density.

    Attributes
    ----------
    phi : tensor, shape (G, D, 11)
        Free coordinates inside the prior.
    log_q : tensor, shape (G, D)
    density : callable
        Log density at other points.
    """

    phi: torch.Tensor
    log_q: torch.Tensor
    density: Callable[[torch.Tensor], torch.Tensor]

    def first(self, n: int) -> Drawn:
        """The first n draws of each galaxy."""
        return Drawn(self.phi[:, :n], self.log_q[:, :n], self.density)


@dataclass(frozen=True)
class Pool:
    """Weighted points of the posteriors of G galaxies: draws of the network, then scattered ones.

    Attributes
    ----------
    points, phi : tensor, shape (G, N, 11)
        In the coordinates of `ridge`, and free coordinates.
    log_prob, log_scatter : tensor, shape (G, N)
        Log of prior times likelihood, and of the density of scattered points, both in the
        coordinates of `ridge`.
    weights : tensor, shape (G, N)
        Sum to one.
    log_evidence, distance : tensor, shape (G,)
        The distance is the total variation between network and posterior, from 0 to 1. Where no
        point is possible it is 1, and the evidence zero.
    log_ratio : tensor, shape (G, n_drawn)
        Log of prior times likelihood over the network's density at its draws.
    n_drawn, n_scattered : int
        Draws of the network, which come first, and scattered points, also those left out.
    """

    points: torch.Tensor
    phi: torch.Tensor
    log_prob: torch.Tensor
    log_scatter: torch.Tensor
    weights: torch.Tensor
    log_evidence: torch.Tensor
    distance: torch.Tensor
    log_ratio: torch.Tensor
    n_drawn: int
    n_scattered: int


def defend(target: StraightRidge, drawn: Drawn, scattered: int, generator: torch.Generator) -> Pool:
    """Weight draws of a network together with scattered points.

    The network's density is found for those scattered points that may matter, and taken for zero
    at others: were there no network, they would hold a thousandth of the posterior, and with it
    they hold less.

    Parameters
    ----------
    target : StraightRidge
    drawn : Drawn
    scattered : int
    generator : torch.Generator

    Returns
    -------
    Pool
    """
    near, log_prob, log_volume = target.find(drawn.phi)
    far = scatter(len(near), scattered, generator, near.shape[-1])
    far_phi, far_log_prob, far_log_volume = target.place(far)
    far_log_scatter = log_density(far)
    rows, scattered, matter = _largest(possible(far_log_prob) - far_log_scatter)
    far, far_phi = (
        t.gather(1, rows[..., None].expand(-1, -1, t.shape[-1])) for t in (far, far_phi)
    )
    points, phi = torch.cat([near, far], 1), torch.cat([drawn.phi, far_phi], 1)
    log_prob = torch.cat([log_prob, far_log_prob.gather(1, rows)], 1)
    log_volume = torch.cat([log_volume, far_log_volume.gather(1, rows)[:, :matter]], 1)
    log_scatter = torch.cat([log_density(near), far_log_scatter.gather(1, rows)], 1)
    log_q = torch.cat([drawn.log_q, drawn.density(far_phi[:, :matter])], 1) + log_volume
    unknown = log_q.new_full((len(rows), rows.shape[1] - matter), -torch.inf)
    log_q = torch.cat([log_q, unknown], 1)
    n_drawn = near.shape[1]
    log_mixture = torch.logaddexp(log_q + math.log(n_drawn), log_scatter + math.log(scattered))
    weights, log_mean = importance_weights(possible(log_prob) - log_mixture)
    log_evidence = log_mean + math.log(log_q.shape[1])
    beyond = 1 - torch.exp((log_evidence[:, None] + log_q - log_prob).clamp_max(0.0))
    none = torch.isinf(log_evidence)
    return Pool(
        points=points,
        phi=phi,
        log_prob=log_prob,
        log_scatter=log_scatter,
        weights=weights,
        log_evidence=log_evidence,
        distance=torch.where(none, 1.0, (weights * beyond).sum(1)),
        log_ratio=(possible(log_prob) - log_q)[:, :n_drawn],
        n_drawn=n_drawn,
        n_scattered=scattered,
    )


def _largest(log_weights: torch.Tensor) -> tuple[torch.Tensor, int, int]:
    """Rows (G, K) of the largest weights (G, N), N, and how many of the rows matter.

    Those hold nearly all of the weight; all K do so of weights that are flattened to where some
    hundreds count. Where too many matter the prior is close to the posterior, and the first half
    of the points does as well.
    """
    n = log_weights.shape[1]
    flat, rows = flatten(log_weights, min(_FLAT_ESS, 0.2 * n)).topk(min(_MOST_KEPT, n), dim=1)
    weights = importance_weights(log_weights)[0].gather(1, rows)
    kept, matter = (
        min(int((each.cumsum(1) < 1 - _SHARE_LEFT_OUT).sum(1).max()) + 1, rows.shape[1])
        for each in (flat, weights)
    )
    if matter > _MOST_THAT_MATTER and n > _MOST_THAT_MATTER:
        return _largest(log_weights[:, : n // 2])
    return rows[:, : max(kept, matter)], n, matter
