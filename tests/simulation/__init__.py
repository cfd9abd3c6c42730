"""Error rates of verdicts on generated studies whose truth is known: `python -m tests.simulation`."""
