"""A plan from aggregated exports, whose rows stand for many calls: spend, mix and trend; no lever can be computed."""

from costplan.daily.plan import Daily, plan_of

__all__ = ["Daily", "plan_of"]
