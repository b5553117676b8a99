"""costplan reads LLM request logs and says what they cost and what would make them cheaper."""

__version__ = "0.1.0"
