"""One crew at a time, whoever speaks late and whenever the end comes: with crews that are only played."""

import threading
from collections.abc import Callable

import pytest

from service.loading.crew import Death
from service.loading.succession import Succession
from service.loading.task import Outcome
from tests.waiting import wait_until

DEATH = Death((), (-9,))


class Crew:
    """Does nothing by itself; tests speak for it."""

    def __init__(self, say: Callable[["Crew", Outcome], None], die: Callable[["Crew", Death], None]) -> None:
        self.pids = [id(self)]
        self.is_complete = True
        self.is_started = self.is_stopped = self.dies_at_start = False
        self.say = lambda outcome: say(self, outcome)
        self.die = lambda: die(self, DEATH)

    def start(self) -> None:
        self.is_started = True
        if self.dies_at_start:
            threading.Thread(target=self.die).start()

    def stop(self, _: float) -> None:
        self.is_stopped = True


class House:
    """A loader's side."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.crews: list[Crew] = []
        self.refusals = self.die_at_start = 0
        self.heard: list[int] = []
        self.deaths = 0
        self.on_engage: Callable[[], None] = lambda: None
        self.succession = Succession("d/s", self.lock, self.engage, self.hear, self.mourn)

    def engage(self, say: Callable[[Crew, Outcome], None], die: Callable[[Crew, Death], None]) -> Crew:
        if self.crews:
            self.on_engage()
        if self.refusals:
            self.refusals -= 1
            raise OSError("no process can be had")
        self.crews.append(Crew(say, die))
        if len(self.crews) > 1 and self.die_at_start:
            self.die_at_start -= 1
            self.crews[-1].dies_at_start = True
        return self.crews[-1]

    def hear(self, outcome: Outcome) -> None:
        assert self.lock.locked()
        self.heard.append(outcome.task_id)

    def mourn(self, death: Death) -> None:
        assert self.lock.locked()
        assert death is DEATH
        assert self.succession.crew.pids[0] in {id(crew) for crew in self.crews[1:]}, "the successor is there already"
        self.deaths += 1


def test_outcomes_of_the_crew_that_works_are_passed_on_and_late_words_are_not() -> None:
    house = House()
    (first,) = house.crews
    first.say(Outcome(1))
    first.die()
    second = house.crews[1]
    first.say(Outcome(2))
    second.say(Outcome(3))
    assert house.heard == [1, 3]
    assert (house.deaths, second.is_started, second.is_stopped) == (1, True, False)


def test_it_tries_until_there_is_a_successor() -> None:
    house = House()
    house.refusals = 3
    house.crews[0].die()
    assert len(house.crews) == 2
    assert (house.deaths, house.refusals) == (1, 0)


def test_a_successor_that_dies_as_soon_as_it_is_there_is_replaced_too() -> None:
    house = House()
    house.die_at_start = 1
    house.crews[0].die()
    wait_until(lambda: house.deaths == 2)
    assert len(house.crews) == 3
    assert house.succession.crew.pids == house.crews[2].pids


def test_the_second_word_of_one_death_engages_nobody_for_long() -> None:
    house = House()
    first = house.crews[0]
    first.die()
    first.die()
    assert house.deaths == 1
    assert [crew.is_started for crew in house.crews] == [True, True, False]


def test_no_crew_follows_one_that_was_stopped() -> None:
    house = House()
    house.succession.stop()
    house.crews[0].die()
    assert house.crews[0].is_stopped
    assert (len(house.crews), house.deaths) == (1, 0)


def test_a_successor_engaged_while_the_end_comes_does_not_start() -> None:
    house = House()
    house.on_engage = house.succession.stop
    house.crews[0].die()
    assert house.deaths == 0
    assert [crew.is_started for crew in house.crews] == [True, False]


def test_the_end_cuts_short_the_pause_after_crews_that_die_young(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.loading.lessons.Setbacks.add", lambda _: 3600.0)
    house = House()
    thread = threading.Thread(target=house.crews[0].die)
    thread.start()
    house.succession.stop()
    wait_until(lambda: not thread.is_alive())
    assert len(house.crews) == 1
