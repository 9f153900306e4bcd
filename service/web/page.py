"""`/`: the page for people. Plain HTML, one batch of every split, links to walk on; no script, nothing from outside."""

from html import escape
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI
from fastapi import Query as QueryParameters
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from service.api.datasets import describe_split
from service.api.dependencies import Services, ServicesDep
from service.api.errors import problems
from service.api.orders import make_address
from service.api.queries import EpochQuery, PageQuery
from service.encoding.formats import FORMATS
from service.planning.address import Address
from service.planning.plan import count_steps
from service.sources.source import Dataset, Split

_FRAME = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Batchlens</title>
<link rel="icon" href="/assets/icon.svg">
<link rel="stylesheet" href="/assets/page.css">
</head>
<body>
<header>
<h1><img src="/assets/icon.svg" width="28" height="28" alt=""> Batchlens</h1>
<p>every augmented batch has a URL</p>
<nav><ul>
<li><a href="/docs">API</a></li>
<li><a href="/datasets">datasets</a></li>
<li><a href="/recipes">recipes</a></li>
<li><a href="/loaders">loaders</a></li>
<li><a href="/devices">devices</a></li>
</ul></nav>
</header>
<main>
<form action="/" method="get">
<label>epoch <input type="number" name="epoch" min="0" value="{epoch}" required></label>
<label>step <input type="number" name="step" min="0" value="{step}" required></label>
<label>seed <input type="number" name="seed" min="0" value="{seed}" required></label>
<button>show</button>
</form>
{sections}
</main>
<footer><p class="fact">Renders on {device}. The same link shows the same pixels, tomorrow and elsewhere.</p></footer>
</body>
</html>
"""
_LAST_EPOCH = 2**63 - 1
_SHOWN_SAMPLES = 8
_SHOWN_CLASSES = 24
_LAYOUTS = {"(max-width: 30rem)": (2, 160), "(max-width: 60rem)": (4, 160), "": (8, 132)}
"""Columns and tile size by width of the window, so that titles stay readable; screens with twice the pixels get tiles twice as large."""


def install(app: FastAPI) -> None:
    """Adds the page and its assets to the app."""
    app.mount("/assets", StaticFiles(directory=Path(__file__).parent / "assets"), name="assets")
    app.add_api_route("/", get_page, response_class=HTMLResponse, tags=["page"], responses=problems())


def get_page(services: ServicesDep, query: Annotated[PageQuery, QueryParameters()]) -> HTMLResponse:
    """Shows every dataset with one batch of each split, at the epoch, step and seed of the query."""
    sections = "\n".join(_section(services, dataset, query) for dataset in services.catalogue.datasets)
    return HTMLResponse(_FRAME.format(sections=sections, device=escape(services.selection.id), **query.model_dump()))


def _section(services: Services, dataset: Dataset, query: PageQuery) -> str:
    splits = "\n".join(_article(services, dataset, split, query) for split in dataset.splits.values())
    count = len(dataset.classes)
    return (
        f"<section><h2>{escape(dataset.name)}</h2><p>{escape(dataset.source)}, {count} class{'es' * (count != 1)},"
        f" version <code>{dataset.version}</code></p>\n{splits}</section>"
    )


def _article(services: Services, dataset: Dataset, split: Split, query: PageQuery) -> str:
    shown = EpochQuery(seed=query.seed, batch_size=min(_SHOWN_SAMPLES, services.settings.max_batch_size), on_error="mask")
    address, recipe = make_address(services, dataset, split, shown, query.epoch, 0)
    steps = count_steps(len(split), address.batch_size)
    address = address.at(min(query.step, steps - 1))
    return f"""<article><h3>{escape(split.name)}</h3>
<p class="fact">{len(split)} samples; <code>{escape(recipe.text)}</code></p>
{_classes(services, dataset, split)}
{_picture(address)}
<div class="pager">{_pager(query, address.step, steps)}</div>
<ul class="links">{_links(address)}</ul></article>"""


def _picture(address: Address) -> str:
    """Shows a batch at a size that fits the window."""

    def link(columns: int, tile: int) -> str:
        return escape(f"{address.path}.png?{address.query}&columns={columns}&tile={tile}")

    *narrow, (_, (columns, tile)) = _LAYOUTS.items()
    sources = "".join(f'<source media="{media}" srcset="{link(*layout)}, {link(layout[0], 2 * layout[1])} 2x">' for media, layout in narrow)
    what = escape(f"batch {address.step} of {address.dataset} {address.split} in epoch {address.epoch}")
    return f'<picture>{sources}<img src="{link(columns, tile)}" srcset="{link(columns, 2 * tile)} 2x" alt="{what}" loading="lazy"></picture>'


def _links(address: Address) -> str:
    """Links to the same batch in every format, and to the split's listing."""
    formats = {name: f"{address.path}.{name}?{address.query}" for name in FORMATS}
    listing = address.path.partition("/batches/")[0] + "/samples"
    return "".join(f'<li><a href="{escape(target)}">{name}</a></li>' for name, target in (formats | {"all samples": listing}).items())


def _classes(services: Services, dataset: Dataset, split: Split) -> str:
    counts = describe_split(services, dataset, split).class_counts
    most = max(counts.values())
    items = "".join(
        f"<li><span>{escape(name)}</span><span>{count}</span>"
        f'<meter min="0" max="{most}" value="{count}" aria-label="{escape(name)}: {count} samples"></meter></li>'
        for name, count in list(counts.items())[:_SHOWN_CLASSES]
    )
    more = len(counts) - _SHOWN_CLASSES
    return f'<ul class="classes">{items}</ul>' + (f'<p class="fact">and {more} classes more</p>' if more > 0 else "")


def _pager(query: PageQuery, step: int, steps: int) -> str:
    def link(text: str, epoch: int, to: int) -> str:
        return f'<a href="/?epoch={epoch}&amp;step={to}&amp;seed={query.seed}">{text}</a>'

    parts = [f"<span>epoch {query.epoch}, step {step} (0 to {steps - 1})</span>"]
    parts += [link("previous step", query.epoch, step - 1)] * (step > 0)
    parts += [link("next step", query.epoch, step + 1)] * (step + 1 < steps)
    parts += [link("previous epoch", query.epoch - 1, step)] * (query.epoch > 0)
    parts += [link("next epoch", query.epoch + 1, step)] * (query.epoch < _LAST_EPOCH)
    return " ".join(parts)
