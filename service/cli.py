"""The command `batchlens`. Heavy imports wait until a command needs them: worker processes import this module too."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import signal
import socket
import sys
import time
import warnings
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from service import __version__
from service.api import logs
from service.api.startup_responder import StartupResponder
from service.errors import BatchlensError, InvalidParameter, StartupError
from service.plural import count_of
from service.processor import Processor
from service.settings import Settings, read_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from service.checker import CheckReport
    from service.sources.catalogue import Catalogue
    from service.sources.source import Dataset
    from service.sources.source import Progress as TellProgress
    from service.tuning.report import Report

cli = typer.Typer(
    name="batchlens",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # Its tables cut the names of flags and variables where the terminal is narrow.
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
_OUT = Console()
_ERR = Console(stderr=True)
_SHOWN_CLASSES = 8
_SHOWN_ORIENTED = 5
_PIPED_COLUMNS = 10_000
_QUIET_SECONDS = 1.0
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DESCRIPTORS = ("/dev/stdout", "/dev/stderr", "/dev/fd/")
_ELSEWHERE = """No flags, since others on this machine can read them: BATCHLENS_TOKEN, the bearer token that writes need. In batchlens.toml, or the file that
BATCHLENS_CONFIG names: all settings above, named recipes in [recipes], layout and max_resolution of a dataset in [datasets.NAME], and
recipe, batch_size and shuffle of one split in [datasets.NAME.SPLIT]."""


def main() -> None:
    """Runs the command line; a mistake of the user's ends with one clear line and exit code 2."""
    try:
        sys.exit(cli(standalone_mode=False))
    except BatchlensError as exc:
        _fail(exc.detail)
    except typer.TyperException as exc:  # a flag or a value that there is not
        context: typer.Context | None = getattr(exc, "ctx", None)
        advice = f" See {context.command_path} --help." if context else ""
        _fail(" ".join(exc.format_message().split()).rstrip(".") + "." + advice)


def _fail(detail: str) -> NoReturn:
    _ERR.print(Text.assemble(("Error:", "bold red"), " ", detail), soft_wrap=True)
    sys.exit(2)


@cli.callback(invoke_without_command=True, help="Every augmented batch has a URL.")
def _top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        _OUT.print(f"batchlens {__version__}", highlight=False)
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)


def _help(field: str) -> str:
    return f"{Settings.model_fields[field].description} [BATCHLENS_{field.upper()}]"


Paths = Annotated[list[Path] | None, typer.Argument(help=f"{_help('paths')} Default: data.", show_default=False)]
Data = Annotated[list[Path] | None, typer.Option("--data", "-d", help=f"{_help('paths')} May be repeated. Default: data.", show_default=False)]


def _option(field: str) -> Any:  # noqa: ANN401  typer's own type is private
    default = Settings.model_fields[field].get_default()
    shown = "" if default in (None, "", ()) or field == "workers" else f" Default: {','.join(default) if isinstance(default, tuple) else default}."
    return typer.Option(help=_help(field) + shown, show_default=False)


@cli.command(epilog=_ELSEWHERE, short_help="Serve datasets over HTTP.")
def serve(
    paths: Paths = None,
    allowed_roots: Annotated[str | None, _option("allowed_roots")] = None,
    host: Annotated[str | None, _option("host")] = None,
    port: Annotated[int | None, _option("port")] = None,
    allowed_hosts: Annotated[str | None, _option("allowed_hosts")] = None,
    allowed_origins: Annotated[str | None, _option("allowed_origins")] = None,
    frame_ancestors: Annotated[str | None, _option("frame_ancestors")] = None,
    root_path: Annotated[str | None, _option("root_path")] = None,
    forwarded_allow_ips: Annotated[str | None, _option("forwarded_allow_ips")] = None,
    device: Annotated[str | None, _option("device")] = None,
    workers: Annotated[int | None, _option("workers")] = None,
    slab_bytes: Annotated[int | None, _option("slab_bytes")] = None,
    arena_bytes: Annotated[int | None, _option("arena_bytes")] = None,
    max_loaders: Annotated[int | None, _option("max_loaders")] = None,
    queue_length: Annotated[int | None, _option("queue_length")] = None,
    deadline_seconds: Annotated[float | None, _option("deadline_seconds")] = None,
    max_batch_size: Annotated[int | None, _option("max_batch_size")] = None,
    max_image_pixels: Annotated[int | None, _option("max_image_pixels")] = None,
    max_image_bytes: Annotated[int | None, _option("max_image_bytes")] = None,
    batch_size: Annotated[int | None, _option("batch_size")] = None,
    shuffle: Annotated[bool | None, _option("shuffle")] = None,
    cache_dir: Annotated[Path | None, _option("cache_dir")] = None,
    index_cache: Annotated[bool | None, _option("index_cache")] = None,
    log_level: Annotated[str | None, _option("log_level")] = None,
) -> None:
    """Serves datasets over HTTP until it is told to stop."""
    flags = locals()
    settings = read_settings(**{**flags, "paths": tuple(paths) if paths else None})
    logs.configure(settings.log_level, has_access_lines=settings.log_level == "debug" or not sys.stderr.isatty())
    # Before anything heavy is loaded: a port in use shows at once, and the responder is a small fork.
    with _listen(settings) as listener, StartupResponder(listener, settings.root_path) as responder:
        if settings.workers:
            _preload()
        _serve(settings, listener, responder)


def _preload() -> None:
    from service.loading.forkserver import preload

    on_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the workers' processes too; this one ends them.
    preload()  # It loads torch in a process of its own while this one does the same.
    signal.signal(signal.SIGINT, on_interrupt)


def _serve(settings: Settings, listener: socket.socket, responder: StartupResponder) -> None:
    from service.api.server import Server
    from service.app import create_app

    with _listing_drawn() as progress:
        app = create_app(settings, progress=progress)
    server = Server(app, on_ready=responder.stop)
    for each in (signal.SIGTERM, signal.SIGINT):  # From now on; uvicorn listens later.
        signal.signal(each, server.handle_exit)
    services = app.state.services
    _print_datasets(settings, services.catalogue)
    device = services.selection.current
    workers = count_of(settings.workers, "worker")
    _OUT.print(f"Device  [bold]{device.id}[/] ({escape(device.name)}), {workers} for each split in use", highlight=False, soft_wrap=True)
    _OUT.print(f"URL     [bold]{escape(_url(settings, listener))}[/]", highlight=False, soft_wrap=True)
    server.run(sockets=[listener])


@cli.command(short_help="Answer one request without a server.")
def get(
    path: Annotated[str, typer.Argument(help="What to ask for, for instance /datasets or '/datasets/shapes/splits/train/batches/0/0.png?seed=1'.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write; - for standard output, which is the default.")] = None,
    data: Data = None,
) -> None:
    """Answers one request without a server: the body goes to standard output or a file, problems to standard error with exit code 1.

    Pictures and tensors go to a terminal only with --output -.
    """
    settings = read_settings(paths=tuple(data) if data else None, workers=0, allowed_hosts=("localhost",))
    logs.configure("warning")
    response = asyncio.run(_request(settings, path))
    if response.is_error:
        _ERR.print(response.text, highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(1)
    if output is None or str(output) == "-":
        _print_body(response, is_forced=output is not None)
    else:
        _write(output, response.content)


def _print_body(response: httpx.Response, *, is_forced: bool) -> None:
    """Prints text with an end of line; anything else as it is, but not onto a terminal unless that is forced."""
    content, kind = response.content, response.headers.get("content-type", "").partition(";")[0]
    is_text = kind.startswith("text/") or kind.endswith(("json", "xml", "javascript"))
    if not is_text and not is_forced and sys.stdout.isatty():
        raise InvalidParameter('Binary output can mess up your terminal. Use "--output -" to write it there anyway, or "--output FILE" to save it.')
    sys.stdout.buffer.write(content + b"\n" if is_text and not content.endswith(b"\n") else content)
    sys.stdout.buffer.flush()


async def _request(settings: Settings, path: str) -> httpx.Response:
    import httpx

    from service.app import create_app

    with _listing_drawn() as progress:
        app = create_app(settings, progress=progress)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", follow_redirects=True) as client:
            try:
                return await client.get(f"/{path.removeprefix('/')}")
            except httpx.InvalidURL as exc:
                raise InvalidParameter(f"{path[:200]!r} is no path to ask for: {exc}") from exc


@cli.command(short_help="List the datasets.")
def datasets(data: Data = None) -> None:
    """Lists the datasets that would be served, and what is left out; exit code 1 if one of them cannot be served."""
    settings = read_settings(paths=tuple(data) if data else None)
    catalogue = _open_catalogue(settings)
    _print_datasets(settings, catalogue)
    raise typer.Exit(1 if catalogue.unavailable else 0)


@cli.command(short_help="Read every image, and report faults.")
def check(data: Data = None, as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False) -> None:
    """Reads every image, renders it with its split's recipe, and reports those that cannot be used; exit code 1 if there are any."""
    settings = read_settings(paths=tuple(data) if data else None, index_cache=False)
    logs.configure("warning")
    catalogue = _open_catalogue(settings)
    from service.checker import IN_PROCESS, Checker

    total = sum(len(split) for dataset in catalogue.datasets for split in dataset.splits.values())
    if total > IN_PROCESS:
        _preload()
    checker = Checker(settings, catalogue)
    with Progress(console=_ERR, transient=True, disable=not _ERR.is_terminal or total <= IN_PROCESS) as progress:
        task = progress.add_task("reading", total=total)
        for checked in checker.run():
            progress.advance(task, checked)
    if as_json:
        sys.stdout.write(json.dumps(checker.report.to_json(), indent=2) + "\n")
    else:
        _print(_tabulate_check(checker.report))
        _print_unavailable(catalogue)
    raise typer.Exit(0 if checker.report.is_clean else 1)


def _tabulate_check(report: CheckReport) -> Group:
    table = Table("dataset", "split", "sample", "file", "problem")
    for each in report.broken:
        table.add_row(*(_visible(str(cell)) for cell in (each.dataset, each.split, each.sample, each.file, each.problem)))
    parts = [table, f"{len(report.broken)} of {count_of(report.checked, 'image')} cannot be used."] if report.broken else [_praise(report.checked)]
    if report.oriented:
        shown = ", ".join(f"{each.file} ({each.exif_orientation})" for each in report.oriented[:_SHOWN_ORIENTED])
        more = f", and {len(report.oriented) - _SHOWN_ORIENTED} more" if len(report.oriented) > _SHOWN_ORIENTED else ""
        note = "Note: the EXIF orientation of {} of {} is ignored, as ImageFolder ignores it: {}."
        parts.append(_visible(note.format(len(report.oriented), count_of(report.checked, "image"), shown + more)))
    return Group(*parts)


def _praise(total: int) -> str:
    return "The only image can be used." if total == 1 else f"All {count_of(total, 'image')} can be used."


@cli.command(short_help="Measure how many workers to set.")
def tune(
    data: Data = None,
    dataset: Annotated[str | None, typer.Option(help="Dataset to read; the first by default.")] = None,
    split: Annotated[str | None, typer.Option(help="Its split; train by default, or the first.")] = None,
    recipe: Annotated[str | None, typer.Option(help="A recipe's name or text; the split's by default.")] = None,
    workers: Annotated[str | None, typer.Option(help="Numbers of workers to try. Default: 0, and powers of two up to the processors.")] = None,
    batch_sizes: Annotated[str, typer.Option(help="Batch sizes to try.")] = "16,64",
    consumer_ms: Annotated[float | None, typer.Option(min=0.0, help="What the consumer computes on a batch, in milliseconds. Default: 100.")] = None,
    consumer_images_per_second: Annotated[float | None, typer.Option(min=0.1, help="Or: what the consumer takes at most.")] = None,
    memory_bytes: Annotated[int | None, typer.Option(min=1, help="Most memory that may be taken, by this process and its workers.")] = None,
    memory_fraction: Annotated[float | None, typer.Option(min=0.0, max=1.0, help="Or: which part of the free memory may be taken. Default: 0.8.")] = None,
    seconds_per_setting: Annotated[float, typer.Option(min=0.1, max=3600.0, help="Time to measure each setting.")] = 6.0,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Measures how many workers this machine needs, and says what to set; exit code 1 if no setting fits into memory, 130 after Ctrl-C."""
    wishes = {name: value for name, value in locals().items() if name not in {"data", "as_json"}}
    settings = read_settings(paths=tuple(data) if data else None)
    _preload()
    from service.tuning.tuning import Tuning, Wishes

    warnings.filterwarnings("ignore", message="This DataLoader will create", category=UserWarning)  # Whether there are too many workers is what is asked.
    with _listing_drawn() as listing:
        tuning = Tuning(settings, Wishes(**wishes), listing)
    code = 0
    try:
        with Progress(console=_ERR, transient=True) as progress:
            task = progress.add_task("", total=None)
            tuning.run(
                lambda doing, done, total: progress.update(task, description=escape(doing), completed=done, total=total),
                lambda text: _ERR.print(Text(text, "yellow"), soft_wrap=True),
            )
    except KeyboardInterrupt:
        code = 130
    _print_report(tuning.report, as_json)
    raise typer.Exit(code or int(tuning.report.recommendation is None))


def _print_report(report: Report, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(report.to_json(), indent=2) + "\n")
    elif report.results:
        _print(report.to_table())


@cli.command(short_help="Show versions, devices and memory.")
def doctor() -> None:
    """Tells what the service would work with: versions, devices, memory, workers."""
    from service.devices.inventory import Inventory
    from service.encoding.fingerprint import Fingerprint

    settings, inventory = read_settings(), Inventory()
    table = Table("what", "found", show_header=False)
    for name, value in asdict(Fingerprint.of_this_process()).items():
        table.add_row(name, escape(str(value)))
    cuda = inventory.cuda()
    table.add_row("cuda", f"{count_of(cuda.device_count, 'device')}, driver {cuda.driver}" if cuda.available else "not available")
    for device in inventory.devices():
        free = "?" if device.memory.free_bytes is None else f"{device.memory.free_bytes / 2**30:.1f}"
        table.add_row(device.id, f"{escape(device.name)}, {free} of {device.memory.total_bytes / 2**30:.1f} GiB free")
    inventory.close()
    table.add_row("processors", str(Processor().count()))
    table.add_row("workers", f"{settings.workers:,} for each split in use")
    table.add_row("slab", f"{settings.slab_bytes / 2**20:.0f} MiB for each split in use")
    _print(table)


def _print(table: RenderableType) -> None:
    """Print a table: as wide as the terminal, or as its content where standard output is none, so that programs get it whole."""
    console = _OUT if _OUT.is_terminal else Console(width=_PIPED_COLUMNS)
    console.print(table)


def _open_catalogue(settings: Settings) -> Catalogue:
    from service.sources.catalogue import Catalogue

    with _listing_drawn() as progress:
        return Catalogue.open(settings, progress)


@contextmanager
def _listing_drawn() -> Iterator[TellProgress]:
    """Draws how far the listing of datasets is, on standard error if that is a terminal, where it takes longer than a second."""
    columns = (TextColumn("listing {task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("folders, {task.fields[images]:,} images"))
    bar = Progress(*columns, TimeElapsedColumn(), console=_ERR, transient=True, auto_refresh=False)
    task = bar.add_task("", images=0)
    next_at = time.monotonic() + _QUIET_SECONDS if _ERR.is_terminal else float("inf")

    def show(dataset: str, listed: int, known: int, images: int) -> None:
        nonlocal next_at
        if time.monotonic() < next_at:
            return
        next_at = time.monotonic() + 0.1
        bar.start()
        bar.update(task, description=escape(dataset), completed=listed, total=known, images=images, refresh=True)

    try:
        yield show
    finally:
        if _ERR.is_terminal:  # Else it would end with an empty line.
            bar.stop()


def _print_datasets(settings: Settings, catalogue: Catalogue) -> None:
    from service.sources.unknown_names import find_unknown_names

    table = Table("dataset", "split", "size", "classes")
    for dataset in catalogue.datasets:
        for split in dataset.splits.values():
            counts = dataset.class_counts(split)
            shown = ", ".join(f"{name} {count}" for name, count in list(counts.items())[:_SHOWN_CLASSES])
            more = f", and {len(counts) - _SHOWN_CLASSES} more" if len(counts) > _SHOWN_CLASSES else ""
            table.add_row(_visible(dataset.name), _visible(split.name), str(len(split)), _visible(shown + more))
    _print(table)
    notes = [f"{dataset.name}: {note}" for dataset in catalogue.datasets for note in _notes_of(dataset)]
    for note in [*notes, *catalogue.notes, *find_unknown_names(settings, catalogue)]:
        _OUT.print(_visible(note), style="yellow", highlight=False, soft_wrap=True)
    _print_unavailable(catalogue)


def _print_unavailable(catalogue: Catalogue) -> None:
    for name, reason in catalogue.unavailable.items():
        _OUT.print(_visible(f"{name} is not served: {reason}"), style="red", highlight=False, soft_wrap=True)


def _visible(text: str) -> str:
    """Return text as a terminal may show it: names of files can hold control characters, which could rewrite what stands there."""
    return escape(_CONTROL.sub("\ufffd", text))


def _notes_of(dataset: Dataset) -> list[str]:
    """Return a dataset's notes, and what only the operator may know: where on this machine refused links lead."""
    return [*dataset.notes, *([f"The refused links lead into {dataset.refused_to}."] if dataset.refused_to else [])]


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        settings.host.encode("idna")  # create_server would leave its socket open if this failed there
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as exc:
        reason = (exc.strerror or str(exc)).partition(" (while ")[0]  # the address follows there, once more
        advice = " Another port: --port." if exc.errno in {errno.EADDRINUSE, errno.EACCES} else ""
        raise StartupError(f"Cannot listen on {settings.host} port {settings.port}: {reason}.{advice}") from exc
    except UnicodeError as exc:
        raise StartupError(f"Cannot listen on {settings.host!r}: that is neither an address nor a host name.") from exc


def _url(settings: Settings, listener: socket.socket) -> str:
    """Gives a URL with a name that the service's own host check lets pass."""
    allowed = settings.allowed_hosts
    everywhere = (socket.gethostname(), "localhost", *(each for each in allowed if "*" not in each))
    names = {"0.0.0.0": everywhere, "::": everywhere, "127.0.0.1": ("localhost",)}.get(settings.host, ())  # noqa: S104
    host = next((each for each in names if each in allowed or "*" in allowed), settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


def _write(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all; into a pipe or a device (`/dev/null`, `/dev/stdout`) as it comes. A link stays, what it points to is written."""
    target = Path(os.path.realpath(path))
    part = target.parent / f".batchlens-{os.getpid()}.part"
    try:
        if (path.exists() and not path.is_file()) or str(path).startswith(_DESCRIPTORS):
            with path.open("ab") as file:
                file.write(content)
        else:
            part.write_bytes(content)
            part.replace(target)
    except OSError as exc:
        with suppress(OSError):
            part.unlink()
        raise StartupError(f"Cannot write {path}: {exc.strerror or exc}.") from exc
