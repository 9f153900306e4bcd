"""The process that worker processes are forked from. Light to import, so that it can be started before torch is loaded here."""

import multiprocessing
from multiprocessing import forkserver

START_METHOD = "forkserver"
"""Never fork: the server has threads. The fork server has torch loaded already, so a worker is up in tens of milliseconds."""


def preload() -> None:
    """Starts the fork server, if it does not run yet, and lets it load torch and the worker's code; returns at once."""
    multiprocessing.get_context(START_METHOD).set_forkserver_preload(["service.loading.worker", "service.cli"])
    forkserver.ensure_running()
