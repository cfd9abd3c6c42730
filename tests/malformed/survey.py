"""Lists the cases that are not handled: `python -m tests.malformed.survey SCRATCH [FAMILY...]`."""

from __future__ import annotations

import re
import shutil
import sys
from collections import Counter, defaultdict
from pathlib import Path

from tests.malformed.families import FAMILIES
from tests.malformed.harness import judged


def survey(scratch: Path, wanted: list[str]) -> None:
    """Prints counts by family and every failure, grouped by what went wrong."""
    counts: Counter[str] = Counter()
    bad: Counter[str] = Counter()
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    log = sys.stderr
    for family in wanted or FAMILIES:
        for number, case in enumerate(FAMILIES[family]()):
            folder = scratch / f"{family}-{number}"
            shutil.rmtree(folder, ignore_errors=True)
            problems = judged(case, folder)
            shutil.rmtree(folder, ignore_errors=True)
            counts[family] += 1
            if problems:
                print(
                    f"{family}\t{case.name}\t{' | '.join(problems)}"[:900].replace(str(folder), "."),
                    file=log,
                    flush=True,
                )
            if problems:
                bad[family] += 1
                cause = re.sub(r"[:(].*|'.*", "", problems[0]).strip()
                groups[family, cause].append(f"- `{case.name}`: {' | '.join(problems)}"[:700].replace(str(folder), "."))
    for family, count in counts.items():
        print(f"{family}: {count - bad[family]} of {count} handled")
    for (family, cause), lines in sorted(groups.items()):
        print(f"\n## {family}: {cause} ({len(lines)})\n")
        print("\n".join(lines))


if __name__ == "__main__":
    survey(Path(sys.argv[1]), sys.argv[2:])
