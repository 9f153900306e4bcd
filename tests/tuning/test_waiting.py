import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.tuning.waiting import Step, images_per_second, share_waiting

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""The machine may be busy."""

TIMES = st.floats(1e-4, 10, allow_nan=False)


def live(load_seconds: list[float], compute_seconds: float) -> list[Step]:
    """A consumer whose loader makes one batch after the other, at once and without a limit on how many it makes ahead."""
    steps, ready, now = [], 0.0, 0.0
    for seconds in load_seconds:
        ready += seconds
        got = max(now, ready)
        steps.append(Step(now, got, got + compute_seconds, 4))
        now = got + compute_seconds
    return steps


class TestShareWaiting:
    def test_of_the_tutorial(self):
        """1 s to load, 0.1 s to compute: the GPU is idle for 0.9 s of every second."""
        assert share_waiting(live([1.0] * 50, 0.1)[1:]) == pytest.approx(0.9)

    def test_of_a_consumer_that_is_slower_than_its_loader_is_nothing(self):
        assert share_waiting(live([0.1] * 50, 1.0)[1:]) == 0

    @unhurried
    @given(load=TIMES, compute=TIMES, count=st.integers(2, 60))
    def test_of_an_even_loader_is_what_arithmetic_says(self, load: float, compute: float, count: int):
        expected = max(0.0, load - compute) / max(load, compute)
        assert share_waiting(live([load] * count, compute)[1:]) == pytest.approx(expected, abs=1e-6)

    @unhurried
    @given(loads=st.lists(TIMES, min_size=1, max_size=60), compute=TIMES)
    def test_is_a_share_and_the_rest_is_computing(self, loads: list[float], compute: float):
        steps = live(loads, compute)
        share, total = share_waiting(steps), steps[-1].done
        assert 0 <= share <= 1
        assert share * total + compute * len(steps) == pytest.approx(total)

    @unhurried
    @given(loads=st.lists(TIMES, min_size=1, max_size=30), compute=TIMES)
    def test_shrinks_when_the_consumer_gets_slower(self, loads: list[float], compute: float):
        assert share_waiting(live(loads, 2 * compute)) <= share_waiting(live(loads, compute)) + 1e-9

    def test_of_one_that_only_takes_is_all(self):
        assert share_waiting(live([0.5, 0.25], 0.0)) == 1

    def test_of_nothing_is_nothing(self):
        assert share_waiting([]) == share_waiting([Step(1.0, 1.0, 1.0, 4)]) == 0


class TestImagesPerSecond:
    def test_counts_from_the_first_wish_to_the_end(self):
        assert images_per_second([Step(10.0, 11.0, 12.0, 64), Step(12.0, 12.0, 14.0, 36)]) == 25

    def test_of_nothing_is_nothing(self):
        assert images_per_second([]) == images_per_second([Step(1.0, 1.0, 1.0, 4)]) == 0
