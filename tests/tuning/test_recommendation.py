import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.tuning.recommendation import CLOSE_TO_BEST, WAIT_ALLOWED, recommend
from service.tuning.setting import Measurement, Setting

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""The machine may be busy."""


def measurement(workers: int, batch_size: int = 64, *, wait: float = 0.0, gets: float = 640.0, steady: float = 1000.0) -> Measurement:
    return Measurement(Setting(workers, batch_size), steady / 2, steady, gets, wait, 1 << 28, 1 << 29, 244, 0)


MEASUREMENTS = st.lists(
    st.builds(
        measurement,
        st.integers(0, 64),
        st.sampled_from([4, 16, 64]),
        wait=st.floats(0, 1),
        gets=st.floats(1, 1e5),
        steady=st.floats(1, 1e5),
    ),
    min_size=1,
    unique_by=lambda each: each.setting,
)


class TestRecommend:
    def test_takes_the_fewest_workers_with_which_the_consumer_hardly_waits(self):
        found = recommend([measurement(0, wait=0.6, gets=250), measurement(1, wait=0.2, gets=500), measurement(2, wait=0.004), measurement(4, wait=0.0)])
        assert found is not None
        assert found.setting == Setting(2, 64)
        assert "hardly waits" in found.reason

    def test_takes_the_fewest_that_are_nearly_the_best_where_it_always_waits(self):
        found = recommend([measurement(1, wait=0.9, gets=300), measurement(2, wait=0.8, gets=590), measurement(4, wait=0.8, gets=610)])
        assert found is not None
        assert found.setting == Setting(2, 64)
        assert "waits with every number" in found.reason

    def test_is_not_taken_in_by_too_many_workers(self):
        found = recommend([measurement(2, wait=0.5, gets=600), measurement(4, wait=0.6, gets=500), measurement(16, wait=0.9, gets=200)])
        assert found is not None
        assert found.setting.workers == 2

    def test_prefers_the_batch_size_that_brings_the_consumer_more(self):
        """At 100 ms a batch, a small batch never makes it wait, and starves it all the same."""
        found = recommend([measurement(0, 16, gets=160), measurement(2, 64, gets=640)])
        assert found is not None
        assert found.setting == Setting(2, 64)

    def test_prefers_fewer_workers_among_batch_sizes_that_bring_as_much(self):
        found = recommend([measurement(1, 16, gets=495, steady=700), measurement(2, 64, gets=500, steady=900)])
        assert found is not None
        assert found.setting == Setting(1, 16)

    def test_of_nothing_is_nothing(self):
        assert recommend([]) is None

    @unhurried
    @given(MEASUREMENTS)
    def test_is_one_of_those_measured_whatever_their_order(self, measurements: list[Measurement]):
        found = recommend(measurements)
        assert found is not None
        assert found.setting in {each.setting for each in measurements}
        assert found == recommend(measurements[::-1])

    @unhurried
    @given(MEASUREMENTS)
    def test_has_no_rival_with_fewer_workers_that_does_the_job(self, measurements: list[Measurement]):
        found = recommend(measurements)
        assert found is not None
        chosen = next(each for each in measurements if each.setting == found.setting)
        rivals = [each for each in measurements if each.setting.batch_size == found.setting.batch_size and each.setting.workers < found.setting.workers]
        assert not [each for each in rivals if each.wait_share < WAIT_ALLOWED]
        if chosen.wait_share >= WAIT_ALLOWED:
            best = max(each.consumer_rate for each in measurements if each.setting.batch_size == found.setting.batch_size)
            assert all(each.consumer_rate < CLOSE_TO_BEST * best for each in rivals)
            assert chosen.consumer_rate >= CLOSE_TO_BEST * best

    @unhurried
    @given(MEASUREMENTS)
    def test_depends_on_ratios_of_rates_only(self, measurements: list[Measurement]):
        scaled = [measurement(*_key(each), wait=each.wait_share, gets=each.consumer_rate * 2**3, steady=each.steady_rate * 2**3) for each in measurements]
        found, again = recommend(measurements), recommend(scaled)
        assert found is not None
        assert again is not None
        assert found.setting == again.setting


def _key(each: Measurement) -> tuple[int, int]:
    return each.setting.workers, each.setting.batch_size


@pytest.mark.parametrize(("wait", "says"), [(WAIT_ALLOWED / 2, "hardly"), (WAIT_ALLOWED, "waits with every number")])
def test_the_reason_follows_the_wait(wait: float, says: str):
    found = recommend([measurement(1, wait=wait)])
    assert found is not None
    assert says in found.reason
