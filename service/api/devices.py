"""`/devices`: what there is to compute with, and which of it renders."""

from dataclasses import asdict

from fastapi import APIRouter, Depends

from service.api.dependencies import ServicesDep, allow_write
from service.api.errors import problems
from service.api.schemas import DeviceChoice, DeviceList, DeviceReport
from service.errors import BodyTooLarge, MissingToken, UnknownDevice, WritesForbidden

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


@router.put("/current", dependencies=[Depends(allow_write)], responses=problems(UnknownDevice, MissingToken, WritesForbidden, BodyTooLarge))
def set_current_device(services: ServicesDep, choice: DeviceChoice) -> DeviceReport:
    """Moves every loader to another device: running batches end where they began, new ones begin there; no request fails."""
    return DeviceReport.model_validate(asdict(services.selection.choose(choice.device, services.registry.move)))
