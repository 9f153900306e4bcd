"""What a client can run into, besides the errors of `service.errors` that a server reports and that are raised here again under their own names.

    BatchlensError
    ├── ClientError              nothing that a server said on purpose
    │   ├── ConnectionFailed     no complete answer came; tried again elsewhere, so seen only by transports
    │   ├── ServerUnavailable    no server gave an answer for as long as patience lasted
    │   ├── RequestRefused       a final answer that means nothing to this client, for instance a proxy's
    │   └── MalformedAnswer      an answer that is not what was asked for
    ├── VersionGone
    │   └── DatasetChanged       the dataset is no longer the one that the loader started with
    └── InvalidRequest
        └── PositionMismatch     a saved position that does not fit this loader
"""

import json
from collections.abc import Mapping
from typing import Any

from service import errors
from service.client.transport import Answer

_MEMBERS = {"type", "title", "status", "detail", "code", "instance"}  # RFC 9457, section 3.1, and ours
_QUOTED = 200


class ClientError(errors.BatchlensError):
    """Nothing that a server said on purpose."""

    code = "client-error"
