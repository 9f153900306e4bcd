"""Fetching ahead: several requests at once, results in order."""

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

K = TypeVar("K")
T = TypeVar("T")


def fetch_ahead(fetch: Callable[[K], T], keys: Iterable[K], depth: int, abort: Callable[[], None]) -> Generator[T, None, None]:
    """Calls `fetch` for each key in threads, up to `depth` keys ahead of whoever iterates, and yields the results in the keys' order.

    Its threads end with it: at the end, on an error of `fetch` (raised where its result would stand), and when the iterator is closed or collected.

    Args:
        fetch: called from up to `depth` threads at once.
        keys: what to fetch; iterated in the consumer's thread.
        depth: at least 1.
        abort: makes calls of `fetch` that are under way return soon; called unless all keys were fetched.
    """
    own: set[int] = set()
    pid = os.getpid()
    pool = ThreadPoolExecutor(depth, "batchlens prefetch", lambda: own.add(threading.get_ident()))
    upcoming = iter(keys)
    waiting: deque[Future[T]] = deque()
    is_complete = False
    try:
        waiting.extend(pool.submit(fetch, key) for key in islice(upcoming, depth))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(fetch, key) for key in islice(upcoming, 1))
            yield result
            del result  # Not to be kept while waiting for the next.
        is_complete = True
    finally:
        if os.getpid() == pid:  # A forked child has neither the threads nor a say in what they do.
            if not is_complete:
                abort()
            pool.shutdown(wait=threading.get_ident() not in own, cancel_futures=True)  # The garbage collector may run this in any thread.
