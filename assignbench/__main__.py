"""`python -m assignbench`."""

import sys

if not sys.flags.safe_path:
    # `python -m` looks into the current folder first, where a user's copy.py must not stand in for Python's own.
    sys.path.append(sys.path.pop(0))

from assignbench.cli import main

sys.exit(main())
