"""What the engine's results depend on besides the address."""

import platform
import zlib
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Self

import torch
from PIL import features

from service.encoding.picture import PICTURE_VERSION
from service.planning.address import PLAN_VERSION


@dataclass(frozen=True)
class Fingerprint:
    """Versions and capabilities that can change a pixel; part of every ETag.

    torch's uint8 resize differs by 1/255 between its `default` and AVX2 code paths, hence `cpu_capability`; zlib decides the bytes of a PNG.
    """

    batchlens: str
    plan: int
    picture: int
    torch: str
    torchvision: str
    pillow: str
    jpeg: str
    webp: str
    avif: str
    jpeg2000: str
    tiff: str
    zlib: str
    machine: str
    cpu_capability: str

    @classmethod
    def of_this_process(cls) -> Self:
        """Reads the versions that are installed and the code path that torch has chosen."""
        return cls(
            batchlens=version("batchlens"),
            plan=PLAN_VERSION,
            picture=PICTURE_VERSION,
            torch=version("torch"),
            torchvision=version("torchvision"),
            pillow=version("pillow"),
            jpeg=str(features.version("jpg")),
            webp=str(features.version("webp")),
            avif=str(features.version("avif")),
            jpeg2000=str(features.version("jpg_2000")),
            tiff=str(features.version("libtiff")),
            zlib=zlib.ZLIB_RUNTIME_VERSION,
            machine=platform.machine(),
            cpu_capability=torch.backends.cpu.get_cpu_capability(),
        )

    @cached_property
    def text(self) -> str:
        """The parts in one line."""
        return ";".join(f"{name}={value}" for name, value in asdict(self).items())
