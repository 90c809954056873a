import pytest

from jobyard.demo.orders import priority_of
from jobyard.demo.story import pace_of


@pytest.mark.parametrize(
    ("files", "pace"), [(0, 0.0), (1, 0.25), (128, 0.25), (320, 0.1), (1_000, 0.0), (9_999, 0.0)]
)
def test_a_small_tree_is_paced(files: int, pace: float) -> None:
    assert pace_of(files) == pytest.approx(pace)


@pytest.mark.parametrize(
    ("size", "priority"),
    [
        (0, "low"),
        (1_023, "low"),
        (1_024, "normal"),
        (65_535, "normal"),
        (65_536, "high"),
        (1_048_575, "high"),
        (1_048_576, "critical"),
    ],
)
def test_a_large_file_goes_first(size: int, priority: str) -> None:
    assert priority_of(size) == priority
