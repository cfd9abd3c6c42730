"""The engine: trains cells and writes their records. It knows no single paper."""
