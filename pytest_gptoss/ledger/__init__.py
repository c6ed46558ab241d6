"""The ledger of runs: every run's verdicts and figures in one database, compared and watched over time."""
