"""Kinds of data sets: one file for each."""
