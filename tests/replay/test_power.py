"""Energy from counters and from samples of power, by hand; NVML itself only where there is none and with a stand-in."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from costplan.replay.power import Reading, energy_j, open_meter, read_power


class NVMLError(Exception):
    pass


def nvml(gpus: int, **functions: Any) -> Any:
    """Of GPUs that each draw 100 W more than the last."""
    return SimpleNamespace(
        NVMLError=NVMLError, nvmlInit=lambda: None, nvmlDeviceGetCount=lambda: gpus,
        nvmlDeviceGetHandleByIndex=lambda index: index, nvmlDeviceGetName=lambda handle: f"GPU {handle}",
        nvmlDeviceGetPowerUsage=lambda handle: 100_000 * (handle + 1),
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: 5_000_000, **functions,
    )  # fmt: skip


def reading(at_s: float, power_w: float | None = None, counter_j: float | None = None) -> Reading:
    return Reading(at_s=at_s, power_w=power_w, counter_j=counter_j)


def refuse(*_given: Any) -> Any:
    raise NVMLError


def test_the_counter_of_the_driver_goes_before_samples():
    assert energy_j([reading(0, 100, 1000), reading(1, 300, 1150), reading(2, 100, 1420)]) == 420


def test_power_over_time_is_the_sum_of_trapezoids():
    """(100 + 300) / 2 * 1 + (300 + 200) / 2 * 2 = 200 + 500."""
    assert energy_j([reading(0, 100), reading(1, 300), reading(3, 200)]) == 700


def test_a_sample_that_failed_is_bridged():
    assert energy_j([reading(0, 100), reading(1), reading(2, 100)]) == 200


@pytest.mark.parametrize("readings", [[], [reading(0, 100)], [reading(0), reading(1)], [reading(0, None, 5)]])
def test_fewer_than_two_samples_are_no_energy(readings: list[Reading]):
    assert energy_j(readings) is None


def test_readings_add_up_the_gpus_in_watts_and_joules(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pynvml", nvml(3))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    meter = open_meter()
    assert meter and meter.names == ("GPU 0", "GPU 1", "GPU 2")
    assert read_power(meter, 1.5) == reading(1.5, 600, 15_000)


def test_only_the_gpus_of_the_server_are_counted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pynvml", nvml(4))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,1,9,0")
    meter = open_meter()
    assert meter and meter.names == ("GPU 2", "GPU 1")  # CUDA stops at the first that is not there
    first = open_meter(1)
    assert first and first.names == ("GPU 2",)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert open_meter() is None


def test_a_gpu_that_does_not_count_energy_still_has_its_power(monkeypatch: pytest.MonkeyPatch):
    found = nvml(1)
    found.nvmlDeviceGetTotalEnergyConsumption = refuse
    monkeypatch.setitem(sys.modules, "pynvml", found)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    meter = open_meter()
    assert meter and read_power(meter, 0) == reading(0, 100)


def test_without_a_driver_there_is_no_meter(monkeypatch: pytest.MonkeyPatch):
    found = nvml(0)
    found.nvmlInit = refuse
    monkeypatch.setitem(sys.modules, "pynvml", found)
    assert open_meter() is None


def test_the_real_library_agrees_that_a_machine_without_a_driver_has_none():
    pynvml = pytest.importorskip("pynvml")
    try:
        pynvml.nvmlInit()
        gpus = pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError:
        gpus = 0
    assert (open_meter() is not None) == (gpus > 0)
