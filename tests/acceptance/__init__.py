"""The acceptance tests: one test per threshold of the profile, for each device under test."""
