"""Measures: numpy and pandas alone, the only place where each one is defined."""
