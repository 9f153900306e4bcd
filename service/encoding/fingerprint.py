"""What the engine's results depend on besides the address."""

import zlib
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Self

import torch

from service.encoding.picture import PICTURE_VERSION
from service.planning.address import PLAN_VERSION


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Versions and capabilities that can change a pixel; part of every ETag.

    torch's uint8 resize differs by 1/255 between its `default` and AVX2 code paths, hence `cpu_capability`; zlib decides the bytes of a PNG.
    """

    plan: int
    picture: int
    torch: str
    torchvision: str
    pillow: str
    zlib: str
    cpu_capability: str

    @classmethod
    def of_this_process(cls) -> Self:
        """Reads the versions that are installed and the code path that torch has chosen."""
        return cls(
            plan=PLAN_VERSION,
            picture=PICTURE_VERSION,
            torch=version("torch"),
            torchvision=version("torchvision"),
            pillow=version("pillow"),
            zlib=zlib.ZLIB_RUNTIME_VERSION,
            cpu_capability=torch.backends.cpu.get_cpu_capability(),
        )

    @property
    def text(self) -> str:
        """The parts in one line."""
        return ";".join(f"{name}={value}" for name, value in asdict(self).items())
