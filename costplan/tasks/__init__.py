"""Tasks with a checkable answer, by stratum and level, and what grades an answer."""
