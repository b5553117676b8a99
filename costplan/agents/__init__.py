"""Agents and sessions step by step: what steps add, what is asked again, what trimming would really save.

Knows numbers and keys of steps only, never their text, and nothing of the levers that act on single requests.
"""
