"""What a client can run into, besides the errors of `service.errors` that a server reports: those are raised here again under their own names.

BatchlensError
├── ClientError              nothing that a server said on purpose
│   ├── ConnectionFailed     no complete answer came; only transports raise it, and it is tried again
│   ├── TLSError             a certificate is not accepted, or only one side speaks TLS; final
│   ├── ServerUnavailable    no server gave a batch for as long as patience lasted
│   ├── RequestRefused       a final answer in words that this client does not know, for instance a proxy's
│   ├── MalformedAnswer      an answer that is not what was asked for
│   ├── RanksChanged         a process group came up after the loader's ranks were settled, and says otherwise
│   ├── ForkedIterator       a child process goes on with an iterator of its parent
│   └── PositionUnknown      workers of a DataLoader read, so this process cannot say how far they are
├── VersionGone
│   └── DatasetChanged       the dataset is no longer the one that the loader began with
└── InvalidRequest
    └── PositionMismatch     a saved position that does not fit the loader
"""

from service.errors import BatchlensError, InvalidRequest, VersionGone


class ClientError(BatchlensError):
    """Nothing that a server said on purpose."""

    code = "client-error"


class ConnectionFailed(ClientError):
    """No complete answer came: refused, reset, timed out."""

    code = "connection-failed"


class TLSError(ClientError):
    """A server's certificate is not accepted, or only one side speaks TLS: nothing that trying again would mend; `url` is among the facts."""

    code = "tls-error"


class ServerUnavailable(ClientError):
    """No server gave an answer for as long as patience lasted; `urls` and `causes` (URL -> what went wrong there last) are among the facts."""

    code = "server-unavailable"


class RequestRefused(ClientError):
    """A final answer in words that this client does not know; `status` and `url` are among the facts."""

    code = "request-refused"


class MalformedAnswer(ClientError):
    """An answer that is not what was asked for."""

    code = "malformed-answer"


class RanksChanged(ClientError):
    """A process group came up after the loader's ranks were settled, and gives this process others; `settled` and `group` are among the facts."""

    code = "ranks-changed"


class ForkedIterator(ClientError):
    """A child process goes on with an iterator of its parent, whose threads and connections it does not have."""

    code = "forked-iterator"


class PositionUnknown(ClientError):
    """Workers of a DataLoader read copies of the loader, so the loader cannot say how many of their batches were used."""

    code = "position-unknown"


class DatasetChanged(VersionGone):
    """The dataset is no longer the one that the loader began with, or one of several servers has another; `url` and `current` are among the facts."""


class PositionMismatch(InvalidRequest):
    """A saved position that does not fit the loader; `differing` is among the facts."""

    code = "position-mismatch"
