"""Tells: one report document and what renders it."""
