"""Service levels as users write them, and whether figures keep them."""

import pytest
from costplan.errors import UsageError
from costplan.serving.slo import judge, parse_slo


def test_the_example_of_the_design_is_read() -> None:
    slo = parse_slo("ttft.p95<1s, tpot.p95 < 50ms,e2e.p99<=10s,goodput>0.99")
    assert [(t.metric, t.statistic, t.limit) for t in slo.targets] == [
        ("ttft", "p95", 1.0), ("tpot", "p95", 0.05), ("e2e", "p99", 10.0), ("goodput", "", 0.99)
    ]  # fmt: skip
    assert str(slo) == "ttft.p95<1s,tpot.p95<50ms,e2e.p99<=10s,goodput>0.99"


def test_goodput_counts_requests_inside_the_tightest_limits() -> None:
    slo = parse_slo("ttft.p95<1s,ttft.p99<2s,tpot.mean<50ms,queue.p95<1s,goodput>99%")
    assert slo.limits_s() == {"ttft": 1.0, "tpot": 0.05}
    assert slo.targets[-1].limit == 0.99


@pytest.mark.parametrize(
    "text",
    [
        "", "ttft<1s", "ttft.p95>1s", "ttft.p97<1s", "speed.p95<1s", "ttft.p95<1x", "ttft.p95<0s", "goodput>0.9",
        "ttft.p95<1s,goodput<0.9", "ttft.p95<1s,goodput>1.5", "ttft.p95<1s,goodput>0", "ttft.p95<1s,ttft.p95<2s",
        "ttft.p95", "ttft.p95<1s,goodput>x",
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_slo(text)
    assert "slo" in caught.value.message and caught.value.hint and caught.value.exit_code == 2


def test_an_unknown_figure_is_not_met() -> None:
    slo = parse_slo("ttft.p95<1s,goodput>0.9,e2e.p99<10s")
    values = {"ttft": 1.0, "goodput": 0.89, "e2e": None}
    met = [target.met(value) for target, value in judge(slo, lambda metric, _: values[metric])]
    assert met == [True, False, False]
