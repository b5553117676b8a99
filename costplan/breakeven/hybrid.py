"""Base load on own replicas, overflow to the open model's API: how many replicas make that cheapest; no spare, as the
API takes over when one breaks."""

from dataclasses import dataclass, replace

import numpy as np

from costplan.breakeven.case import Outcome
from costplan.units import HOURS_PER_MONTH

_MOST = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixed:
    """The cheapest mixture that has at least one own replica."""

    replicas: int
    gpus: int
    share: float
    """Of the requests, served by own replicas."""
    usd_month: float


def cheapest_mixture(outcome: Outcome) -> Mixed:
    """Own replicas run all month and serve each hour up to what they hold; the rest is bought.

    An hour's demand relative to the busiest one's is w, so its peak needs w·x replicas and n serve min(1, n / (w x)).
    """
    shape, x = outcome.case.traffic.shape, float(outcome.x[0])
    rule = replace(outcome.case.rule, spare=0, given=0, hourly=False)
    own = np.arange(1, min(_MOST, max(1, int(np.ceil(x)))) + 1)
    weight = shape.demand * shape.hours / float(shape.demand @ shape.hours)
    demand = np.maximum(shape.demand * x, 1e-12)
    shares = (np.minimum(1.0, own[:, None] / demand) * weight).sum(axis=1)
    gpus = rule.whole(own)
    requests, cost = float(outcome.requests[0]), outcome.cost
    usd = cost.fixed[0] + cost.per_gpu_hour[0] * gpus * HOURS_PER_MONTH
    usd = usd + requests * (shares * cost.per_request[0] + (1 - shares) * cost.api_usd_request[0])
    best = int(np.argmin(usd))
    return Mixed(replicas=int(own[best]), gpus=int(gpus[best]), share=float(shares[best]), usd_month=float(usd[best]))
