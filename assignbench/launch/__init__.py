"""Launchers: start cells in processes of their own, by their command line and nothing else."""
