"""A product told in one YAML file: who calls what how often, and which facts a log of it would hold; reads no log."""

from costplan.scenario.read import find_scenario, is_scenario, read_scenario, with_requests
from costplan.scenario.spec import CallSpec, Range, Scenario

__all__ = ["CallSpec", "Range", "Scenario", "find_scenario", "is_scenario", "read_scenario", "with_requests"]
