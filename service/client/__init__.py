"""The client: batches over HTTP for training loops.

from service.client import RemoteLoader

for inputs, labels in RemoteLoader("http://lab:8000", "hymenoptera", "train", batch_size=64): ...
"""

from service.client.errors import (
    ClientError,
    ConnectionFailed,
    DatasetChanged,
    ForkedIterator,
    MalformedAnswer,
    PositionMismatch,
    PositionUnknown,
    RanksChanged,
    RequestRefused,
    ServerUnavailable,
    TLSError,
)
from service.client.picture import Picture
from service.client.provenance import Provenance
from service.client.remote_loader import RemoteLoader
from service.client.transport import Answer, HttpTransport, Transport
from service.encoding.batch import Applied, Row

__all__ = [
    "Answer",
    "Applied",
    "ClientError",
    "ConnectionFailed",
    "DatasetChanged",
    "ForkedIterator",
    "HttpTransport",
    "MalformedAnswer",
    "Picture",
    "PositionMismatch",
    "PositionUnknown",
    "Provenance",
    "RanksChanged",
    "RemoteLoader",
    "RequestRefused",
    "Row",
    "ServerUnavailable",
    "TLSError",
    "Transport",
]
