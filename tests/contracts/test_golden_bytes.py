"""Twelve addresses with the SHA-256 of their tensors: bytes that must not change unless a version does."""

import asyncio
import hashlib
import os
import shutil
from pathlib import Path

import httpx
import pytest

from service.app import create_app
from service.encoding.fingerprint import Fingerprint
from service.settings import read_settings

SHAPES = Path(__file__).parents[2] / "data" / "shapes"
HEAD = "RandomResizedCrop(48) | RandomHorizontalFlip()"
TAIL = "ToTensor() | Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])"

ENGINE = (
    "batchlens=0.1.0;plan=1;picture=1;torch=2.15.0;torchvision=0.29.2;pillow=13.0.0;jpeg=6.2;webp=1.6.0;avif=1.4.2;jpeg2000=2.5.4;tiff=4.7.2;zlib=1.2.13;"
    "machine=x86_64;cpu_capability=AVX512"
)
"""The fingerprint that these belong to. When torch, torchvision, Pillow or zlib change what they compute, look at the difference, then renew the table:
`python -m tests.contracts.test_golden_bytes` prints it. When the plan changes, raise `PLAN_VERSION`, too."""

GOLDEN = [
    (
        f"train/batches/0/0?recipe={HEAD} | {TAIL}",
        "e075ab73be979d25decb340bee3d844617ded78bf2517d784b1985c05c901a31",
    ),
    (
        f"train/batches/0/0?recipe={HEAD} | {TAIL}&dtype=uint8",
        "db3bd7fc341866164874d4d245d349cb2a3b30204dca5efe0e07787187e29c50",
    ),
    (
        f"train/batches/0/0?recipe={HEAD} | {TAIL}&dtype=float16",
        "cdc69c890f5b01e69a7bf12b6910e11955d467d96e8f83ee0737016e286ea3b2",
    ),
    (
        f"train/batches/0/0?recipe={HEAD} | {TAIL}&dtype=bfloat16",
        "51a2448cdafc6a7398bd1b1c61c2a7fb652a77fceb987737e027da785de84ce8",
    ),
    (
        f"train/batches/7/3?recipe={HEAD} | {TAIL}&seed=41&batch_size=8",
        "e7bdecdcfa0e5ac062486a381b60a6256f5d81a601d28e6f4ab0abb583554102",
    ),
    (
        f"train/batches/7/3?recipe={HEAD} | {TAIL}&seed=41&batch_size=4&rank=1&world_size=2",
        "9e4da07ee3cc0b510b80fd5168f33370b1ee1e5379cb175744187869e9fe0fff",
    ),
    (
        f"train/batches/1/9?recipe={HEAD} | {TAIL}&batch_size=8&rank=0&shuffle=false",
        "dd64a78d411355d3fc677834422c98aad525a7407f5ed287d8b94f582581dcd1",
    ),
    (
        f"val/batches/0/2?recipe=Resize([40, 56]) | {TAIL}",
        "f03e3cdc214f043ac8cdde4567d7f8efabdb23981b3d1b29daef2b019d158d0e",
    ),
    (
        "val/batches/5/1?recipe=Resize(64) | CenterCrop(48) | RandAugment() | ToTensor()",
        "6b668a1e8ac9fe19ae009fa8226a843f64c669a0cf958d010285c656073c8794",
    ),
    (
        "val/batches/5/1?recipe=RandomCrop(64) | ColorJitter(0.4, 0.4, 0.4, 0.1) | RandomRotation(30) | GaussianBlur(5)",
        "7d8c458e5b85eb481a020d2c7f46f6d0a04e516f567e5f6826727192cdfa43e4",
    ),
    (
        "val/batches/5/1?recipe=Resize([64, 64]) | RandomPerspective(0.5, 1.0) | RandomErasing(1.0)&batch_size=3",
        "a1b4d025e33a5d38208053c38b497430d8b40d4271302b5c55a42081477337a9",
    ),
    (
        "val/batches/2/0?recipe=Resize([64, 64]) | AugMix() | ToTensor() | GaussianNoise()&seed=9223372036854775807",
        "cf23f6661193e5717daa1008cf1e6f391efcf23d4e64f4bf46c3bf85c44d05b1",
    ),
]


async def fetch(folder: Path) -> dict[str, str]:
    app = create_app(read_settings(paths=(folder,), workers=0, device="cpu"))
    found = {}
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        for address, _ in GOLDEN:
            path, _, query = address.partition("?")
            response = await client.get(f"/datasets/shapes/splits/{path}.safetensors", params=httpx.QueryParams(query.replace(" | ", "|")))
            assert response.status_code == 200, response.text
            header = int.from_bytes(response.content[:8], "little")
            found[address] = hashlib.sha256(response.content[8 + header :]).hexdigest()
    return found


def copy_shapes(folder: Path) -> Path:
    """The demo data with fixed modification times, so that its version is the same everywhere."""
    copy = Path(shutil.copytree(SHAPES, folder / "shapes"))
    for file in copy.rglob("*.jpg"):
        os.utime(file, ns=(0, 0))
    return copy


@pytest.mark.usefixtures("no_variables")
def test_golden_bytes(tmp_path: Path) -> None:
    found = asyncio.run(fetch(copy_shapes(tmp_path)))
    changed = [address for address, digest in GOLDEN if found[address] != digest]
    engine = Fingerprint.of_this_process().text
    differing = sorted(set(ENGINE.split(";")) ^ set(engine.split(";")))
    if changed and differing:
        pytest.skip(f"{len(changed)} of {len(GOLDEN)} differ, and so does the engine: {', '.join(differing)}")
    assert not changed, f"the engine is the same ({engine}), but these differ: {changed}"


def print_table() -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(fetch(copy_shapes(Path(folder))))
    print(Fingerprint.of_this_process().text)
    print("\n".join(f"{digest}  {address}" for address, digest in found.items()))


if __name__ == "__main__":
    print_table()
