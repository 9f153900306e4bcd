"""schemathesis sends what the description allows, and what it does not: no fault of the service, nothing undescribed, nothing wrongly taken or refused."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import schemathesis
from anyio.from_thread import start_blocking_portal
from fastapi import FastAPI
from hypothesis import HealthCheck, settings
from PIL import Image
from pydantic import SecretStr
from schemathesis.specs.openapi.checks import positive_data_acceptance

from service.app import create_app
from service.settings import Settings

DEMO = Path(__file__).parents[2] / "data" / "shapes"
TOKEN = SecretStr("open sesame")
PROOF = {"Authorization": f"Bearer {TOKEN.get_secret_value()}"}
BOUNDED = settings(max_examples=10, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
EXISTING = {"dataset": {"enum": ["tiny"]}, "split": {"enum": ["train", "val"]}}
"""Names that exist, so that requests get as far as the rest of what they ask."""

FITTING = EXISTING | {
    "class": {"enum": ["a", "b"]},
    "recipe": {"enum": ["train", "Resize([8, 8]) | ToTensor()", "RandomResizedCrop(8) | RandomHorizontalFlip() | ToTensor() | Normalize([0.5], [0.5])"]},
    "version": {"enum": [""]},
    "device": {"enum": ["cpu"]},
    "dtype": {"enum": ["uint8", "float32", "float16"]},
    "batch_size": {"maximum": 9},
    "rank": {"maximum": 0},
    "tile": {"maximum": 40},
    "epochs": {"maximum": 5},
    "index": {"maximum": 0},
    "step": {"maximum": 0},
}
"""Values that fit each other, so that whatever keeps to them has to be accepted."""


class Stage:
    """Passes requests on to the service that stands here: schemathesis wants one when tests are collected, and would start it once for each test."""

    service: FastAPI

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        await self.service(scope, receive, send)


STAGE = Stage()


def build(folder: Path) -> FastAPI:
    """Builds a service from settings that no surrounding variable touches."""
    return create_app(Settings.model_construct(paths=(folder,), workers=0, device="cpu", slab_bytes=8 << 20, allowed_hosts=("testserver",), token=TOKEN))


def describe(narrow: dict[str, Any], *modes: schemathesis.GenerationMode) -> Any:
    """Reads the API's description, narrowed, for requests that keep to it or not."""
    description = copy.deepcopy(build(DEMO).openapi())
    for operation in (each for path in description["paths"].values() for each in path.values()):
        for parameter in operation.get("parameters", []):
            if parameter["in"] == "path" or parameter["name"] not in EXISTING:  # The page takes any name in its query, and says what there is not.
                parameter["schema"] |= narrow.get(parameter["name"], {})
    for model, member in {"DeviceChoice": "device", "DeviceReference": "id"}.items():
        description["components"]["schemas"][model]["properties"][member] |= narrow.get("device", {})
    schema = schemathesis.openapi.from_dict(description)
    schema.app = STAGE
    schema.config.generation.update(modes=list(modes))
    return schema


@pytest.fixture(scope="module", autouse=True)
def _on_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Starts a service of three tiny images."""
    root = tmp_path_factory.mktemp("datasets") / "tiny"
    for place, size in {"train/a/1.png": (9, 7), "train/b/2.png": (8, 12), "val/a/3.png": (10, 10)}.items():
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(3).integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)
    STAGE.service = service = build(root)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(service.router.lifespan_context(service)):
        yield


@describe(EXISTING, *schemathesis.GenerationMode).parametrize()
@BOUNDED
def test_whatever_is_asked_is_answered_as_described(case: schemathesis.Case) -> None:
    case.call_and_validate(headers=PROOF, excluded_checks=[positive_data_acceptance])


@describe(FITTING, schemathesis.GenerationMode.POSITIVE).parametrize()
@BOUNDED
def test_what_fits_is_accepted(case: schemathesis.Case) -> None:
    case.call_and_validate(headers=PROOF)
