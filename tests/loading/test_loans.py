"""Memory for copies of what is sent."""

import pytest

from service.loading.loans import Copies


def test_memory_that_was_reserved_for_a_copy_is_free_again_where_copying_fails() -> None:
    copies = Copies(4)
    assert copies.reserve(4)
    with pytest.raises(BufferError, match="contiguous"):
        copies.copy(memoryview(b"12345678")[::2])
    assert copies.reserve(4)
