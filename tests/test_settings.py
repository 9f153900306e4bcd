"""Settings: which source wins, what is refused and how it is said."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.errors import InvalidSettings
from service.processor import Processor
from service.settings import LOOPBACK, DatasetSettings, Settings, SplitSettings, misspelt_variables, read_settings

SECRET = "s3cret-s3cret"

pytestmark = pytest.mark.usefixtures("no_variables")


@pytest.fixture
def toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settings file that BATCHLENS_CONFIG names; empty at first."""
    path = tmp_path / "settings.toml"
    path.touch()
    monkeypatch.setenv("BATCHLENS_CONFIG", str(path))
    return path


def complaint(**flags: object) -> str:
    with pytest.raises(InvalidSettings) as caught:
        read_settings(**flags)
    assert caught.value.detail.startswith("Bad settings: ")
    return caught.value.detail.removeprefix("Bad settings: ")


class TestSources:
    def test_defaults(self):
        settings = read_settings()
        assert (settings.paths, settings.host, settings.port, settings.device) == ((Path("data"),), "127.0.0.1", 8000, "auto")
        assert (settings.batch_size, settings.shuffle, settings.token, settings.allowed_hosts) == (4, True, None, LOOPBACK)
        assert settings.workers == max(1, Processor().count() - 1)

    def test_flags_beat_variables_beat_the_file_beats_defaults(self, toml: Path, monkeypatch: pytest.MonkeyPatch):
        found = [read_settings().port]
        toml.write_text("port = 1")
        found.append(read_settings().port)
        monkeypatch.setenv("BATCHLENS_PORT", "2")
        found.append(read_settings().port)
        found.append(read_settings(port=3).port)
        assert found == [8000, 1, 2, 3]

    def test_a_flag_that_is_not_given_leaves_the_others(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("BATCHLENS_PORT", "2")
        monkeypatch.setenv("BATCHLENS_SHUFFLE", "yes")
        settings = read_settings(port=None, shuffle=False, host=None)
        assert (settings.port, settings.shuffle, settings.host) == (2, False, "127.0.0.1")

    @pytest.mark.parametrize("name", ["TOKEN", "PORT", "PATHS", "RECIPES", "WORKERS", "SHUFFLE", "CONFIG"])
    def test_an_empty_variable_is_none(self, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
        monkeypatch.chdir(tmp_path)
        before = read_settings()
        monkeypatch.setenv(f"BATCHLENS_{name}", "")
        assert read_settings() == before

    def test_an_empty_variable_leaves_the_file(self, toml: Path, monkeypatch: pytest.MonkeyPatch):
        toml.write_text("port = 1")
        monkeypatch.setenv("BATCHLENS_PORT", "")
        assert read_settings().port == 1

    def test_a_file_in_the_working_folder_is_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("BATCHLENS_CONFIG")
        assert read_settings().port == 8000
        (tmp_path / "batchlens.toml").write_text("port = 1")
        assert read_settings().port == 1
        monkeypatch.setenv("BATCHLENS_CONFIG", os.devnull)
        assert read_settings().port == 8000

    def test_dotenv_files_and_variables_of_others_are_not_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        (tmp_path / ".env").write_text("BATCHLENS_PORT=1\nPORT=1\n")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PORT", "2")
        assert read_settings().port == 8000

    def test_every_field_can_be_a_variable(self, monkeypatch: pytest.MonkeyPatch):
        values = {
            "PATHS": ("a:b", (Path("a"), Path("b"))),
            "HOST": ("0.0.0.0", "0.0.0.0"),
            "PORT": ("1", 1),
            "ALLOWED_HOSTS": (" lab.example, *.org ,", ("lab.example", "*.org")),
            "ALLOWED_ROOTS": ("a:/b", (Path("a"), Path("/b"))),
            "ALLOWED_ORIGINS": ("https://Dash.example/, http://[::1]:8080", ("https://dash.example", "http://[::1]:8080")),
            "FRAME_ANCESTORS": ("'self',https://*.lab.example", ("'self'", "https://*.lab.example")),
            "ROOT_PATH": ("/lab/batchlens/", "/lab/batchlens"),
            "FORWARDED_ALLOW_IPS": ("10.0.0.0/8, ::1", ("10.0.0.0/8", "::1")),
            "DEVICE": ("cuda:12", "cuda:12"),
            "WORKERS": ("0", 0),
            "SLAB_BYTES": ("1048576", 1 << 20),
            "ARENA_BYTES": ("0", 0),
            "MAX_LOADERS": ("3", 3),
            "QUEUE_LENGTH": ("5", 5),
            "DEADLINE_SECONDS": ("0.5", 0.5),
            "MAX_BATCH_SIZE": ("50", 50),
            "MAX_IMAGE_PIXELS": ("9", 9),
            "MAX_IMAGE_BYTES": ("9", 9),
            "BATCH_SIZE": ("8", 8),
            "SHUFFLE": ("false", False),
            "RECIPES": ('{"small": "Resize(8)"}', {"small": "Resize(8)"}),
            "DATASETS": ('{"pets": {"val": {"shuffle": false}}}', {"pets": DatasetSettings(val=SplitSettings(shuffle=False))}),
            "CACHE_DIR": ("/var/cache/x", Path("/var/cache/x")),
            "INDEX_CACHE": ("false", False),
            "LOG_LEVEL": ("debug", "debug"),
        }
        assert {name.lower() for name in values} == set(Settings.model_fields) - {"token"}
        for name, (text, _) in values.items():
            monkeypatch.setenv(f"BATCHLENS_{name}", text)
        settings = read_settings()
        assert {name: getattr(settings, name.lower()) for name in values} == {name: value for name, (_, value) in values.items()}

    def test_entries_of_tables_can_be_variables(self, toml: Path, monkeypatch: pytest.MonkeyPatch):
        toml.write_text('[recipes]\na = "Resize(1)"\nb = "Resize(2)"\n')
        monkeypatch.setenv("BATCHLENS_RECIPES__B", "Resize(3)")
        monkeypatch.setenv("BATCHLENS_DATASETS__PETS__VAL__BATCH_SIZE", "16")
        settings = read_settings()
        assert settings.recipes == {"a": "Resize(1)", "b": "Resize(3)"}
        assert settings.for_split("pets", "val") == SplitSettings(batch_size=16)


class TestIndexFolder:
    def test_is_in_the_users_cache(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("HOME", "/home/ada")
        for named, folder in (("/var/ada", "/var/ada/batchlens"), ("", "/home/ada/.cache/batchlens"), ("relative", "/home/ada/.cache/batchlens")):
            monkeypatch.setenv("XDG_CACHE_HOME", named)
            assert read_settings().index_folder == Path(folder)

    def test_is_where_it_is_said_to_be(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("HOME", "/home/ada")
        assert read_settings(cache_dir="/scratch/x").index_folder == Path("/scratch/x")
        assert read_settings(cache_dir="~/x").index_folder == Path("/home/ada/x")

    def test_is_nowhere_where_no_index_is_kept_or_there_is_no_home(self, monkeypatch: pytest.MonkeyPatch):
        assert read_settings(index_cache=False, cache_dir="/scratch/x").index_folder is None
        monkeypatch.delenv("HOME")
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setattr("os.path.expanduser", lambda path: path)  # a user who is not in the password file
        assert read_settings().index_folder is None
        assert read_settings(cache_dir="~/x").index_folder is None


class TestAllowedRoots:
    def test_may_begin_at_home(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("HOME", "/home/ada")
        monkeypatch.setenv("BATCHLENS_ALLOWED_ROOTS", "~/hub:/store")
        assert read_settings().allowed_roots == (Path("/home/ada/hub"), Path("/store"))

    def test_of_an_unknown_user_are_refused(self):
        assert complaint(allowed_roots="~nobody-of-this-name/hub").startswith("allowed_roots (BATCHLENS_ALLOWED_ROOTS): ")


class TestPaths:
    @pytest.mark.parametrize(("text", "paths"), [("a", ["a"]), ("a:b/c", ["a", "b/c"]), (":a::b:", ["a", "b"]), ("/x y/z", ["/x y/z"])])
    def test_of_a_variable_are_separated_by_colons(self, text: str, paths: list[str], monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("BATCHLENS_PATHS", text)
        assert read_settings().paths == tuple(map(Path, paths))

    def test_of_the_file_are_a_list(self, toml: Path):
        toml.write_text('paths = ["a:b", "c"]')
        assert read_settings().paths == (Path("a:b"), Path("c"))

    def test_none_at_all(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("BATCHLENS_PATHS", ":")
        assert complaint() == "paths (BATCHLENS_PATHS): Tuple should have at least 1 item after validation, not 0"


class TestDatasets:
    def test_have_defaults_of_their_own_beside_those_of_their_splits(self, toml: Path, monkeypatch: pytest.MonkeyPatch):
        toml.write_text("[datasets.pets]\nmax_resolution = 512\n[datasets.pets.train]\nbatch_size = 8\n[datasets.cars.train]\nbatch_size = 9\n")
        settings = read_settings()
        assert [settings.for_dataset(name).max_resolution for name in ("pets", "cars", "boats")] == [512, None, None]
        assert settings.for_dataset("pets").splits == {"train": SplitSettings(batch_size=8)}
        assert settings.for_split("pets", "train").batch_size == 8
        monkeypatch.setenv("BATCHLENS_DATASETS__CARS__MAX_RESOLUTION", "256")
        assert read_settings().for_dataset("cars") == DatasetSettings(max_resolution=256, train=SplitSettings(batch_size=9))

    @pytest.mark.parametrize("value", ["0", "8193", "1.5", '"large"'])
    def test_are_checked(self, value: str, toml: Path):
        toml.write_text(f"[datasets.pets]\nmax_resolution = {value}\n")
        assert complaint().startswith("datasets.pets.max_resolution (BATCHLENS_DATASETS__PETS__MAX_RESOLUTION): Input should be ")

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("maxresolution = 3", "There is no such setting (did you mean max_resolution?)"),
            ('layuot = "class/**"', "There is no such setting (did you mean layout?)"),
            ('train = "small"', "There is no such setting, and settings of a split are a table"),
        ],
    )
    def test_that_are_no_settings_are_told(self, line: str, message: str, toml: Path):
        toml.write_text(f"[datasets.pets]\n{line}\n")
        name = line.partition(" ")[0]
        assert complaint() == f"datasets.pets.{name} (BATCHLENS_DATASETS__PETS__{name.upper()}): {message}"

    def test_have_a_layout(self, toml: Path):
        toml.write_text('[datasets.pets]\nlayout = "class/group/**"\n[datasets.cars]\n')
        assert read_settings().layouts == {"pets": "class/group/**"}
        toml.write_text('[datasets.pets]\nlayout = "group/class"\n')
        assert complaint() == (
            "datasets.pets.layout (BATCHLENS_DATASETS__PETS__LAYOUT): Input should be 'split/class/**', 'class/**' or 'class/group/**', not 'group/class'"
        )


class TestMisspeltVariables:
    def test_are_found_with_the_name_that_was_meant(self, monkeypatch: pytest.MonkeyPatch):
        for name in ("WORKRES", "BATCHSIZE", "Dataset__PETS__LAYOUT", "PROT"):
            monkeypatch.setenv(f"BATCHLENS_{name}", "1")
        assert misspelt_variables() == {
            "BATCHLENS_BATCHSIZE": "BATCHLENS_BATCH_SIZE",
            "BATCHLENS_Dataset__PETS__LAYOUT": "BATCHLENS_DATASETS",
            "BATCHLENS_PROT": "BATCHLENS_PORT",
            "BATCHLENS_WORKRES": "BATCHLENS_WORKERS",
        }

    @pytest.mark.parametrize(
        "name",
        ["BATCHLENS_CONFIG", "BATCHLENS_WORKERS", "batchlens_recipes__a", "BATCHLENS_DATA", "BATCHLENS_SERVICE_HOST", "BATCHLENS_PORT_8000_TCP", "WORKRES"],
    )
    def test_are_not_those_that_are_right_or_of_others(self, name: str, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv(name, "1")
        assert misspelt_variables() == {}


class TestSplits:
    def test_have_their_own_defaults(self, toml: Path):
        toml.write_text('[datasets.pets.train]\nrecipe = "small"\nbatch_size = 32\n\n[datasets.pets.val]\nshuffle = false\n\n[datasets."my cars".test]\n')
        settings = read_settings()
        assert settings.for_split("pets", "train") == SplitSettings(recipe="small", batch_size=32, shuffle=None)
        assert settings.for_split("pets", "val") == SplitSettings(shuffle=False)
        for nowhere in (("my cars", "test"), ("pets", "test"), ("cars", "train")):
            assert settings.for_split(*nowhere) == SplitSettings()

    def test_are_checked(self, toml: Path):
        toml.write_text("[datasets.pets.train]\nbatch_size = 0\nbatchsize = 8\n")
        assert complaint() == (
            "datasets.pets.train.batch_size (BATCHLENS_DATASETS__PETS__TRAIN__BATCH_SIZE): Input should be greater than or equal to 1, not '0'; "
            "datasets.pets.train.batchsize: There is no such setting (did you mean batch_size?)"
        )

    def test_keep_to_the_largest_batch(self, toml: Path):
        toml.write_text("max_batch_size = 16\n\n[datasets.pets.train]\nbatch_size = 17\n")
        assert complaint() == (
            "datasets.pets.train.batch_size (BATCHLENS_DATASETS__PETS__TRAIN__BATCH_SIZE): 17 is above max_batch_size (BATCHLENS_MAX_BATCH_SIZE), which is 16"
        )
        toml.write_text("max_batch_size = 17\n\n[datasets.pets.train]\nbatch_size = 17\n")
        assert read_settings().for_split("pets", "train").batch_size == 17


BAD = [
    ("PORT", "70000", "less than or equal to 65535, not '70000'"),
    ("PORT", "-1", "greater than or equal to 0, not '-1'"),
    ("PORT", "tcp://10.0.0.1:8000", "valid integer.*, not 'tcp://10.0.0.1:8000'"),
    ("ALLOWED_ORIGINS", "https://dash.example/x", "'https://dash.example/x' is no origin"),
    ("ALLOWED_ORIGINS", "dash.example", "is no origin"),
    ("FRAME_ANCESTORS", "https://x;script-src", "is no source of a Content-Security-Policy"),
    ("ROOT_PATH", "lab", "a path like /lab/batchlens is allowed.*, not 'lab'"),
    ("ROOT_PATH", "//evil.example", "without '..' and '//'"),
    ("FORWARDED_ALLOW_IPS", "proxy.lab.example", "does not appear to be an IPv4 or IPv6 network"),
    ("FORWARDED_ALLOW_IPS", "10.0.0.1/8", "has host bits set"),
    ("FORWARDED_ALLOW_IPS", "*,10.0.0.1", "stands alone"),
    ("DEVICE", "gpu", r"match pattern '\^\(auto\|cpu\|cuda:\\d\+\)\$', not 'gpu'"),
    ("DEVICE", "cuda:", "match pattern"),
    ("WORKERS", "-1", "greater than or equal to 0"),
    ("WORKERS", "257", "less than or equal to 256"),
    ("SLAB_BYTES", "1048575", "greater than or equal to 1048576"),
    ("ARENA_BYTES", "-1", "greater than or equal to 0"),
    ("MAX_LOADERS", "0", "greater than or equal to 1"),
    ("QUEUE_LENGTH", "0", "greater than or equal to 1"),
    ("DEADLINE_SECONDS", "0", "greater than 0"),
    ("DEADLINE_SECONDS", "nan", "not 'nan'"),
    ("DEADLINE_SECONDS", "inf", "less than or equal to 3600"),
    ("MAX_BATCH_SIZE", "0", "greater than or equal to 1"),
    ("MAX_IMAGE_PIXELS", "many", "valid integer"),
    ("MAX_IMAGE_BYTES", "1.5", "valid integer"),
    ("BATCH_SIZE", "0", "greater than or equal to 1"),
    ("BATCH_SIZE", "1025", r"1025 is above max_batch_size \(BATCHLENS_MAX_BATCH_SIZE\), which is 1024"),
    ("SHUFFLE", "maybe", "valid boolean.*, not 'maybe'"),
    ("RECIPES", "{", "valid JSON"),
    ("RECIPES", '["Resize(8)"]', "valid dictionary"),
    ("DATASETS", '{"pets": 3}', "valid dictionary or instance of DatasetSettings"),
    ("INDEX_CACHE", "maybe", "valid boolean"),
    ("LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error', not 'loud'"),
]


class TestComplaints:
    @pytest.mark.parametrize(("name", "text", "message"), BAD)
    def test_name_field_variable_and_what_is_allowed(self, name: str, text: str, message: str, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv(f"BATCHLENS_{name}", text)
        with pytest.raises(InvalidSettings, match=rf"^Bad settings: {name.lower()}[.\w]* \(BATCHLENS_{name}\w*\): .*{message}"):
            read_settings()

    def test_every_field_that_can_be_wrong_is_tried(self):
        assert {name.lower() for name, *_ in BAD} == set(Settings.model_fields) - {"paths", "host", "allowed_hosts", "allowed_roots", "token", "cache_dir"}

    def test_of_flags_and_the_file_read_the_same(self, toml: Path):
        toml.write_text("port = 70000")
        assert complaint() == complaint(port=70000) == "port (BATCHLENS_PORT): Input should be less than or equal to 65535, not '70000'"

    def test_several_come_at_once(self):
        assert complaint(port=-1, workers=-1, host="").count("; ") == 2

    def test_long_values_are_cut(self):
        assert len(complaint(device="x" * 10_000)) < 300

    def test_unknown_keys_of_the_file(self, toml: Path):
        toml.write_text(f'prot = 1\ntokn = "{SECRET}"\n')
        assert complaint() == "prot: There is no such setting (did you mean port?); tokn: There is no such setting (did you mean token?)"

    def test_unknown_flags(self):
        assert complaint(prot=1) == "prot: There is no such setting (did you mean port?)"
        assert complaint(colour=1) == "colour: There is no such setting"

    def test_a_file_that_is_no_toml(self, toml: Path):
        toml.write_text("port = 1\nport 2\n")
        assert complaint().startswith(f"{toml} cannot be read: ")
        assert "line 2" in complaint()

    def test_a_file_that_is_no_text(self, toml: Path):
        toml.write_bytes(b"port = 1 # caf\xe9")
        assert complaint().startswith(f"{toml} cannot be read: ")

    def test_a_named_file_that_is_not_there(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        for path in (tmp_path / "nowhere.toml", tmp_path):
            monkeypatch.setenv("BATCHLENS_CONFIG", str(path))
            assert complaint() == f"there is no file {path} that can be read (BATCHLENS_CONFIG)."


class TestToken:
    @pytest.fixture(autouse=True)
    def token(self, no_variables: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("BATCHLENS_TOKEN", SECRET)

    def test_is_read_and_does_not_show(self):
        settings = read_settings()
        assert settings.token is not None
        assert settings.token.get_secret_value() == SECRET
        for shown in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
            assert SECRET not in shown

    @pytest.mark.parametrize("flags", [{"port": -1}, {"batch_size": 5000}, {"nonsense": 1}])
    def test_does_not_show_in_complaints_about_others(self, flags: dict[str, object]):
        assert SECRET not in complaint(**flags)

    def test_does_not_show_in_complaints_about_itself(self, toml: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("BATCHLENS_TOKEN", SECRET[:7])
        assert complaint() == "token (BATCHLENS_TOKEN): Value should have at least 8 items after validation, not 7"
        monkeypatch.delenv("BATCHLENS_TOKEN")
        toml.write_text("token = 1234567890")
        assert complaint() == "token (BATCHLENS_TOKEN): Input should be a valid string"

    def test_does_not_show_in_tracebacks(self):
        with pytest.raises(InvalidSettings) as caught:
            read_settings(port=-1)
        assert SECRET not in str(caught.getrepr(chain=True).reprcrash) + repr(caught.value) + repr(caught.value.__cause__)


def test_settings_are_frozen():
    settings = read_settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1
    with pytest.raises(ValidationError, match="frozen"):
        settings.for_split("a", "b").shuffle = True


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("localhost", True),
        ("LOCALHOST", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
        ("lab.example", False),
        ("127.0.0.1.lab.example", False),
        ("127.lab.example", False),
        ("localhost.lab.example", False),
    ],
)
def test_only_this_machines_own_addresses_are_loopback(host: str, is_loopback: bool):
    assert read_settings(host=host).is_loopback is is_loopback


@pytest.mark.parametrize(("processors", "workers"), [(1, 1), (2, 1), (3, 2), (64, 63)])
def test_workers_leave_one_processor_to_the_server(processors: int, workers: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Processor, "count", lambda _: processors)
    assert read_settings().workers == workers
