"""`costplan breakeven`: an API's bill against the same traffic on own GPUs; how an engine behaves is not known here."""

from costplan.breakeven.run import breakeven

__all__ = ["breakeven"]
