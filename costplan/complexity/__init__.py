"""How demanding a prompt looks, from transparent rules over its words; it describes the prompt, it predicts no quality.

No rule was fitted to outcomes: whether a cheaper model does as well is a question for labels (`costplan.routing`).
"""
