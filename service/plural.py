"""Numbers with their nouns, for people."""


def count_of(number: int, noun: str, plural: str | None = None) -> str:
    """Return "1 worker", "2 workers", "1,000 images"; the plural ends with an s unless it is given."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
