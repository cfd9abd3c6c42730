"""The engine: trains cells and writes their records."""
