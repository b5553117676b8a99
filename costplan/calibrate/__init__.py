"""Measured runs -> the few step-time coefficients that they support, as a profile."""
