"""What fixed batches would need to keep up with the same traffic: the fleet a team has without an inference engine."""

import numpy as np

from costplan.capacity.fleet import fleet_cost, gpus_paid
from costplan.capacity.layout import Layout, layout_of
from costplan.capacity.trace import busiest
from costplan.errors import CostplanError
from costplan.profiles.engines import find_engine
from costplan.results.serving import NaiveFleet
from costplan.serving.arrivals import pick
from costplan.serving.slo import Slo
from costplan.serving.static import simulate_static, slots
from costplan.serving.summary import Figures, summarise
from costplan.serving.workload import Workload
from costplan.settings import CapacitySettings
from costplan.units import plural

REQUESTS = 3_000
MOST = 4_096


def naive_fleet(settings: CapacitySettings, layout: Layout, peak: Workload) -> NaiveFleet | None:
    """The least number of replicas whose queue does not grow, on the same GPUs; None where a batch of one has no room.

    It need not hold the SLO: an answer is sent when the longest of its batch is done, whatever the hardware.
    """
    engine = find_engine("naive")
    try:
        alike = layout_of(layout.model, layout.gpu, engine, tp=layout.gpus_per_replica, precision=layout.precision)
    except CostplanError:
        return None
    workload = busiest(peak, REQUESTS)
    longest = int((workload.input_tokens.astype(np.int64) + workload.output_tokens).max())
    room = alike.config.blocks * alike.config.block_size
    batch = slots(room, longest, alike.config.max_num_seqs)
    if batch < 1:
        return None

    def on(replicas: int) -> Figures:
        share = pick(workload, np.arange(workload.requests) % replicas == 0)
        outcome = simulate_static(alike.step, share, kv_tokens=room, max_length=longest, max_batch=batch)
        return summarise(outcome, share, Slo(), blocks=alike.config.blocks)

    low, high = 0, 1
    figures = on(1)
    while figures.saturated and high < MOST:
        low, high = high, 2 * high
        figures = on(high)
    while high - low > 1:
        middle = (low + high) // 2
        found = on(middle)
        low, high, figures = (middle, high, figures) if found.saturated else (low, middle, found)
    e2e, keeping = figures.e2e_s.p95, plural(high, "replica")
    return NaiveFleet(
        batch=batch, req_s_replica=figures.req_s, replicas=high, gpus=gpus_paid(settings, layout, high),
        usd_month=fleet_cost(settings, layout, [high]).value or 0.0,
        note=f"fixed batches of {batch} on the same GPUs keep up with {keeping}, e2e p95 {e2e or 0:.1f} s",
    )  # fmt: skip
