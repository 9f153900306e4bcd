"""The plain form of the page, for browsers without scripts: a batch of every split as one picture, links to walk on."""

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from urllib.parse import urlencode

from service.api.datasets import describe_split
from service.api.dependencies import Services
from service.api.orders import make_address
from service.api.queries import EpochQuery, PageQuery
from service.encoding.formats import FORMATS
from service.errors import BatchlensError
from service.planning.address import Address
from service.planning.plan import count_steps
from service.plural import count_of
from service.sources.source import Dataset, Split

_LAST_EPOCH = 2**63 - 1
_SHOWN_CLASSES = 24
_LAYOUTS = {"(max-width: 30rem)": (2, 160), "(max-width: 60rem)": (4, 160), "": (8, 132)}
"""Columns and tile size by width of the window, so that titles stay readable; screens with twice the pixels get tiles twice as large."""


def describe(services: Services, query: PageQuery, base: str) -> str:
    """Return the sections of the datasets that the query asks for, as HTML, or that there is none. Links begin with `base`, which ends with a slash."""
    served = services.catalogue.datasets
    chosen = [each for each in served if query.dataset in {None, each.name}]
    sections = [_section(services, dataset, query, base) for dataset in chosen] or [
        _unknown("dataset", query.dataset, {each.name: {"dataset": each.name} for each in served})
    ]
    return "\n".join([*sections, _unavailable(services)])


def describe_faults(faults: Sequence[str]) -> str:
    """Return what is wrong with the query, as HTML; nothing where all is well."""
    return f'<p class="problem" role="alert">The link could not be read in full: {escape(" ".join(faults))}</p>\n' if faults else ""


def fields(query: PageQuery) -> str:
    """Gives the fields of the form that walks: three to fill in, and what else the query says, hidden."""
    seen = {
        name: f'<label>{name} <input type="number" name="{name}" min="0" value="{getattr(query, name)}" required></label>' for name in ("epoch", "step", "seed")
    }
    hidden = [f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in _said(query).items() if name not in seen]
    return "\n".join([*seen.values(), *hidden])


def _said(query: PageQuery) -> dict[str, str]:
    """Lists what a query says besides the defaults, as a query has it."""
    values = query.model_dump(by_alias=True, exclude_defaults=True)
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()}


def _unknown(noun: str, name: str | None, known: dict[str, dict[str, str]]) -> str:
    """Say that a name is unknown, and link to what there is."""
    links = ", ".join(f'<a href="?{escape(urlencode(query))}">{escape(each)}</a>' for each, query in known.items())
    return f'<p class="problem">There is no {noun} {escape(repr(name))}.</p><p>Known: {links or "none"}.</p>'


def _unavailable(services: Services) -> str:
    """List the datasets that were found and cannot be served, with the reason; nothing where there are none."""
    items = "".join(f"<li><strong>{escape(name)}</strong>: {escape(reason)}</li>" for name, reason in services.catalogue.unavailable.items())
    return f'<section><h2>Datasets that cannot be served</h2><ul class="reasons">{items}</ul></section>' if items else ""


def _section(services: Services, dataset: Dataset, query: PageQuery, base: str) -> str:
    chosen = [each for each in dataset.splits.values() if query.split in {None, each.name}]
    known = {name: {"dataset": dataset.name, "split": name} for name in dataset.splits}
    splits = "\n".join(_article(services, dataset, split, query, base) for split in chosen) or _unknown("split", query.split, known)
    count = len(dataset.classes)
    return (
        f"<section><h2>{escape(dataset.name)}</h2><p>{escape(dataset.source)}, {count} class{'es' * (count != 1)},"
        f" version <code>{dataset.version}</code></p>\n{splits}</section>"
    )


def _article(services: Services, dataset: Dataset, split: Split, query: PageQuery, base: str) -> str:
    heading = f"<article><h3>{escape(split.name)}</h3>"
    try:
        address, steps = _find(services, dataset, split, query)
    except BatchlensError as exc:
        return f'{heading}<p class="problem">{escape(exc.detail)}</p></article>'
    return f"""{heading}
<p class="fact">{count_of(len(split), "sample")}; <code>{escape(address.recipe)}</code></p>
{_classes(services, dataset, split)}
{_sample(address, query.index, base) if query.view == "sample" and query.index is not None else _picture(address, base)}
<div class="pager">{_pager(query, address.step, steps, base)}</div>
<ul class="links">{_links(address, base)}</ul></article>"""


def _find(services: Services, dataset: Dataset, split: Split, query: PageQuery) -> tuple[Address, int]:
    """Completes the query to the address of a batch, the last one of the epoch where the step lies past it; also gives the number of steps."""
    chosen = query.model_dump(include={"batch_size", "seed", "shuffle", "drop_last", "rank", "world_size", "recipe"})
    address, _ = make_address(services, dataset, split, EpochQuery(on_error="mask", **chosen), query.epoch, 0)
    steps = count_steps(len(split), address.batch_size, address.world_size, address.drop_last)
    return address.at(max(0, min(query.step, steps - 1))), steps


def _picture(address: Address, base: str) -> str:
    """Shows a batch at a size that fits the window."""

    def link(columns: int, tile: int) -> str:
        return base + escape(f"{_below(address.path)}.png?{address.query}&columns={columns}&tile={tile}")

    *narrow, (_, (columns, tile)) = _LAYOUTS.items()
    sources = "".join(f'<source media="{media}" srcset="{link(*layout)}, {link(layout[0], 2 * layout[1])} 2x">' for media, layout in narrow)
    what = escape(f"batch {address.step} of {address.dataset} {address.split} in epoch {address.epoch}")
    return f'<picture>{sources}<img src="{link(columns, tile)}" srcset="{link(columns, 2 * tile)} 2x" alt="{what}" loading="lazy"></picture>'


def _sample(address: Address, index: int, base: str) -> str:
    """Shows a sample beside what the next epochs make of it."""
    query = {
        "recipe": address.recipe,
        "seed": address.seed,
        "epoch": min(address.epoch, _LAST_EPOCH - 64),
        "version": address.version,
        "tile": 160,
        "columns": 3,
    } | ({"max_resolution": address.max_resolution} if address.max_resolution else {})
    path = f"{_split_path(address)}/samples/{index}/views.png?{urlencode(query)}"
    what = escape(f"sample {index} of {address.dataset} {address.split} from epoch {address.epoch} on")
    return f'<img src="{base}{escape(path)}" alt="{what}" loading="lazy">'


def _below(path: str) -> str:
    """Return a path of the service as it stands behind the base."""
    return path.removeprefix("/")


def _split_path(address: Address) -> str:
    return _below(replace(address, epoch=0, step=0).path.removesuffix("/batches/0/0"))


def _links(address: Address, base: str) -> str:
    """Links to the same batch in every format, and to the split's listing."""
    formats = {name: f"{_below(address.path)}.{name}?{address.query}" for name in FORMATS}
    listing = f"{_split_path(address)}/samples"
    return "".join(f'<li><a href="{base}{escape(target)}">{name}</a></li>' for name, target in (formats | {"all samples": listing}).items())


def _classes(services: Services, dataset: Dataset, split: Split) -> str:
    counts = describe_split(services, dataset, split).class_counts
    most = max(counts.values())
    items = "".join(
        f"<li><span>{escape(name)}</span><span>{count}</span>"
        f'<meter min="0" max="{most}" value="{count}" aria-label="{escape(name)}: {count_of(count, "sample")}"></meter></li>'
        for name, count in list(counts.items())[:_SHOWN_CLASSES]
    )
    more = len(counts) - _SHOWN_CLASSES
    return f'<ul class="classes">{items}</ul>' + (f'<p class="fact">and {count_of(more, "class", "classes")} more</p>' if more > 0 else "")


def _pager(query: PageQuery, step: int, steps: int, base: str) -> str:
    others = {name: value for name, value in _said(query).items() if name not in {"epoch", "step", "seed"}}

    def link(text: str, epoch: int, to: int) -> str:
        return f'<a href="{base}?{escape(urlencode({"epoch": epoch, "step": to, "seed": query.seed} | others))}">{text}</a>'

    parts = [f"<span>epoch {query.epoch}, step {step} (0 to {max(0, steps - 1)})</span>"]
    parts += [link("previous step", query.epoch, step - 1)] * (step > 0)
    parts += [link("next step", query.epoch, step + 1)] * (step + 1 < steps)
    parts += [link("previous epoch", query.epoch - 1, step)] * (query.epoch > 0)
    parts += [link("next epoch", query.epoch + 1, step)] * (query.epoch < _LAST_EPOCH)
    return " ".join(parts)
