"""`costplan generate`: a log of a product that does not exist, and the truth about it; it uses no lever.

The texts are English of a small grammar of our own (profiles/grammar.yaml), the same on every machine for one seed.
"""

from costplan.generate.run import Outputs, generate
from costplan.generate.tell import summary

__all__ = ["Outputs", "generate", "summary"]
