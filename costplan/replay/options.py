"""What of the command line contradicts itself or lacks something, found before anything is started."""

import math
import os
from pathlib import Path
from typing import Any

from costplan.calibrate.runs import read_document
from costplan.errors import UsageError
from costplan.profiles.measured import load_profile
from costplan.settings import ReplaySettings
from costplan.units import parse_count, parse_duration_s

_URL = "--url http://127.0.0.1:8000/v1 --model NAME, or --serve MODEL"
_NOT_RECORDED = ("rate", "concurrency", "sweep", "tasks")
_AGAINST = (
    ("rate", "concurrency", "arrivals have times, or the next request waits for an answer", ""),
    ("speed", "rate", "the trace's times, or made-up ones", ""),
    ("speed", "concurrency", "a closed loop has no times to speed up", ""),
    ("max_gap", "rate", "the trace's gaps, or made-up ones", ""),
    ("max_gap", "concurrency", "a closed loop has no gaps", ""),
    ("speed", "sweep", "a sweep makes its own arrivals", ""),
    ("max_gap", "sweep", "a sweep makes its own arrivals", ""),
    ("warm_up", "sweep", "each load of a sweep is measured in its own steady window", ""),
    ("save_profile", "sweep", "a profile is fitted to runs of one load", "--concurrency 16 --save-profile FILE"),
    ("tasks", "sweep", "tasks are asked once", ""),
    ("tasks", "rate", "tasks have no times", "--concurrency 8"),
    ("tasks", "speed", "tasks have no times", "--concurrency 8"),
    ("tasks", "max_gap", "tasks have no times", "--concurrency 8"),
    ("tasks", "window", "tasks have no times", "--samples 100"),
    ("tasks", "requests", "tasks are counted by stratum", "--samples 100"),
    ("tasks", "prompts", "tasks are asked in their own words", ""),
    ("tasks", "endpoint", "tasks are asked as chats", ""),
    ("tasks", "profile", "answers have no length that a simulation could know", ""),
    ("tasks", "save_profile", "a profile is fitted to answers of known length", ""),
    ("serve", "model", "vLLM is started with that one", ""),
    ("url", "quantization", "that server runs already", "use --serve MODEL"),
    ("url", "serve_args", "that server runs already", "use --serve MODEL"),
    ("serve", "api_key_env", "that vLLM asks for no key", ""),
    *(("sessions", load, "turns wait where the trace's times are played", "") for load in _NOT_RECORDED),
)
_NEEDS = (
    ("samples", ("tasks",)),
    ("earlier", ("save_profile",)),
    ("known_as", ("gpus", "profile", "save_profile")),
    ("seed", ("rate", "sweep")),
    ("precision", ("gpus", "profile", "save_profile")),
    ("tp", ("serve", "gpus", "profile", "save_profile")),
)
"""Each changes nothing without one of the others."""


def check(settings: ReplaySettings, origins: dict[str, str], traces: list[str]) -> None:
    """Raises UsageError with the two that contradict each other."""
    if (settings.url is None) == (settings.serve is None):
        said = "no server is given" if settings.url is None else "--url and --serve contradict each other"
        raise UsageError(said, hint=_URL)
    if bool(traces) == (settings.tasks is not None):
        said = "a trace and --tasks contradict each other" if traces else "no trace is given"
        raise UsageError(said, hint="costplan replay TRACE --url URL --model NAME, or --tasks builtin without a trace")
    given = {name for name, origin in origins.items() if origin == "flag"}
    for one, other, why, hint in _AGAINST:
        if {one, other} <= given:
            raise UsageError(f"{_flag(one)} and {_flag(other)}: {why}", hint=hint or f"leave out {_flag(other)}")
    for one, others in _NEEDS:
        if one in given and not any(getattr(settings, other) for other in others):
            names = " or ".join(map(_flag, others))
            raise UsageError(f"{_flag(one)} changes nothing without {names}", hint=f"add {names}")
    # what is read after the run is looked at before it
    for folder in settings.earlier:
        read_document(Path(folder))
    if settings.profile is not None:
        load_profile(settings.profile)
    if "api_key_env" in given and not os.environ.get(settings.api_key_env):
        # what was given may be the key itself: it is not repeated
        raise UsageError(
            "--api-key-env: the environment has no variable of that name",
            hint="export NAME=..., then --api-key-env NAME; the key itself belongs on no command line",
        )


def req_s(settings: ReplaySettings) -> float | None:
    """The number of `--rate`."""
    if settings.rate is None:
        return None
    try:
        found = float(settings.rate)
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise UsageError(f"--rate {settings.rate}: a replay takes one rate in requests a second", hint="--rate 5")
    return found


def warm_up(settings: ReplaySettings) -> tuple[int, float]:
    """(requests, seconds) left out at the start; one of them is 0."""
    text = settings.warm_up
    if text is None:
        return 0, 0.0
    try:
        return (0, parse_duration_s(text)) if text.strip()[-1:].isalpha() else (parse_count(text), 0.0)
    except ValueError:
        raise UsageError(
            f"--warm-up {text}: neither a number of requests nor a time", hint="--warm-up 20 or --warm-up 30s"
        ) from None


def _flag(name: str) -> str:
    return {"earlier": "--with", "known_as": "--as"}.get(name, "--" + name.replace("_", "-"))


def told(settings: ReplaySettings, origins: dict[str, str]) -> list[tuple[str, Any, str]]:
    """(name, value, origin) of everything that is not left as it was."""
    return [(name, getattr(settings, name), origin) for name, origin in sorted(origins.items()) if origin != "default"]
