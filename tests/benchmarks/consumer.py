"""A client of the service in a process of its own: `RemoteLoader`, or plain `http.client` with one request at a time. Bytes end in memory of its own."""

import http.client
import itertools
import json
import sys
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

from service.client import RemoteLoader
from tests.benchmarks.peers.answering import answer


class Loader:
    """`RemoteLoader` with its defaults, without torch."""

    def __init__(self, url: str, dataset: str, batch_size: int, seed: int, recipe: str) -> None:
        self._loader = RemoteLoader(url, dataset, "train", batch_size=batch_size, shuffle=True, seed=seed, recipe=recipe, as_numpy=True)

    def __call__(self) -> Iterator[int]:
        for images, _ in self._loader:
            assert str(images.dtype) == "uint8"
            yield len(images)


class Bare:
    """One kept-alive connection, the next request only when the last answer is there: what `curl` in a loop does."""

    def __init__(self, url: str, dataset: str, batch_size: int, seed: int, recipe: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc)
        self._path = f"/datasets/{dataset}/splits/train/batches"
        self._query = f"batch_size={batch_size}&shuffle=true&seed={seed}&recipe={quote(recipe)}"
        self._connection.request("GET", f"/datasets/{dataset}/sizes")
        size = json.loads(self._connection.getresponse().read())["train"]
        self._counts = [min(batch_size, size - start) for start in range(0, size, batch_size)]
        self._epochs = itertools.count()

    def __call__(self) -> Iterator[int]:
        epoch = next(self._epochs)
        for step, count in enumerate(self._counts):
            self._connection.request("GET", f"{self._path}/{epoch}/{step}.safetensors?{self._query}")
            response = self._connection.getresponse()
            body = response.read()
            assert (response.status, len(body) > count) == (200, True)
            yield count


def main() -> None:
    kind, url, dataset, batch_size, seed, recipe = sys.argv[1:]
    begin: type[Loader] | type[Bare] = {"loader": Loader, "bare": Bare}[kind]
    answer({}, begin(url, dataset, int(batch_size), int(seed), recipe))


if __name__ == "__main__":
    main()
