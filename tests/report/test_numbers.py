"""Numbers as tables and sentences print them."""

from assignbench.analysis.signs import in_signed_points, signed
from assignbench.report.numbers import difference


def test_zero_has_no_sign() -> None:
    assert [signed(v) for v in (-0.04, 0.04, 0.0, -0.06, 0.06)] == ["0.0", "0.0", "0.0", "-0.1", "+0.1"]
    assert signed(-0.04, 2) == "-0.04" and in_signed_points(-0.0004) == "0.0"
    assert difference(-0.0004, 0.013, 3) == "0.0 ± 1.3"
