"""`/devices`: what there is to compute with, and which of it renders."""

from dataclasses import asdict
from typing import Annotated, TypeAlias

from fastapi import APIRouter, Depends, Path

from service.api.dependencies import ServicesDep, allow_write
from service.api.errors import problems
from service.api.schemas import DeviceChoice, DeviceList, DeviceReport
from service.errors import BodyTooLarge, InvalidParameter, MissingToken, UnknownDevice, UnsupportedMediaType, WritesForbidden

router = APIRouter(prefix="/devices", tags=["devices"])


@router.get("", responses=problems())
def list_devices(services: ServicesDep) -> DeviceList:
    """Tells the current device, what torch says of CUDA, and every device with its memory, utilisation and temperature."""
    inventory = services.inventory
    return DeviceList.model_validate(
        {"current": services.selection.id, "cuda": asdict(inventory.cuda()), "devices": [asdict(each) for each in inventory.devices()]}
    )


@router.get("/current", responses=problems())
def get_current_device(services: ServicesDep) -> DeviceReport:
    """Tells the device that renders."""
    return DeviceReport.model_validate(asdict(services.selection.current))


def read_choice(services: ServicesDep, choice: DeviceChoice) -> str:
    """Return the id of the device that a body names.

    Raises:
        InvalidParameter: this machine has no such device. The path exists, so this is no 404.
    """
    try:
        return services.inventory.identify(choice.device)
    except UnknownDevice as exc:
        raise InvalidParameter(f"body.device: {exc.detail}", **exc.facts) from exc


ChoiceDep: TypeAlias = Annotated[str, Depends(read_choice)]


@router.put(
    "/current",
    dependencies=[Depends(allow_write)],
    responses=problems(MissingToken, WritesForbidden, BodyTooLarge, UnsupportedMediaType),
)
def set_current_device(services: ServicesDep, choice: ChoiceDep) -> DeviceReport:
    """Moves every loader to another device: running batches end where they began, new ones begin there; no request fails.

    The body may also be what GET answers here. The device that is current already is left as it is, with all that it has decoded.
    """
    return DeviceReport.model_validate(asdict(services.selection.choose(choice, services.registry.move)))


@router.get("/{device}", responses=problems(UnknownDevice))
def get_device(services: ServicesDep, device: Annotated[str, Path(description="A device's id.", examples=["cpu"])]) -> DeviceReport:
    """Return a device with its memory, utilisation and temperature."""
    return DeviceReport.model_validate(asdict(services.inventory.find(device)))
