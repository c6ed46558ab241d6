"""The detection matrix: which defect turns which threshold red, on the suite's own command."""
