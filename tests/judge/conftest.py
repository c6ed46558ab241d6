"""Hypothesis without its deadline: on a busy machine an example's time says nothing."""

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
