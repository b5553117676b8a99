"""`--profile FILE`: what it fills in where nothing was named, and whether it is of what was asked; fits nothing."""

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from costplan.errors import CostplanError
from costplan.profiles.gpus import Gpu
from costplan.profiles.measured import MeasuredProfile, load_profile
from costplan.profiles.models import Model
from costplan.results.serving import FleetOption
from costplan.serving.measured import beyond, covers
from costplan.serving.summary import Figures
from costplan.settings import BreakevenSettings, CapacitySettings, SimulateSettings
from costplan.units import plural

Single = TypeVar("Single", SimulateSettings, BreakevenSettings)
NEWEST = "vllm"


def single_profile(settings: Single) -> tuple[Single, MeasuredProfile | None]:
    """(settings with the profile's model, GPUs, precision and engine where none is named, the profile)."""
    if settings.profile is None:
        return settings, None
    profile = load_profile(settings.profile)
    filled = replace(
        settings, model=settings.model or profile.model, gpus=settings.gpus or f"{profile.tp}x{profile.gpu}",
        tp=settings.tp or profile.tp, precision=settings.precision or profile.precision,
        engine=_engine(settings.engine, profile),
    )  # fmt: skip
    if isinstance(filled, SimulateSettings) and filled.kv_dtype == "auto":
        filled = replace(filled, kv_dtype=profile.kv_dtype)
    return filled, profile


def search_profile(
    settings: CapacitySettings, origins: dict[str, str]
) -> tuple[CapacitySettings, MeasuredProfile | None, tuple[int, ...]]:
    """(settings filled in, the profile, tensor-parallel sizes to search; none = all)."""
    if settings.profile is None:
        return settings, None, ()
    profile = load_profile(settings.profile)
    sizes = (profile.tp,) if settings.gpus is None else ()
    filled = replace(
        settings, model=profile.model if origins.get("model", "default") == "default" else settings.model,
        gpus=settings.gpus or profile.gpu,
        precision=profile.precision if settings.gpus is None and settings.precision is None else settings.precision,
        kv_dtype=profile.kv_dtype if settings.kv_dtype == "auto" else settings.kv_dtype,
        engine=_engine(settings.engine, profile),
    )  # fmt: skip
    return filled, profile, sizes


def check_covered(
    profile: MeasuredProfile, path: Path, model: Model, gpus: list[Gpu], tps: tuple[int, ...] = (),
    precisions: tuple[str, ...] = (), kv_dtype: str = "",
) -> None:  # fmt: skip
    """Raise where nothing that was asked for is what was measured; () = any."""
    for gpu in gpus:
        for tp in tps or (profile.tp,):
            for precision in precisions or (profile.precision,):
                if covers(profile, model, gpu, tp, precision, kv_dtype or profile.kv_dtype):
                    return
    asked = f"{model.id} on {', '.join(gpu.name for gpu in gpus)}"
    asked += f", TP{', '.join(map(str, tps))}" if tps else ""
    asked += f", {', '.join(precisions)}" if precisions else ""
    kv = "" if profile.kv_dtype == "auto" else f", KV cache in {profile.kv_dtype}"
    raise CostplanError(
        f"{path} was measured with {profile.model} on {profile.gpu}, TP{profile.tp}, {profile.precision}{kv}; "
        f"asked is {asked}",
        hint="leave out --profile for an estimate, or measure that with: costplan replay --save-profile FILE",
    )


def told(
    profile: MeasuredProfile, options: list[FleetOption], best: Figures | None, longest: int
) -> list[str]:  # fmt: skip
    """Warnings of a search: which options are still estimates, and where the best one leaves what was measured."""
    estimated = sum(1 for option in options if option.step_time != "measured")
    found: list[str] = []
    if estimated:
        found.append(
            f"Estimated, not measured: {estimated} of {plural(len(options), 'option')}; the profile is of "
            f"TP{profile.tp} {profile.gpu} {profile.precision} alone."
        )
    if options and options[0].step_time == "measured" and best is not None:
        # Little's law: requests a second times the seconds of one
        found += beyond(profile, longest, best.req_s * (best.e2e_s.mean or 0.0) / options[0].replicas)
    return found


def _engine(asked: str, profile: MeasuredProfile) -> str:
    return profile.engine if asked == NEWEST else asked
