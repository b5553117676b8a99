"""What leaves beside the document: one row per would-be hit, a configuration for real caches; decides nothing."""

from typing import Any

import numpy as np

from costplan.cache.frontier import kinds
from costplan.cache.near import Near
from costplan.cache.read import Requests
from costplan.results.cache import Cache, FrontierRow
from costplan.similarity.replay import Served
from costplan.units import MICROS_PER_SECOND, NANOS_PER_USD

HIT_COLUMNS = ["request_id", "from_request_id", "similarity", "kind", "age_s", "usd"]
_KINDS = ("", "exact", "respelled", "semantic")


def hit_rows(requests: Requests, near: Near, served: Served) -> list[dict[str, Any]]:
    """One row per hit, in order of arrival; `age_s` counts from when the answer was made."""
    kind, columns = kinds(requests, served), requests.columns
    rows: list[dict[str, Any]] = []
    for request in np.flatnonzero(kind).tolist():
        source, edge = int(served.source[request]), int(served.edge[request])
        rows.append({
            "request_id": requests.ids[request], "from_request_id": requests.ids[source],
            "similarity": round(float(near.graph.cosine[edge]), 6) if edge >= 0 else 1.0,
            "kind": _KINDS[int(kind[request])],
            "age_s": int(columns["time_us"][request] - columns["time_us"][source]) / MICROS_PER_SECOND,
            "usd": int(columns["cost"][request]) / NANOS_PER_USD,
        })  # fmt: skip
    return rows


def configuration(document: Cache) -> bytes:
    """YAML for the setting that the document names. A threshold means nothing without the vectors it was found with."""
    import yaml

    row = document.recommended.row
    wanted = "semantic cache" if row.threshold is not None else "exact cache"
    advised = [site.call_site for site in document.by_call_site if site.advice != "never"]
    sites = [site.call_site for site in document.by_call_site if site.advice == wanted]
    if document.recommended.chosen_by == "user":
        sites = advised
    content: dict[str, Any] = {
        "cache": {
            "kind": "exact" if row.threshold is None else "semantic", "verdict": document.headline,
            "verified": row.verified, "wrong_share_upper": row.wrong_upper, "wrong_basis": document.wrong_basis,
            "vectors": document.embedder, "ttl_s": row.ttl_s, "ttl_counts_from": row.policy, "capacity": row.capacity,
            "scope": document.scope, "key": "model, system prompt, tools, history, sampling parameters",
            "call_sites": sites, "guard": "numbers, negation, antonyms, entities: see docs/cache.md",
        }
    }  # fmt: skip
    if row.threshold is not None:
        content["cache"] |= _thresholds(row)
        content["products"] = {
            "redisvl": {"SemanticCache": {"distance_threshold": _distance(row.threshold), "ttl": int(row.ttl_s)}},
            "langcache": {"similarity_threshold": row.threshold, "ttl_millis": int(1000 * row.ttl_s)},
            # SearchDistanceEvaluation over FAISS: squared L2 distances of unit vectors, on a scale from 0 to 4
            "gptcache": {"Config": {"similarity_threshold": round((1 + row.threshold) / 2, 4)}},
        }
    head = "# Written by costplan cache. The threshold holds for these vectors only: other embedders need their own.\n"
    return (head + yaml.safe_dump(content, sort_keys=False, allow_unicode=False)).encode()


def _distance(threshold: float) -> float:
    return round(1 - threshold, 4)


def _thresholds(row: FrontierRow) -> dict[str, float]:
    assert row.threshold is not None
    return {"threshold_cosine": row.threshold, "threshold_distance": _distance(row.threshold)}
