"""Replays of a real server -> a measured profile of it; sends nothing and knows no price."""

from costplan.calibrate.profile import fit_profile
from costplan.calibrate.runs import About

__all__ = ["About", "fit_profile"]
