"""The command `batchlens`: in this process wherever that tells as much as one of its own."""

import errno
import io
import json
import logging
import os
import re
import resource
import signal
import socket
import sys
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console
from typer.main import get_command

from service import __version__
from service.cli import _url, _write, cli, main
from service.errors import StartupError
from service.settings import Settings, read_settings
from service.sources.catalogue import Catalogue
from tests.sessions import StartCommand, commands, session_of
from tests.waiting import wait_until

ROOT = Path(__file__).parents[1]

NO_FLAGS = {
    "token": "every user of the machine can read a command line",
    "recipes": "a table: in the file, or as BATCHLENS_RECIPES__NAME",
    "datasets": "a table of tables, likewise",
}
"""Settings without a flag, and why."""

pytestmark = pytest.mark.usefixtures("no_variables")


@dataclass(frozen=True)
class Outcome:
    code: int
    body: bytes
    err: str

    @property
    def out(self) -> str:
        return self.body.decode()

    @property
    def words(self) -> str:
        """What it printed, however its lines were broken."""
        return " ".join(self.out.split())


Run = Callable[..., Outcome]
Terminal = Callable[[], AbstractContextManager[Callable[[], bytes]]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Iterator[Run]:
    """Runs the command line as the shell does, in lines wide enough for any help; what it does to this process's logging is undone."""
    monkeypatch.setenv("COLUMNS", "400")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def call(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["batchlens", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsysbinary.readouterr()
        return Outcome(int(ended.value.code or 0), out, err.decode())

    yield call
    logging.captureWarnings(capture=False)
    for handler in [each for each in root.handlers if each not in handlers]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)
    for handler in handlers:
        root.addHandler(handler)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Puts a pseudo terminal in the place of standard output; gives what was written there, once that is over."""

    @contextmanager
    def open_terminal() -> Iterator[Callable[[], bytes]]:
        ours, theirs = os.openpty()
        tty.setraw(theirs)  # else it would make \\r\\n of \\n
        written: list[bytes] = []

        def read() -> None:
            while True:
                try:
                    written.append(os.read(ours, 65536))
                except OSError:  # The other side is closed.
                    return

        reader = threading.Thread(target=read)
        reader.start()
        with monkeypatch.context() as patch, os.fdopen(theirs, "w", encoding="utf-8") as stream:
            patch.setattr(sys, "stdout", stream)
            yield lambda: b"".join(written)
        reader.join(10)
        os.close(ours)

    return open_terminal


def assert_one_clear_line(outcome: Outcome, *facts: str) -> None:
    assert (outcome.code, outcome.body) == (2, b"")
    assert re.fullmatch(r"Error: [^\n]+\n", outcome.err)
    for fact in facts:
        assert fact in outcome.err


class TestHelp:
    def test_lists_the_commands(self, run: Run):
        outcome = run("--help")
        assert outcome.code == 0
        assert set(get_command(cli).commands) == {"serve", "get", "datasets", "check", "doctor"} | (set(get_command(cli).commands) & {"tune"})
        for name in get_command(cli).commands:
            assert re.search(rf"\b{name}\b", outcome.out)

    def test_of_serve_shows_every_flag_with_its_variable(self, run: Run):
        shown = run("serve", "--help").words
        for parameter in get_command(cli).commands["serve"].params:
            assert f"[BATCHLENS_{parameter.name.upper()}]" in shown
            if parameter.name != "paths":
                assert f"--{parameter.name.replace('_', '-')} " in shown

    def test_of_serve_shows_the_defaults(self, run: Run):
        shown = run("serve", "--help").words
        for name in ("host", "port", "device", "queue_length", "batch_size", "shuffle", "log_level"):
            assert f"[BATCHLENS_{name.upper()}] Default: {Settings.model_fields[name].get_default()}." in shown

    def test_every_setting_is_a_flag_or_said_to_be_none(self, run: Run):
        flags = {parameter.name for parameter in get_command(cli).commands["serve"].params}
        assert flags | set(NO_FLAGS) == set(Settings.model_fields)
        assert not flags & set(NO_FLAGS)
        shown = run("serve", "--help").words
        for told in ("BATCHLENS_TOKEN", "[recipes]", "[datasets.NAME.SPLIT]", "batchlens.toml", "BATCHLENS_CONFIG"):
            assert told in shown

    @pytest.mark.parametrize("command", ["get", "datasets", "check"])
    def test_of_the_others_shows_where_data_comes_from(self, command: str, run: Run):
        assert "[BATCHLENS_PATHS]" in run(command, "--help").words

    @pytest.mark.parametrize("arguments", [(), *((name,) for name in get_command(cli).commands)])
    def test_has_a_short_flag(self, arguments: tuple[str, ...], run: Run):
        assert run(*arguments, "-h") == run(*arguments, "--help")
        assert run(*arguments, "-h").out.startswith("Usage: batchlens")

    def test_is_shown_to_those_who_name_no_command(self, run: Run):
        outcome = run()
        assert (outcome.code, outcome.body, outcome.err) == (2, b"", run("--help").out)

    def test_fits_into_a_narrow_terminal_with_no_name_cut(self, run: Run, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("COLUMNS", "60")
        shown = run("serve", "--help").out
        assert max(map(len, shown.splitlines())) <= 60
        for parameter in get_command(cli).commands["serve"].params:
            assert parameter.name == "paths" or f"--{parameter.name.replace('_', '-')} " in shown
        assert "..." not in run("--help").out.replace("[ARGS]...", "")


class TestTop:
    def test_tells_the_version(self, run: Run):
        assert run("--version") == Outcome(0, f"batchlens {__version__}\n".encode(), "")

    @pytest.mark.parametrize(
        ("arguments", "fact"),
        [
            (("--foo",), "No such option: --foo"),
            (("nonsense",), "No such command 'nonsense'"),
            (("serve", "--prot", "1"), "No such option: --prot (Possible options: --host, --port). See batchlens serve --help."),
            (("serve", "--port", "abc"), "--port"),
            (("serve", "--batch-size"), "Option '--batch-size' requires an argument"),
            (("get",), "Missing argument 'path'. See batchlens get --help."),
            (("get", "/a", "/b"), "extra argument"),
            (("check", "--json=3"), "--json"),
            (("tune", "--memory-fraction", "7"), "--memory-fraction"),
            (("tune", "--seconds-per-setting", "[red]x"), "--seconds-per-setting"),
        ],
    )
    def test_says_in_one_line_which_flag_or_value_is_wrong(self, arguments: tuple[str, ...], fact: str, run: Run, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("COLUMNS", "40")
        assert_one_clear_line(run(*arguments), fact)

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_offers_completion_to_the_shells(self, shell: str, run: Run, monkeypatch: pytest.MonkeyPatch):
        for flag in ("--install-completion", "--show-completion"):
            assert flag in run("--help").out
        monkeypatch.setenv("_BATCHLENS_COMPLETE", f"complete_{shell}")
        monkeypatch.setenv("COMP_WORDS", "batchlens serve --po")
        monkeypatch.setenv("COMP_CWORD", "2")
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "batchlens serve --po")
        monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
        outcome = run()
        assert (outcome.code, outcome.err) == (0, "")
        assert "--port" in outcome.out
        assert "--host" not in outcome.out


class TestDatasets:
    def test_are_listed_with_sizes_and_classes(self, dataset_folder: Path, run: Run):
        outcome = run("datasets", "--data", dataset_folder)
        assert (outcome.code, outcome.err) == (0, "")
        rows = [re.findall(r"[^│\s][^│]*[^│\s]|[^│\s]", line) for line in outcome.out.splitlines()[3:-1]]
        assert rows == [["pets", "train", "9", "cat 4, dog 3, owl 2"], ["pets", "val", "5", "cat 2, dog 2, owl 1"]]

    def test_of_several_paths(self, dataset_folder: Path, run: Run):
        out = run("datasets", "-d", ROOT / "data", "-d", dataset_folder).out
        assert out.index("shapes") < out.index("pets")

    def test_come_from_the_variable(self, dataset_folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("BATCHLENS_PATHS", f"{ROOT / 'data'}:{dataset_folder}")
        out = run("datasets").out
        assert out.index("shapes") < out.index("pets")
        assert "shapes" not in run("datasets", "-d", dataset_folder).out

    def test_with_many_classes_stay_short(self, tmp_path: Path, run: Run):
        for number in range(30):
            (tmp_path / f"many/train/c{number:02}").mkdir(parents=True)
            (tmp_path / f"many/train/c{number:02}/1.jpg").touch()
        assert "c07 1, and 22 more" in run("datasets", "-d", tmp_path / "many").out

    def test_say_that_links_were_refused(self, dataset_folder: Path, run: Run):
        for number in range(3):
            (dataset_folder / f"train/cat/link-{number}.jpg").symlink_to("/etc/hostname")
        out = run("datasets", "-d", dataset_folder).out
        assert "pets: 3 links are refused, since they lead out of the dataset's folder. To follow such links, name the folder that they lead to" in out
        assert "pets: The refused links lead into /etc.\n" in out

    def test_follow_links_that_are_allowed(self, dataset_folder: Path, run: Run, make_image: Callable[..., Path], monkeypatch: pytest.MonkeyPatch):
        make_image(dataset_folder.parent / "store/1.png")
        (dataset_folder / "train/cat/a.png").symlink_to("../../../store/1.png")
        monkeypatch.setenv("BATCHLENS_ALLOWED_ROOTS", str(dataset_folder.parent / "store"))
        outcome = run("datasets", "-d", dataset_folder)
        assert outcome.code == 0
        assert "cat 5, dog 3" in outcome.out
        assert "refused" not in outcome.out

    def test_that_cannot_be_served_are_told_with_their_reason(self, dataset_folder: Path, run: Run):
        (dataset_folder.parent / os.fsdecode(b"birds/train/caf\xe9")).mkdir(parents=True)
        (dataset_folder.parent / os.fsdecode(b"birds/train/caf\xe9/1.png")).touch()
        outcome = run("datasets", "-d", dataset_folder.parent)
        assert (outcome.code, outcome.err) == (1, "")
        assert "cat 4, dog 3, owl 2" in outcome.out
        assert "birds is not served: birds: the name 'caf\ufffd' is not UTF-8, so no URL can carry it. Rename that folder.\n" in outcome.out

    def test_say_how_they_were_read_and_what_is_left_out(self, tmp_path: Path, run: Run):
        for place in ("pets/cat/1.png", "pets/dog/2.png", "pets/test/3.png", "flat/4.png", "cars/train/bus/5.png"):
            (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / place).touch()
        outcome = run("datasets", "-d", tmp_path)
        assert outcome.code == 0
        lines = outcome.out.splitlines()
        assert 'layout = "split/class/**" in [datasets.pets] reads them as splits.' in outcome.out
        assert any(line.startswith("pets: Read as class/file: cat, dog are classes, and all images make one split 'all'.") for line in lines)
        assert any(line.startswith("pets: test/ is left out: it is called like a split") for line in lines)
        assert "flat/ is left out: its images lie in no class folder." in lines

    def test_keep_control_characters_of_names_from_the_terminal(self, tmp_path: Path, run: Run):
        for place in ("pets/train/c\x1b[2Jat/1.png", "birds/train/owl/2.png", "birds/tr\x1b[31mash/3.png"):
            (tmp_path / place).parent.mkdir(parents=True)
            (tmp_path / place).touch()
        outcome = run("datasets", "-d", tmp_path)
        assert outcome.code == 0
        assert "c\ufffd[2Jat 1" in outcome.out
        assert "tr\ufffd[31mash" in outcome.out
        assert "\x1b" not in outcome.out

    def test_tell_settings_for_what_is_not_there(self, dataset_folder: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch):
        (tmp_path / "settings.toml").write_text("[datasets.pets.trian]\nbatch_size = 8\n[datasets.petz]\nmax_resolution = 9\n")
        monkeypatch.setenv("BATCHLENS_CONFIG", str(tmp_path / "settings.toml"))
        monkeypatch.setenv("BATCHLENS_WORKRES", "3")
        lines = run("datasets", "-d", dataset_folder).out.splitlines()
        assert lines[-3:] == [
            "There are settings for a split 'trian' of 'pets', which it does not have. It has: train, val. Did you mean 'train'?",
            "There are settings for a dataset 'petz', which is not served. Served: pets. Did you mean 'pets'?",
            "The variable BATCHLENS_WORKRES is no setting. Did you mean BATCHLENS_WORKERS?",
        ]

    @pytest.mark.parametrize("name", ["a[red]b", "[blink]", "[link=x]y", "[bold", "[red][bold]x"])
    def test_whose_names_look_like_markup_are_shown_as_they_are(self, name: str, tmp_path: Path, run: Run):
        (tmp_path / name / name / name).mkdir(parents=True)
        (tmp_path / name / name / name / "1.jpg").touch()
        outcome = run("datasets", "-d", tmp_path / name)
        assert outcome.code == 0
        assert re.search(rf"│ {re.escape(name)} +│ {re.escape(name)} +│ 1 +│ {re.escape(name)} 1 +│", outcome.out)

    def test_at_a_bad_path(self, tmp_path: Path, run: Run):
        assert_one_clear_line(run("datasets", "-d", tmp_path / "nowhere"), f"{tmp_path}/nowhere is no folder", "split/class/file")
        assert_one_clear_line(run("datasets", "-d", tmp_path), f"{tmp_path} holds no dataset", "split/class/file")

    def test_at_a_bad_path_that_looks_like_markup(self, tmp_path: Path, run: Run):
        assert_one_clear_line(run("datasets", "-d", tmp_path / "[x]/[/y] " / ("long" * 60)), "[x]/[/y] ")


class TestProgress:
    @pytest.fixture
    def screen(self, monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
        """A terminal in place of standard error, where nothing is too quick to be drawn."""
        file = io.StringIO()
        monkeypatch.setattr("service.cli._ERR", Console(file=file, force_terminal=True, width=200))
        monkeypatch.setattr("service.cli._QUIET_SECONDS", -1.0)
        return file

    def test_of_a_listing_is_drawn_on_a_terminal(self, dataset_folder: Path, run: Run, screen: io.StringIO):
        for command in (("datasets",), ("get", "/datasets"), ("check",)):
            screen.truncate(0)
            assert run(*command, "-d", dataset_folder).code == 0
            assert "listing pets" in screen.getvalue()
            assert "images" in screen.getvalue()

    def test_of_a_quick_listing_is_not_drawn(self, dataset_folder: Path, run: Run, screen: io.StringIO, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("service.cli._QUIET_SECONDS", 60.0)
        assert run("datasets", "-d", dataset_folder).code == 0
        assert screen.getvalue() == ""

    def test_is_not_drawn_where_there_is_no_terminal(self, dataset_folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("service.cli._QUIET_SECONDS", -1.0)
        assert run("datasets", "-d", dataset_folder).err == ""


class TestGet:
    def test_writes_the_body_to_standard_output(self, dataset_folder: Path, run: Run):
        outcome = run("get", "/datasets", "-d", dataset_folder)
        assert (outcome.code, outcome.err) == (0, "")
        (listed,) = json.loads(outcome.body)["datasets"]
        assert (listed["name"], listed["splits"]) == ("pets", {"train": 9, "val": 5})

    def test_ends_text_with_a_line_end(self, dataset_folder: Path, tmp_path: Path, run: Run):
        for arguments in ((), ("-o", "-")):
            assert run("get", "/datasets", "-d", dataset_folder, *arguments).body.endswith(b"}\n")
        assert not run("get", "/metrics", "-d", dataset_folder).body.endswith(b"\n\n")
        assert run("get", "/datasets", "-d", dataset_folder, "-o", tmp_path / "x").code == 0
        assert (tmp_path / "x").read_bytes().endswith(b"}")

    @pytest.mark.parametrize("name", ["0.png", "0.safetensors", "0.npz"])
    def test_keeps_what_is_no_text_from_a_terminal(self, name: str, dataset_folder: Path, run: Run, terminal: Terminal):
        asked = ("get", f"/datasets/pets/splits/val/batches/0/{name}?recipe=CenterCrop(2)&batch_size=1", "-d", dataset_folder)
        into_a_pipe = run(*asked).body
        with terminal() as shown:
            outcome = run(*asked)
        assert_one_clear_line(outcome, 'Binary output can mess up your terminal. Use "--output -" to write it there anyway, or "--output FILE" to save it.')
        assert shown() == b""
        with terminal() as shown:
            assert run(*asked, "--output", "-").code == 0
        assert shown() == into_a_pipe

    def test_shows_text_on_a_terminal(self, dataset_folder: Path, run: Run, terminal: Terminal):
        with terminal() as shown:
            assert run("get", "/datasets", "-d", dataset_folder).code == 0
        assert json.loads(shown())["datasets"]

    def test_writes_a_file_whole(self, dataset_folder: Path, tmp_path: Path, run: Run):
        target = tmp_path / "new/batch.png"
        target.parent.mkdir()
        outcome = run("get", "/datasets/pets/splits/train/batches/0/1.png?seed=3", "-d", dataset_folder, "-o", target)
        assert (outcome.code, outcome.body, outcome.err) == (0, b"", "")
        with Image.open(target) as image:
            assert image.format == "PNG"
        assert [each.name for each in target.parent.iterdir()] == ["batch.png"]
        assert target.stat().st_mode & 0o777 == 0o666 & ~_umask()
        again = run("get", "/datasets/pets/splits/train/batches/0/1.png?seed=3", "-d", dataset_folder)
        assert again.body == target.read_bytes()

    def test_follows_to_a_random_batch(self, dataset_folder: Path, run: Run):
        assert run("get", "/datasets/pets/splits/val/batches/random.png", "-d", dataset_folder).body.startswith(b"\x89PNG")

    def test_takes_a_path_without_its_slash(self, dataset_folder: Path, run: Run):
        assert run("get", "datasets", "-d", dataset_folder).code == 0

    def test_does_not_depend_on_the_hosts_that_are_allowed(self, dataset_folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("BATCHLENS_ALLOWED_HOSTS", "lab.example")
        assert run("get", "/datasets", "-d", dataset_folder).code == 0

    def test_replaces_a_file_and_keeps_a_link_to_it(self, dataset_folder: Path, tmp_path: Path, run: Run):
        (tmp_path / "old.json").write_text("old " * 10_000)
        (tmp_path / "link.json").symlink_to("old.json")
        assert run("get", "/datasets", "-d", dataset_folder, "-o", tmp_path / "link.json").code == 0
        assert (tmp_path / "link.json").is_symlink()
        assert json.loads((tmp_path / "old.json").read_text())["datasets"]

    def test_writes_into_a_pipe(self, dataset_folder: Path, tmp_path: Path, run: Run):
        os.mkfifo(tmp_path / "pipe")
        got: list[bytes] = []
        reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_bytes()), daemon=True)
        reader.start()
        assert run("get", "/datasets", "-d", dataset_folder, "-o", tmp_path / "pipe").code == 0
        assert (tmp_path / "pipe").is_fifo()
        reader.join(30)
        assert json.loads(got[0])["datasets"]

    def test_writes_to_a_descriptor(self, dataset_folder: Path, tmp_path: Path, run: Run):
        with (tmp_path / "out").open("wb") as file:
            assert run("get", "/datasets", "-d", dataset_folder, "-o", f"/dev/fd/{file.fileno()}").code == 0
            assert os.fstat(file.fileno()).st_nlink == 1  # still the file that was opened
        assert json.loads((tmp_path / "out").read_bytes())["datasets"]

    @pytest.mark.parametrize("path", ["/nowhere", "/datasets/cars", "/datasets/pets/splits/train/batches/0/99.png", "http://elsewhere.example/"])
    def test_reports_a_problem_and_writes_nothing(self, path: str, dataset_folder: Path, tmp_path: Path, run: Run):
        kept = tmp_path / "kept"
        kept.mkdir()
        (kept / "old.json").write_text("old")
        for target in (kept / "new.json", kept / "old.json"):
            outcome = run("get", path, "-d", dataset_folder, "-o", target)
            assert (outcome.code, outcome.body) == (1, b"")
            assert json.loads(outcome.err)["status"] == 404
        assert {each.name: each.read_text() for each in kept.iterdir()} == {"old.json": "old"}

    def test_reports_a_bad_parameter(self, dataset_folder: Path, run: Run):
        outcome = run("get", "/datasets/pets/splits/train/batches/0/0.png?recipe=Explode([3])", "-d", dataset_folder)
        assert (outcome.code, outcome.body) == (1, b"")
        assert json.loads(outcome.err)["status"] == 422
        assert "Explode" in outcome.err

    def test_says_where_it_cannot_write(self, dataset_folder: Path, tmp_path: Path, run: Run):
        (tmp_path / "file").touch()
        for target, reason in (("nowhere/x.json", "No such file"), ("file/x.json", "Not a directory"), (".", "Is a directory"), ("x" * 300, "name too long")):
            assert_one_clear_line(run("get", "/datasets", "-d", dataset_folder, "-o", tmp_path / target), f"Cannot write {tmp_path / target}: ", reason)
        assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "pets"]

    def test_leaves_nothing_half_written(self, tmp_path: Path):
        target = tmp_path / "batch.png"
        target.write_text("old")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # what a full disk does, only larger
        try:
            with pytest.raises(StartupError, match=f"Cannot write {target}: File too large"):
                _write(target, bytes(5000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {"batch.png": "old"}

    def test_says_what_is_no_path(self, dataset_folder: Path, run: Run):
        assert_one_clear_line(run("get", "/data\0sets", "-d", dataset_folder), r"'/data\x00sets' is no path to ask for")


class TestCheck:
    def test_of_sound_images(self, dataset_folder: Path, run: Run):
        outcome = run("check", "-d", dataset_folder)
        assert (outcome.code, outcome.out, outcome.err) == (0, "All 14 images can be used.\n", "")
        outcome = run("check", "-d", dataset_folder, "--json")
        assert (outcome.code, json.loads(outcome.out)) == (0, {"checked": 14, "broken": [], "oriented": [], "unavailable": {}})

    def test_of_broken_images(self, dataset_folder: Path, run: Run, make_image: Callable[..., Path]):
        (dataset_folder / "train/cat/broken [b].jpg").write_bytes((dataset_folder / "train/cat/cat-0.jpg").read_bytes()[:-200])
        (dataset_folder / "val/owl/zero.png").touch()
        (dataset_folder / "val/owl/gone.png").symlink_to("nowhere.png")
        outcome = run("check", "-d", dataset_folder, "--json")
        assert outcome.code == 1
        found = json.loads(outcome.out)
        assert found["checked"] == 17
        assert [(each["dataset"], each["split"], each["sample"], each["file"], each["code"]) for each in found["broken"]] == [
            ("pets", "train", 0, "train/cat/broken [b].jpg", "unreadable-image"),
            ("pets", "val", 4, "val/owl/gone.png", "unreadable-image"),
            ("pets", "val", 6, "val/owl/zero.png", "unreadable-image"),
        ]
        table = run("check", "-d", dataset_folder)
        assert table.code == 1
        for each in found["broken"]:
            assert re.search(rf"│ pets +│ {each['split']} +│ {each['sample']} +│ {re.escape(each['file'])} +│ {re.escape(each['problem'])} +│", table.out)
        assert "3 of 17 images cannot be used." in table.out

    def test_of_a_dataset_that_cannot_be_listed(self, dataset_folder: Path, run: Run):
        (dataset_folder.parent / os.fsdecode(b"birds/train/caf\xe9")).mkdir(parents=True)
        (dataset_folder.parent / os.fsdecode(b"birds/train/caf\xe9/1.png")).touch()
        outcome = run("check", "-d", dataset_folder.parent)
        assert outcome.code == 1
        assert outcome.out.startswith("All 14 images can be used.\nbirds is not served: birds: the name")
        found = json.loads(run("check", "-d", dataset_folder.parent, "--json").out)
        assert (found["checked"], list(found["unavailable"])) == (14, ["birds"])

    def test_keeps_to_the_limits(self, dataset_folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("BATCHLENS_MAX_IMAGE_PIXELS", "2600")
        outcome = run("check", "-d", dataset_folder, "--json")
        large = 0
        for path in dataset_folder.glob("*/*/*"):
            with Image.open(path) as image:
                large += image.width * image.height > 2600
        assert 0 < large < 14
        assert outcome.code == 1
        assert [each["code"] for each in json.loads(outcome.out)["broken"]] == ["image-too-large"] * large

    def test_reports_in_the_order_of_the_listing_however_long_each_takes(self, tmp_path: Path, run: Run, make_image: Callable[..., Path]):
        for number in range(120):
            path = make_image(tmp_path / f"pets/train/c{number % 3}/{number:03}.png", (900, 700) if number % 10 == 0 else (9, 7))
            if number % 2:
                path.write_bytes(path.read_bytes()[:60])
        dataset = Catalogue([tmp_path / "pets"], 10**8, 10**8).dataset("pets")
        split = dataset.split("train")
        paths = [split.file(index).path for index in range(len(split))]
        broken = [(index, path) for index, path in enumerate(paths) if int(path[-7:-4]) % 2]
        found = json.loads(run("check", "-d", tmp_path / "pets", "--json").out)
        assert [(each["sample"], each["file"]) for each in found["broken"]] == broken
        assert found["checked"] == 120

    def test_renders_with_the_recipe_of_the_split(self, dataset_folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("BATCHLENS_DATASETS", '{"pets": {"val": {"recipe": "RandomCrop(500)"}}}')
        outcome = run("check", "-d", dataset_folder)
        assert outcome.code == 1
        assert "recipe RandomCrop(500): RandomCrop(500) cannot be applied to a " in outcome.out
        assert "5 of 14 images cannot be used." in outcome.out

    def test_notes_orientation_that_is_ignored(self, dataset_folder: Path, run: Run):
        exif = Image.Exif()
        exif[0x0112] = 8
        for number in range(7):
            Image.new("RGB", (40, 30)).save(dataset_folder / f"val/owl/turned [{number}].jpg", exif=exif)
        outcome = run("check", "-d", dataset_folder)
        assert outcome.code == 0
        note = "Note: the EXIF orientation of 7 of 21 images is ignored, as ImageFolder ignores it: val/owl/turned [0].jpg (8), "
        assert note in outcome.out
        assert "val/owl/turned [4].jpg (8), and 2 more.\n" in outcome.out

    def test_what_libraries_print_is_one_line_with_the_sample(self, dataset_folder: Path, tmp_path: Path):
        buffer = io.BytesIO()
        Image.effect_noise((64, 64), 60).convert("1").save(buffer, "TIFF", compression="group4")
        fax = buffer.getvalue()
        damaged = fax[:20] + bytes(each ^ 0x5A for each in fax[20:120]) + fax[120:]
        (dataset_folder / "val/owl/fax.tif").write_bytes(damaged)
        Image.new("P", (8, 8)).save(dataset_folder / "val/owl/palette.png", transparency=bytes([0, 128, 255]))
        with commands("check", stderr=tmp_path / "err") as start:
            out, _ = start("-d", str(dataset_folder)).communicate(timeout=120)
        assert "All 16 images can be used." in out
        (line,) = (tmp_path / "err").read_text().splitlines()
        assert re.match(r"time=\S+ level=warning ", line)
        assert "dataset=pets split=val sample=4 file=val/owl/fax.tif" in line
        assert "Fax4Decode" in line

    def test_at_a_bad_path(self, tmp_path: Path, run: Run):
        assert_one_clear_line(run("check", "-d", tmp_path / "nowhere"), "nowhere is no folder")


class TestPipedTables:
    """Tables are as wide as their content where a program reads them, whatever a terminal is said to be like."""

    def test_are_not_cut(self, dataset_folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("COLUMNS", "40")
        name = "a_rather_long_name_as_cameras_and_scrapers_make_them_" * 3
        (dataset_folder / f"val/owl/{name}.jpg").touch()
        for number in range(6):
            (dataset_folder / f"train/class-{number}-{name}").mkdir()
            Image.new("RGB", (5, 5)).save(dataset_folder / f"train/class-{number}-{name}/1.png")
        (row,) = [line for line in run("check", "-d", dataset_folder).out.splitlines() if name in line]
        assert re.search(rf"val/owl/{name}.jpg +│ cannot be decoded: it is none of .*, or its header is damaged │", row)
        found = run("datasets", "-d", dataset_folder).out
        assert all(f"class-{number}-{name} 1" in found.splitlines()[3] for number in range(5))
        versions = [line for line in run("doctor").out.splitlines() if "torch" in line]
        assert any(version("torch") in line for line in versions)


class TestDoctor:
    def test_tells_versions_devices_and_workers(self, run: Run, monkeypatch: pytest.MonkeyPatch):
        import torch

        monkeypatch.setenv("BATCHLENS_WORKERS", "7")
        outcome = run("doctor")
        assert (outcome.code, outcome.err) == (0, "")
        for fact in (torch.__version__.partition("+")[0], Image.__version__, "cpu", "GiB free", "7 for each split in use", "512 MiB"):
            assert fact in outcome.out

    def test_says_what_is_wrong_with_the_settings(self, run: Run, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("BATCHLENS_WORKERS", "many")
        assert_one_clear_line(run("doctor"), "workers (BATCHLENS_WORKERS)")


class TestServeThatCannotStart:
    """One line, exit code 2; in this process, since it ends before a server starts."""

    FLAGS = ("--port", "0", "--workers", "0", "--device", "cpu")

    def test_without_a_dataset(self, tmp_path: Path, run: Run):
        assert_one_clear_line(run("serve", tmp_path / "nowhere", *self.FLAGS), "nowhere is no folder")
        assert_one_clear_line(run("serve", tmp_path, *self.FLAGS), "holds no dataset: expected images at split/class/file")

    def test_with_one_name_twice(self, dataset_folder: Path, run: Run):
        assert_one_clear_line(run("serve", dataset_folder, dataset_folder, *self.FLAGS), "Two datasets are called 'pets'")

    def test_with_a_port_in_use(self, dataset_folder: Path, run: Run):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            outcome = run("serve", dataset_folder, "--port", port, "--workers", "0")
        assert_one_clear_line(outcome, f"Cannot listen on 127.0.0.1 port {port}: {os.strerror(errno.EADDRINUSE)}. Another port: --port.")

    @pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "x" * 70 + ".example", "[::1]", "ü" * 70])
    def test_with_a_host_that_is_not_its_own(self, host: str, dataset_folder: Path, run: Run):
        outcome = run("serve", dataset_folder, "--host", host, *self.FLAGS)
        assert_one_clear_line(outcome, "Cannot listen on ")
        assert len(outcome.err) < len(host) + 100
        assert "--port" not in outcome.err

    @pytest.mark.parametrize(
        ("flag", "value", "message"),
        [
            ("--port", "99999", "port (BATCHLENS_PORT): Input should be less than or equal to 65535, not '99999'"),
            ("--device", "gpu", "device (BATCHLENS_DEVICE)"),
            ("--device", "cuda:999", "There is no device 'cuda:999'. Known: cpu"),
            ("--log-level", "loud", "log_level (BATCHLENS_LOG_LEVEL)"),
            ("--batch-size", "5000", "batch_size (BATCHLENS_BATCH_SIZE): 5000 is above max_batch_size"),
        ],
    )
    def test_with_a_bad_setting(self, flag: str, value: str, message: str, dataset_folder: Path, run: Run):
        assert_one_clear_line(run("serve", dataset_folder, *self.FLAGS, flag, value), message)

    def test_with_a_bad_recipe_in_the_file(self, dataset_folder: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch):
        (tmp_path / "settings.toml").write_text('[recipes]\nmine = "Explode([1])"\n')
        monkeypatch.setenv("BATCHLENS_CONFIG", str(tmp_path / "settings.toml"))
        assert_one_clear_line(run("serve", dataset_folder, *self.FLAGS), "recipes.mine", "Explode")


class TestServe:
    """A process of its own; `tests/e2e` asks it for batches."""

    @pytest.fixture
    def start(self, dataset_folder: Path, tmp_path: Path) -> Iterator[StartCommand]:
        """Starts a server in a session of its own; whatever is left of that when the test ends is killed."""
        with commands("serve", str(dataset_folder), "--device", "cpu", stderr=tmp_path / "stderr") as start:
            yield start

    @pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
    def test_ends_cleanly_when_told_to_as_soon_as_it_has_said_where_it_is(self, sign: signal.Signals, start: StartCommand, tmp_path: Path):
        process = start("--port", "0", "--workers", "1")
        assert process.stdout is not None
        lines = []
        while "URL" not in "".join(lines[-1:]):
            lines.append(process.stdout.readline())
            assert lines[-1], "it has ended before"
        printed = "".join(lines)
        for fact in ("pets", "train", "val", "cat 4, dog 3, owl 2", "cat 2, dog 2, owl 1", "Device  cpu", "1 worker for each split"):
            assert fact in printed
        assert re.search(r"URL +http://localhost:\d+\n$", printed)
        if sign is signal.SIGINT:
            os.killpg(process.pid, sign)  # as Ctrl-C does
        else:
            process.send_signal(sign)
        assert process.wait(60) == 0
        wait_until(lambda: not session_of(process.pid))
        assert "Traceback" not in (tmp_path / "stderr").read_text()

    def test_with_a_port_in_use_ends_before_it_loads_anything(self, start: StartCommand, tmp_path: Path):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            process = start("--port", str(taken.getsockname()[1]), "--workers", "1")
            assert process.wait(60) == 2
        assert re.fullmatch(r"Error: Cannot listen on [^\n]+\n", (tmp_path / "stderr").read_text())
        wait_until(lambda: not session_of(process.pid))


class TestUrl:
    """The URL that is printed passes the service's own host check."""

    @pytest.fixture
    def listener(self) -> Iterator[socket.socket]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            yield listener

    @pytest.mark.parametrize(
        ("host", "allowed", "shown"),
        [
            ("127.0.0.1", None, "localhost"),
            ("127.0.0.1", "lab.example", "127.0.0.1"),
            ("localhost", "lab.example", "localhost"),
            ("192.168.1.5", None, "192.168.1.5"),
            ("::1", None, "[::1]"),
            ("0.0.0.0", None, "localhost"),
            ("0.0.0.0", "lab.example,*.org", "lab.example"),
            ("::", f"localhost,{socket.gethostname()}", socket.gethostname()),
            ("0.0.0.0", "*", socket.gethostname()),
        ],
    )
    def test_names_a_host_that_is_allowed(self, host: str, allowed: str | None, shown: str, listener: socket.socket):
        settings = read_settings(host=host, allowed_hosts=allowed)
        assert _url(settings, listener) == f"http://{shown}:{listener.getsockname()[1]}"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
