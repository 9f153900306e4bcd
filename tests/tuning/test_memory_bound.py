from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.processor import Memory
from service.tuning.memory_bound import Footprint, MemoryBound
from service.tuning.setting import Setting

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""The machine may be busy."""

GIB = 1 << 30
BYTES = st.integers(0, 1 << 45)


class TestMemoryBound:
    def test_is_what_was_said(self):
        assert MemoryBound.of(Memory(100 * GIB, 50 * GIB), GIB, allowed_bytes=7, fraction=0.8).allowed_bytes == 7

    def test_is_else_a_part_of_what_is_free_in_addition_to_what_is_taken(self):
        bound = MemoryBound.of(Memory(100 * GIB, 50 * GIB), GIB, fraction=0.5)
        assert bound.allowed_bytes == 26 * GIB
        assert 0 < bound.reserve_bytes < 10 * GIB

    def test_of_a_machine_that_does_not_tell_what_is_free_allows_no_more(self):
        assert MemoryBound.of(Memory(100 * GIB, None), GIB, fraction=0.8).allowed_bytes == GIB

    def test_objects_to_what_exceeds_it_and_says_how_much(self):
        bound = MemoryBound(2 * GIB, GIB)
        assert bound.objection(2 * GIB) is None
        assert bound.objection(3 * GIB) == "With its shared memory full it takes 3,072 MiB of memory; 2,048 MiB are allowed."
        assert bound.objection(3 * GIB, free_bytes=9 * GIB) == "It takes 3,072 MiB of memory; 2,048 MiB are allowed."

    def test_objects_when_the_machine_runs_short_whoever_took_it(self):
        bound = MemoryBound(2 * GIB, GIB)
        assert bound.objection(1, free_bytes=GIB) is None
        assert bound.objection(1, free_bytes=GIB - 1) == "Only 1,024 MiB of memory are left; 1,024 MiB must stay free."

    @unhurried
    @given(total=BYTES, taken=BYTES, fraction=st.floats(0, 1), data=st.data())
    def test_never_allows_more_than_there_is(self, total: int, taken: int, fraction: float, data: st.DataObject):
        free = data.draw(st.integers(0, total))
        assert taken <= MemoryBound.of(Memory(total, free), taken, fraction=fraction).allowed_bytes <= taken + free


class TestFootprint:
    @unhurried
    @given(BYTES, BYTES, BYTES, BYTES, st.integers(0, 256), st.integers(1, 1024))
    def test_grows_with_workers_and_batch_size(self, idle: int, worker: int, shared: int, sample: int, workers: int, batch_size: int):
        footprint = Footprint(idle, worker, shared, sample)
        here = footprint.predict(Setting(workers, batch_size), 4)
        assert here >= idle + shared
        assert footprint.predict(Setting(workers + 1, batch_size), 4) - here == worker
        assert footprint.predict(Setting(workers, batch_size + 1), 4) - here == 4 * sample
