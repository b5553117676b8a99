"""Folders of replays -> one measured profile; how it is written and used is not known here."""

from pathlib import Path

from costplan.calibrate.fit import Fit, fit, worst_of
from costplan.calibrate.runs import About, Deployment, Run, deployment_of, read_document, read_run
from costplan.errors import CostplanError
from costplan.profiles.measured import FIGURES, Measured, MeasuredProfile


def fit_profile(folders: list[Path], about: About | None = None) -> MeasuredProfile:
    """One profile from one or several runs against one server: best one light and one heavy closed loop.

    `about` overrides what the measurements say of the server.
    """
    if not folders:
        raise CostplanError("no run to fit", hint="name a folder that costplan replay --out wrote")
    deployment = deployment_of([read_document(folder) for folder in folders], about or About())
    runs = [read_run(folder, deployment.config.block_size) for folder in folders]
    return _profile(deployment, runs, fit(runs, deployment))


def _profile(deployment: Deployment, runs: list[Run], found: Fit) -> MeasuredProfile:
    config, first = deployment.config, runs[0].document
    worst = worst_of(found.residual)
    inputs = [run.workload.input_tokens for run in runs]
    return MeasuredProfile(
        model=deployment.model_name, gpu=deployment.gpu.name, tp=deployment.tp, precision=deployment.precision,
        kv_dtype=deployment.kv_dtype, engine=f"{deployment.engine.name}@{deployment.engine.requested}",
        block_size=config.block_size, kv_blocks=config.blocks if deployment.blocks_known else None,
        max_num_seqs=config.max_num_seqs, max_num_batched_tokens=config.max_num_batched_tokens,
        prefix_caching=config.prefix_caching, base_s=found.base_s, coefficients=found.coefficients,
        error={figure: max(worst[figure], found.noise[figure]) for figure in FIGURES}, noise=found.noise,
        measured=Measured(
            runs=len(runs), requests=sum(run.workload.requests for run in runs),
            concurrency_low=min(run.most_in_flight for run in runs),
            concurrency_high=max(run.most_in_flight for run in runs),
            input_tokens_low=min(int(each.min()) for each in inputs),
            input_tokens_high=max(int(each.max()) for each in inputs),
            output_tokens_high=max(int(run.workload.output_tokens.max()) for run in runs),
        ),
        environment=first.environment, notes=(*_rows(runs, found), *_notes(runs), *deployment.notes),
        source="fitted by costplan to its own replays, simulated with the same requests",
        checked=max(run.document.client.started_at for run in runs)[:10],
    )  # fmt: skip


def _rows(runs: list[Run], found: Fit) -> list[str]:
    """What the fit leaves in each run."""
    return [
        f"{run.name}, {run.workload.requests} requests, {run.most_in_flight} in flight: simulated / measured "
        + ", ".join(f"{figure} {row[figure]:+.1%}" for figure in FIGURES)
        for run, row in zip(runs, found.residual, strict=True)
    ]


def _notes(runs: list[Run]) -> list[str]:
    notes: list[str] = []
    flights = {run.most_in_flight for run in runs}
    if len(flights) == 1:
        notes.append(
            f"All runs had {min(flights)} in flight: how a step grows with the requests in it is not measured; "
            "add a run at another concurrency."
        )
    left_out = sum(run.left_out for run in runs)
    if left_out:
        notes.append(f"{left_out} requests that failed or were not sent are left out.")
    return notes
