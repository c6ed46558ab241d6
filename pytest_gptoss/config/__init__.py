"""Options, settings, profiles and the plan of a run."""
