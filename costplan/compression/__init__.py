"""Shorter prompts: text in, text out, and how many tokens that saves; it knows neither logs nor money.

Four rungs, each on top of the one before: `exact` (same bytes of meaning, JSON stays JSON), `table` (uniform JSON
arrays as header-once tables), `structural` (what a conversation sends again and again), `lossy` (words and sentences).
"""
