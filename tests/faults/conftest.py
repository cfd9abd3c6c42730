"""One undisturbed run of the cell, which all others must equal."""

from pathlib import Path

import pytest

from tests.faults.cases import fresh
from tests.faults.victims import Death, done, train


@pytest.fixture(scope="session")
def whole(tmp_path_factory) -> Path:
    """The folder of the undisturbed cell; moments.txt beside it names all moments at which it wrote."""
    folder = tmp_path_factory.mktemp("whole") / "cell"
    assert done(train, fresh(folder), Death(folder.parent / "moments.txt")) == 0
    return folder


@pytest.fixture(scope="session")
def moments(whole) -> list[str]:
    """What the undisturbed cell wrote and removed, in order."""
    return (whole.parent / "moments.txt").read_text().splitlines()
