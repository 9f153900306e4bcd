import pytest

from service.plural import count_of


@pytest.mark.parametrize(
    ("number", "nouns", "text"),
    [
        (0, ("worker",), "0 workers"),
        (1, ("worker",), "1 worker"),
        (2, ("worker",), "2 workers"),
        (1000, ("image",), "1,000 images"),
        (1, ("batch", "batches"), "1 batch"),
        (2, ("batch", "batches"), "2 batches"),
    ],
)
def test_numbers_with_their_nouns(number: int, nouns: tuple[str, ...], text: str):
    assert count_of(number, *nouns) == text
