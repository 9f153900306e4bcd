"""Uses the generated client as a tool would, and prints what it has seen as JSON. Run as: python client.py URL TOKEN."""

import json
import sys
from typing import Any

from batchlens_client import AuthenticatedClient, Client
from batchlens_client.api.batches import get_batch, get_batch_as_accepted, get_batch_provenance
from batchlens_client.api.datasets import get_dataset_detail, list_datasets
from batchlens_client.api.devices import get_current_device, set_current_device
from batchlens_client.models import DeviceChoice, DeviceReference, GetBatchFormat, Problem
from batchlens_client.types import File

URL, TOKEN = sys.argv[1:]
QUERY: dict[str, Any] = {"batch_size": 3, "recipe": "CenterCrop(16) | ToTensor()"}


def main(client: Client, writer: AuthenticatedClient) -> None:
    dataset = list_datasets.sync(client=client).datasets[0].name
    place = (dataset, "train", 0, 0)
    provenance = get_batch_provenance.sync(*place, client=client, **QUERY)
    binary = {each.value: read(get_batch.sync(*place, each, client=client, **QUERY)) for each in GetBatchFormat}
    current = get_current_device.sync(client=client)
    bodies = [DeviceReference.from_dict(current.to_dict()), DeviceChoice(device="cpu")]
    refusal = get_dataset_detail.sync("nothing", client=client)
    assert isinstance(refusal, Problem)
    seen = {
        "dataset": dataset,
        "classes": get_dataset_detail.sync(dataset, client=client).classes,
        "indices": [sample.index for sample in provenance.samples],
        "binary": binary,
        "accepted": read(get_batch_as_accepted.sync(*place, client=client, **QUERY)),
        "devices": [current.id, *(set_current_device.sync(client=writer, body=body).id for body in bodies)],
        "code": refusal.code,
    }
    print(json.dumps(seen))


def read(file: Any) -> list[int]:
    assert isinstance(file, File)
    return list(file.payload.read())


with Client(URL, raise_on_unexpected_status=True) as reading, AuthenticatedClient(URL, token=TOKEN, raise_on_unexpected_status=True) as writing:
    main(reading, writing)
