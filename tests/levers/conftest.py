"""Property tests here are never timed: a first call may import scipy or compile a loop."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
