import io
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console

from service.cli import main
from service.errors import BatchlensError, InvalidParameter, InvalidRecipe, InvalidSettings, UnknownDataset, UnknownSplit
from service.settings import Settings
from service.tuning.family import Family
from service.tuning.setting import LeftOut, Measurement, Setting
from service.tuning.subject import Subject
from service.tuning.trial import PARTS
from service.tuning.tuner import list_settings, tune, worker_counts
from service.tuning.tuning import Tuning, Wishes
from tests.sessions import StartCommand, commands, session_of, sharers_of_memory
from tests.waiting import wait_until

FAST = {"consumer_ms": 1.0, "seconds_per_setting": 0.3}
FIGURES = {"first_rate", "steady_rate", "consumer_rate", "wait_share", "memory_bytes", "full_bytes", "samples", "unreadable"}

MakeSettings = Callable[..., Settings]


def workers_of_this_process() -> set[int]:
    """Descendants that the fork server has made."""
    server = {pid for pid in Family().pids() if b"forkserver" in _command(pid)}
    return {pid for each in server for pid in Family(each).pids()} - server


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


class TestTuning:
    def test_measures_every_setting_and_recommends_one_of_them(self, make_settings: MakeSettings):
        shown: list[tuple[str, int, int]] = []
        tuning = Tuning(make_settings(), Wishes(workers="0,1", batch_sizes="2,4", **FAST))
        tuning.run(lambda *each: shown.append(each))
        report = tuning.report
        assert [each.setting for each in report.results] == [Setting(0, 2), Setting(0, 4), Setting(1, 2), Setting(1, 4)]
        for each in report.results:
            assert isinstance(each, Measurement)
            assert min(each.first_rate, each.steady_rate, each.consumer_rate, each.memory_bytes) > 0
            assert 0 <= each.wait_share <= 1
            assert 0 < each.samples <= 9
            assert each.unreadable == 0
        assert report.recommendation is not None
        assert report.recommendation.setting in {each.setting for each in report.results}
        assert [done for _, done, _ in shown] == sorted(done for _, done, _ in shown)
        assert shown[-1][1:] == (4 * len(PARTS), 4 * len(PARTS))
        assert {part for part in PARTS if any(part in doing for doing, _, _ in shown)} == set(PARTS)
        wait_until(lambda: not workers_of_this_process())

    def test_reports_for_programs_and_for_people(self, make_settings: MakeSettings, dataset_folder: Path):
        (dataset_folder / "train/cat/cat-0.jpg").write_bytes(b"no image")
        tuning = Tuning(make_settings(), Wishes(workers="0", batch_sizes="4", consumer_images_per_second=500.0, seconds_per_setting=6.0))
        tuning.run(lambda *_: None)
        found = json.loads(json.dumps(tuning.report.to_json()))
        assert (found["dataset"], found["split"], found["samples"]) == ("pets", "train", 9)
        assert found["recipe"].startswith("RandomResizedCrop(224)")
        assert found["consumer"]["images_per_second"] == 500
        assert found["memory_allowed_bytes"] > 0
        assert min(found["others"].values()) >= 0
        assert found["is_uncertain"] is tuning.report.load.is_busy
        (only,) = found["settings"]
        assert set(only) == FIGURES | {"workers", "batch_size", "left_out"}
        assert (only["workers"], only["batch_size"], only["left_out"], only["unreadable"]) == (0, 4, None, 1)
        assert {name: found["recommended"][name] for name in ("workers", "batch_size")} == {"workers": 0, "batch_size": 4}
        text = io.StringIO()
        Console(width=200, file=text).print(tuning.report.to_table())
        for fact in ("pets/train: 9 samples", "a consumer of 500 images/s", "BATCHLENS_WORKERS=0", "batch_size=4", "1 image could not be read"):
            assert fact in text.getvalue()

    def test_leaves_out_what_memory_does_not_allow_and_says_so(self, make_settings: MakeSettings):
        tuning = Tuning(make_settings(), Wishes(workers="0,1", batch_sizes="4", memory_bytes=1 << 20, **FAST))
        tuning.run(lambda *_: None)
        assert all(isinstance(each, LeftOut) and "1 MiB are allowed" in each.reason for each in tuning.report.results)
        assert tuning.report.recommendation is None
        assert tuning.report.to_json()["recommended"] is None
        assert "allowed" in tuning.report.to_json()["settings"][0]["left_out"]

    def test_leaves_out_what_will_grow_beyond_the_bound(self, make_settings: MakeSettings):
        """The slab fills later: what was measured within the bound is no choice if it does not stay there."""
        slab_bytes = 512 << 20
        bound = Family().memory_bytes() + slab_bytes + (1 << 20)
        tuning = Tuning(make_settings(slab_bytes=slab_bytes), Wishes(workers="0", batch_sizes="9", memory_bytes=bound, **FAST))
        tuning.run(lambda *_: None)
        (only,) = tuning.report.results
        assert isinstance(only, LeftOut)
        assert "With its shared memory full" in only.reason

    def test_stops_a_setting_that_passes_the_bound_while_it_runs(self, make_settings: MakeSettings):
        """Workers have memory of their own, so one cannot do with what is taken before they start; larger settings are not tried then."""
        bound = Family().memory_bytes() + (24 << 20)
        tuning = Tuning(make_settings(), Wishes(workers="2,3", batch_sizes="4", memory_bytes=bound, consumer_ms=1.0, seconds_per_setting=6.0))
        shown: list[str] = []
        tuning.run(lambda doing, *_: shown.append(doing))
        first, second = tuning.report.results
        assert isinstance(first, LeftOut)
        assert re.match("It takes .* are allowed", first.reason)
        assert isinstance(second, LeftOut)
        assert "2 workers, batch size 4, which was too much" in second.reason
        assert not any("3 workers" in each for each in shown)
        wait_until(lambda: not workers_of_this_process())

    def test_leaves_out_a_batch_that_no_slab_holds(self, make_settings: MakeSettings):
        tuning = Tuning(make_settings(slab_bytes=1 << 20), Wishes(workers="0", batch_sizes="2,9", **FAST))
        tuning.run(lambda *_: None)
        small, large = tuning.report.results
        assert isinstance(small, Measurement)
        assert isinstance(large, LeftOut)
        assert "BATCHLENS_SLAB_BYTES" in large.reason

    def test_leaves_no_worker_when_it_is_broken_off(self, make_settings: MakeSettings):
        tuning = Tuning(make_settings(), Wishes(workers="1", batch_sizes="4", **FAST))

        def interrupt(doing: str, *_: int) -> None:
            if "later epochs" in doing:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            tuning.run(interrupt)
        assert tuning.report.results == []
        wait_until(lambda: not workers_of_this_process())

    def test_reads_photos_as_the_service_does(self, make_settings: MakeSettings):
        subject = Subject.find(make_settings(datasets={"pets": {"max_resolution": 16, "train": {"recipe": "CenterCrop(8)"}}}), None, None, None)
        (order, *_) = subject.orders(subject.samples, 4, 0)
        assert (order.address.max_resolution, order.address.recipe) == (16, "CenterCrop(8)")
        assert Subject.find(make_settings(), None, None, None).max_resolution is None

    @pytest.mark.parametrize(
        ("wishes", "error", "fact"),
        [
            ({"dataset": "birds"}, UnknownDataset, "pets"),
            ({"split": "test"}, UnknownSplit, "train, val"),
            ({"recipe": "Explode()"}, InvalidRecipe, "Explode"),
            ({"workers": "one"}, InvalidParameter, "--workers 'one'"),
            ({"workers": "1,,2"}, InvalidParameter, "--workers"),
            ({"workers": "-1"}, InvalidParameter, "--workers"),
            ({"workers": "999"}, InvalidSettings, "BATCHLENS_WORKERS"),
            ({"batch_sizes": "0"}, InvalidParameter, "between 1 and 1024"),
            ({"batch_sizes": "5000"}, InvalidParameter, "BATCHLENS_MAX_BATCH_SIZE"),
            ({"consumer_ms": 1.0, "consumer_images_per_second": 1.0}, InvalidParameter, "one of them"),
            ({"memory_bytes": 1, "memory_fraction": 0.5}, InvalidParameter, "one of them"),
        ],
    )
    def test_refuses_what_it_cannot_do(self, wishes: dict[str, object], error: type[BatchlensError], fact: str, make_settings: MakeSettings):
        with pytest.raises(error, match=re.escape(fact)):
            Tuning(make_settings(), Wishes(**wishes))


class TestSettings:
    @pytest.mark.parametrize(("processors", "expected"), [(1, (0, 1)), (2, (0, 1, 2)), (3, (0, 1, 2, 3)), (6, (0, 1, 2, 4, 6)), (8, (0, 1, 2, 4, 8))])
    def test_numbers_of_workers_reach_the_processors(self, processors: int, expected: tuple[int, ...]):
        assert worker_counts(processors) == expected

    def test_are_tried_in_an_order_of_growing_memory(self):
        assert list_settings([2, 0, 2], [64, 16]) == [Setting(0, 16), Setting(0, 64), Setting(2, 16), Setting(2, 64)]


class TestTune:
    def test_can_be_closed_between_results(self, make_settings: MakeSettings):
        tuning = Tuning(make_settings(), Wishes(workers="1", batch_sizes="2,4", **FAST))
        with closing(tune(tuning._trial, tuning._settings, lambda _: None)) as results:
            assert isinstance(next(results), Measurement)
        wait_until(lambda: not workers_of_this_process())


@pytest.mark.usefixtures("no_variables")
class TestCommand:
    @pytest.fixture
    def start(self, dataset_folder: Path, tmp_path: Path) -> Iterator[StartCommand]:
        """Starts the command in a session of its own; what is left of it is killed."""
        with commands("tune", "-d", str(dataset_folder), stderr=tmp_path / "stderr") as start:
            yield start

    def test_prints_json_to_standard_output(self, start: StartCommand):
        process = start("--workers", "0,1", "--batch-sizes", "4", "--seconds-per-setting", "0.3", "--consumer-ms", "5", "--json")
        found = json.loads(process.communicate(timeout=120)[0])
        assert process.returncode == 0
        assert [each["workers"] for each in found["settings"]] == [0, 1]
        assert found["recommended"]["batch_size"] == 4
        wait_until(lambda: not session_of(process.pid))

    def test_that_finds_no_room_ends_with_1(self, start: StartCommand):
        process = start("--workers", "1", "--batch-sizes", "4", "--memory-bytes", "1000")
        out = process.communicate(timeout=120)[0]
        assert process.returncode == 1
        assert "left out" in out

    def test_ends_cleanly_on_ctrl_c(self, start: StartCommand, tmp_path: Path):
        process = start("--workers", "1", "--batch-sizes", "4", "--seconds-per-setting", "600", "--json")
        wait_until(lambda: len(sharers_of_memory(process.pid)) == 2)  # itself and a worker
        os.killpg(process.pid, signal.SIGINT)
        out = process.communicate(timeout=60)[0]
        assert process.returncode == 130
        assert json.loads(out)["settings"] == []
        wait_until(lambda: not session_of(process.pid))
        assert "Traceback" not in (tmp_path / "stderr").read_text()

    @pytest.mark.parametrize("flags", [("--workers", "x"), ("--dataset", "birds"), ("--batch-sizes", "4096")])
    def test_says_in_one_line_what_is_wrong(
        self, flags: tuple[str, str], dataset_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ):
        monkeypatch.setattr(sys, "argv", ["batchlens", "tune", "-d", str(dataset_folder), *flags])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert (ended.value.code, out) == (2, "")
        assert re.fullmatch(r"Error: [^\n]+\n", err)
