"""The command `batchlens`. Heavy imports wait until a command needs them: worker processes import this module too."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from service.errors import BatchlensError, SampleError, StartupError
from service.settings import Settings, read_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from service.sources.catalogue import Catalogue

cli = typer.Typer(name="batchlens", help="Every augmented batch has a URL.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
_OUT = Console()
_ERR = Console(stderr=True)
_GRACE_SECONDS = 8


def main() -> None:
    """Runs the command line; a mistake of the user's ends with one clear line and exit code 2."""
    try:
        cli()
    except BatchlensError as exc:
        _ERR.print(f"[bold red]Error:[/] {exc.detail}", highlight=False)
        sys.exit(2)


def _help(field: str) -> str:
    return f"{Settings.model_fields[field].description} \\[BATCHLENS_{field.upper()}]"


Paths = Annotated[list[Path] | None, typer.Argument(help=f"{_help('paths')} Default: data.", show_default=False)]
Data = Annotated[list[Path] | None, typer.Option("--data", "-d", help=f"{_help('paths')} May be repeated. Default: data.", show_default=False)]


def _option(field: str) -> Any:  # noqa: ANN401  typer's own type is private
    default = Settings.model_fields[field].get_default()
    shown = "" if default is None or field == "workers" else f" Default: {','.join(default) if isinstance(default, tuple) else default}."
    return typer.Option(help=_help(field) + shown, show_default=False)


@cli.command()
def serve(
    paths: Paths = None,
    host: Annotated[str | None, _option("host")] = None,
    port: Annotated[int | None, _option("port")] = None,
    allowed_hosts: Annotated[str | None, _option("allowed_hosts")] = None,
    device: Annotated[str | None, _option("device")] = None,
    workers: Annotated[int | None, _option("workers")] = None,
    slab_bytes: Annotated[int | None, _option("slab_bytes")] = None,
    queue_length: Annotated[int | None, _option("queue_length")] = None,
    deadline_seconds: Annotated[float | None, _option("deadline_seconds")] = None,
    max_batch_size: Annotated[int | None, _option("max_batch_size")] = None,
    max_image_pixels: Annotated[int | None, _option("max_image_pixels")] = None,
    max_image_bytes: Annotated[int | None, _option("max_image_bytes")] = None,
    batch_size: Annotated[int | None, _option("batch_size")] = None,
    shuffle: Annotated[bool | None, _option("shuffle")] = None,
    log_level: Annotated[str | None, _option("log_level")] = None,
) -> None:
    """Serves datasets over HTTP until it is told to stop."""
    flags = locals()
    settings = read_settings(**{**flags, "paths": tuple(paths) if paths else None})
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    if settings.workers:
        from service.loading.forkserver import preload

        preload()  # It loads torch in a process of its own while this one does the same.
    _serve(settings)


def _serve(settings: Settings) -> None:
    import uvicorn

    from service.app import create_app

    app = create_app(settings)
    listener = _listen(settings)
    services = app.state.services
    _OUT.print(_tabulate(services.catalogue))
    _OUT.print(
        f"Device  [bold]{services.selection.current.id}[/] ({services.selection.current.name}), {settings.workers} workers for each split in use",
        highlight=False,
    )
    _OUT.print(f"URL     [bold]{_url(listener)}[/]", highlight=False)
    config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=_GRACE_SECONDS)
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it once more after a clean end, which should be exit code 0.
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


@cli.command()
def get(
    path: Annotated[str, typer.Argument(help="What to ask for, for instance /datasets or '/datasets/shapes/splits/train/batches/0/0.png?seed=1'.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write; standard output by default.")] = None,
    data: Data = None,
) -> None:
    """Answers one request without a server: the body goes to standard output or a file, problems to standard error with exit code 1."""
    settings = read_settings(paths=tuple(data) if data else None, workers=0)
    response = asyncio.run(_request(settings, path))
    if response.is_error:
        _ERR.print(response.text, highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(1)
    if output is None:
        sys.stdout.buffer.write(response.content)
        sys.stdout.buffer.flush()
    else:
        _write(output, response.content)


async def _request(settings: Settings, path: str) -> httpx.Response:
    import httpx

    from service.app import create_app

    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", follow_redirects=True) as client:
            return await client.get(path)


@cli.command()
def datasets(data: Data = None) -> None:
    """Lists the datasets that would be served."""
    _OUT.print(_tabulate(_open_catalogue(read_settings(paths=tuple(data) if data else None))))


@cli.command()
def check(data: Data = None, as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False) -> None:
    """Reads every image and reports those that cannot be used; exit code 1 if there are any."""
    catalogue = _open_catalogue(read_settings(paths=tuple(data) if data else None))
    total = sum(len(split) for dataset in catalogue.datasets for split in dataset.splits.values())
    with Progress(console=_ERR, transient=True) as progress:
        read = progress.track(_find_broken(catalogue), total=total, description="reading")
        broken = [each for each in read if each is not None]
    if as_json:
        sys.stdout.write(json.dumps({"checked": total, "broken": broken}, indent=2) + "\n")
    else:
        table = Table("dataset", "split", "sample", "file", "problem")
        for each in broken:
            table.add_row(each["dataset"], each["split"], str(each["sample"]), each["file"], each["problem"])
        _OUT.print(table if broken else f"All {total} images can be read.")
    raise typer.Exit(1 if broken else 0)


def _find_broken(catalogue: Catalogue) -> Iterator[dict[str, Any] | None]:
    for dataset in catalogue.datasets:
        for split in dataset.splits.values():
            for index in range(len(split)):
                file = split.file(index)
                try:
                    dataset.reader.pixels(file)
                except SampleError as exc:
                    yield {"dataset": dataset.name, "split": split.name, "sample": index, "file": file.label, "code": exc.code, "problem": exc.detail}
                else:
                    yield None


@cli.command()
def doctor() -> None:
    """Tells what the service would work with: versions, devices, memory, workers."""
    from service.devices.inventory import Inventory
    from service.encoding.fingerprint import Fingerprint

    settings, inventory = read_settings(), Inventory()
    table = Table("what", "found", show_header=False)
    for part in Fingerprint.of_this_process().text.split(";"):
        table.add_row(*part.split("="))
    cuda = inventory.cuda()
    table.add_row("cuda", f"{cuda.device_count} devices, driver {cuda.driver}" if cuda.available else "not available")
    for device in inventory.devices():
        table.add_row(device.id, f"{device.name}, {(device.memory.free_bytes or 0) / 2**30:.1f} of {(device.memory.total_bytes or 0) / 2**30:.1f} GiB free")
    table.add_row("processors", str(len(os.sched_getaffinity(0))))
    table.add_row("workers", f"{settings.workers} for each split in use")
    table.add_row("slab", f"{settings.slab_bytes / 2**20:.0f} MiB for each split in use")
    _OUT.print(table)


def _open_catalogue(settings: Settings) -> Catalogue:
    from service.sources.catalogue import Catalogue

    return Catalogue(settings.paths, settings.max_image_pixels, settings.max_image_bytes)


def _tabulate(catalogue: Catalogue) -> Table:
    table = Table("dataset", "split", "size", "classes")
    for dataset in catalogue.datasets:
        for split in dataset.splits.values():
            counts = dataset.class_counts(split)
            shown = ", ".join(f"{name} {count}" for name, count in list(counts.items())[:8])
            table.add_row(dataset.name, split.name, str(len(split)), shown + (f", and {len(counts) - 8} more" if len(counts) > 8 else ""))
    return table


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as exc:
        raise StartupError(f"Cannot listen on {settings.host} port {settings.port}: {exc.strerror or exc}. Another port: --port.") from exc


def _url(listener: socket.socket) -> str:
    host, port, *_ = listener.getsockname()
    shown = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname(), "127.0.0.1": "localhost"}.get(host, host)  # noqa: S104
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def _write(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError as exc:
        part.unlink(missing_ok=True)
        raise StartupError(f"Cannot write {path}: {exc.strerror or exc}.") from exc
