"""Spoilt, hostile and unusual inputs, generated: every command must refuse, or read right, each of them."""
