"""What is logged while servers keep a loader waiting."""

import logging

import pytest

from service.client.wait_log import WaitLog


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_each_wait_is_logged_and_one_in_ten_seconds_as_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    log = WaitLog(clock)
    with caplog.at_level(logging.INFO):
        log.failed("http://a", "Connection refused.", 0.1)
        log.failed("http://a", "Connection refused", 0.2)
        log.failed("http://b", "busy", 1.0)
        clock.now += 9.9
        log.failed("http://a", "Connection refused", 2.0)
        clock.now += 0.2
        log.failed("http://a", "no address", 2.0)
        log.answered("http://a")
        log.answered("http://a")
        log.failed("http://a", "Connection refused", 0.1)
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("WARNING", "http://a: Connection refused. Trying again in 0.1 s."),
        ("INFO", "http://a: Connection refused. Trying again in 0.2 s."),
        ("WARNING", "http://b: busy. Trying again in 1.0 s."),
        ("INFO", "http://a: Connection refused. Trying again in 2.0 s, after 10 s."),
        ("WARNING", "http://a: no address. Trying again in 2.0 s, after 10 s."),
        ("INFO", "http://a: answers again, after 10.1 s."),
        ("INFO", "http://a: Connection refused. Trying again in 0.1 s."),
    ]
