"""`python -m assignbench`."""

import sys

from assignbench.cli import main

sys.exit(main())
