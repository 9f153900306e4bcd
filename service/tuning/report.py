"""What tuning found, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from service.plural import count_of
from service.tuning.recommendation import WAIT_ALLOWED, Recommendation, recommend
from service.tuning.setting import LeftOut, Result
from service.tuning.tuner import measured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.tuning.load import Load
    from service.tuning.memory_bound import MemoryBound
    from service.tuning.subject import Subject
    from service.tuning.trial import Pace


@dataclass(frozen=True, slots=True)
class Report:
    """What was found, and under what conditions.

    Attributes:
        subject: what was read.
        pace: of the consumer.
        bound: on memory.
        processors: that this process may use.
        results: by setting, in the order they were tried.
        load: what others did meanwhile.
    """

    subject: Subject
    pace: Pace
    bound: MemoryBound
    processors: int
    results: Sequence[Result]
    load: Load

    @property
    def recommendation(self) -> Recommendation | None:
        """What to set; None where nothing was measured."""
        return recommend(measured(self.results))

    def to_json(self) -> dict[str, Any]:
        """Gives all figures, JSON-ready."""
        chosen = self.recommendation
        return {
            "dataset": self.subject.dataset.name,
            "split": self.subject.split.name,
            "recipe": self.subject.recipe.text,
            "samples": len(self.subject.split),
            "processors": self.processors,
            "others": {"processors_before": self.load.before, "processors_during": self.load.during},
            "is_uncertain": self.load.is_busy,
            "consumer": asdict(self.pace),
            "memory_allowed_bytes": self.bound.allowed_bytes,
            "settings": [{**asdict(each.setting), **_figures(each)} for each in self.results],
            "recommended": None if chosen is None else {**asdict(chosen.setting), "reason": chosen.reason},
        }

    def to_table(self) -> Group:
        """Draws a small table, and says what to set."""
        chosen = self.recommendation
        table = Table(*_COLUMNS, title=self._title(), title_justify="left")
        for column in table.columns:
            column.justify = "right"
        for each in self.results:
            is_chosen = chosen is not None and each.setting == chosen.setting
            table.add_row(str(each.setting.workers), str(each.setting.batch_size), *_cells(each), style="bold green" if is_chosen else "")
        return Group(table, *self._notes(chosen))

    def _title(self) -> Text:
        samples, processors = count_of(len(self.subject.split), "sample"), count_of(self.processors, "processor")
        return Text(f"{self.subject.dataset.name}/{self.subject.split.name}: {samples}, {processors}, {self._consumer()}")

    def _consumer(self) -> str:
        if self.pace.images_per_second is None:
            return f"a consumer that computes {1000 * self.pace.seconds_per_batch:g} ms on each batch"
        return f"a consumer of {self.pace.images_per_second:g} images/s"

    def _notes(self, chosen: Recommendation | None) -> list[Text]:
        notes = [Text(f"{each.setting} left out: {each.reason}", "yellow") for each in self.results if isinstance(each, LeftOut)]
        found = measured(self.results)
        fewest, broken = min((each.samples for each in found), default=0), max((each.unreadable for each in found), default=0)
        if found and fewest < len(self.subject.split):
            notes.append(
                Text(
                    f"In the time given, first epochs reached {count_of(fewest, 'sample')} or more; later epochs are over those."
                    " --seconds-per-setting gives more."
                )
            )
        if broken:
            notes.append(Text(f"{count_of(broken, 'image')} could not be read, with zeros instead; `batchlens check` says which.", "yellow"))
        if self.load.is_busy:
            notes.append(Text(self._doubt(), "yellow"))
        if chosen is not None:
            notes.append(
                Text.assemble("Set ", (f"BATCHLENS_WORKERS={chosen.setting.workers}", "bold"), f" and batch_size={chosen.setting.batch_size}. {chosen.reason}")
            )
        return notes

    def _doubt(self) -> str:
        before, during = ("?" if each is None else f"{each:.1f}" for each in (self.load.before, self.load.during))
        return (
            f"Uncertain: other programs kept {before} processors busy before, and {during} while this was measured."
            " Repeat it when the machine has nothing else to do."
        )


_COLUMNS = ("workers", "batch size", "first epoch, images/s", "later, images/s", "consumer gets, images/s", "consumer waits", "full memory, MiB")


def _cells(result: Result) -> tuple[str, ...]:
    if isinstance(result, LeftOut):
        return ("left out", "", "", "", "")
    rates = (f"{each:,.0f}" for each in (result.first_rate, result.steady_rate, result.consumer_rate))
    wait = f"{100 * result.wait_share:.1f} %" if result.wait_share >= WAIT_ALLOWED / 10 else "0 %"
    return (*rates, wait, f"{result.full_bytes / 2**20:,.0f}")


def _figures(result: Result) -> dict[str, Any]:
    figures = asdict(result)
    del figures["setting"]
    return {"left_out": None, **figures} if not isinstance(result, LeftOut) else {"left_out": result.reason}
