"""Processes of tests, forked from a server that has imported what they need and done nothing else: each import of
PyTorch takes five seconds, and whoever has run autograd on several threads cannot do so in a fork.
"""

from __future__ import annotations

import multiprocessing

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.faults.victims", "tests.engine.ranks"])
