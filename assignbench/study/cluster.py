"""Reading a file that says what a cell asks of a cluster, with errors that name the line."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from assignbench.config.cluster import OwnCluster
from assignbench.config.words import complaint, plain, words_of
from assignbench.errors import InputError
from assignbench.study.places import at_line
from assignbench.study.yaml_lines import line_of, read


def read_cluster(path: Path) -> OwnCluster:
    """The cluster that a YAML file describes, whose keys are those of a study's `cluster:` and two more.

    Raises InputError naming the line.
    """
    content, lines = read(path)
    try:
        return OwnCluster.model_validate(content)
    except ValidationError as problem:
        told = (
            f"{at_line(path, line_of(lines, plain(error['loc'])))}: {complaint(error, words_of(OwnCluster))}"
            for error in problem.errors()
        )
        raise InputError("\n".join(dict.fromkeys(told))) from None
