"""`tf.data service`: a dispatcher and a worker in a process of their own, the consumer here.

The stream repeats without an end and epochs are counted in images: a new job would begin with an empty cache. The last batch of an epoch may hold images of the
next one, which saves it the short batch that the others have.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import multiprocessing
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from tests.benchmarks.peers.answering import answer, read_settings, require
from tests.benchmarks.peers.tf_data import make_pipeline


def run_servers(pipe: Connection) -> None:
    """Runs a dispatcher and a worker until the other end of the pipe is closed."""
    import tensorflow as tf

    dispatcher = tf.data.experimental.service.DispatchServer()
    worker = tf.data.experimental.service.WorkerServer(
        tf.data.experimental.service.WorkerConfig(dispatcher_address=dispatcher.target.split("://")[1], heartbeat_interval_ms=200)
    )
    pipe.send(dispatcher.target)
    try:
        pipe.recv()
    except EOFError:
        os._exit(0)  # A clean end waits for clients; nothing here is worth it.
    del worker


def main() -> None:
    versions = require("tensorflow", "tensorflow-cpu", "tensorflow")
    import tensorflow as tf

    folder, batch_size, side, settings = read_settings()
    context = multiprocessing.get_context("spawn")
    pipe, other = context.Pipe()
    context.Process(target=run_servers, args=(other,), daemon=True).start()
    other.close()
    size = len(list(Path(folder).glob("*/*.jp*g")))
    data = make_pipeline(tf, folder, batch_size, side, settings).repeat()
    data = data.apply(tf.data.experimental.service.distribute("parallel_epochs", pipe.recv(), job_name="benchmark")).prefetch(tf.data.AUTOTUNE)
    stream = iter(data)

    def epoch() -> Iterator[int]:
        seen = 0
        while seen < size:
            inputs, _ = next(stream)
            assert (inputs.shape[1:], inputs.dtype) == ((side, side, 3), tf.uint8)
            seen += len(inputs)
            yield len(inputs)

    answer(versions, epoch)
    os._exit(0)


if __name__ == "__main__":
    main()
