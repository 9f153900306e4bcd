"""Original files on the wire: never the bytes of another file than the one that was listed."""

import os
from collections.abc import Mapping
from pathlib import Path

from fastapi.responses import FileResponse
from starlette.types import Message, Receive, Scope, Send

from service.errors import SampleChanged, SampleUnavailable
from service.sources.image_formats import HEAD_BYTES, media_type_of
from service.sources.source import File


class OriginalResponse(FileResponse):
    """Sends a file, or the parts of it that the request asks for, from one descriptor: a file that is deleted or replaced meanwhile comes as it was.

    One that is rewritten in place while it is sent breaks the answer off, so that no client takes a mixture for the file.

    Args:
        path: of the original, as a reader gives it.
        file: as it was listed.
        headers: further headers.

    Raises:
        SampleChanged: it is no longer the file that was listed.
        SampleUnavailable: it cannot be opened.
    """

    def __init__(self, path: Path, file: File, headers: Mapping[str, str]) -> None:
        self._listed = (file.size_bytes, file.mtime_ns)
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as exc:
            kind = SampleChanged if isinstance(exc, FileNotFoundError) else SampleUnavailable
            raise kind(f"cannot be opened: {exc.strerror}") from exc
        self._check()
        media_type = media_type_of(file.path, os.pread(self._descriptor, HEAD_BYTES, 0))
        super().__init__(f"/proc/self/fd/{self._descriptor}", headers=headers, media_type=media_type, stat_result=os.fstat(self._descriptor))

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends head and body; looks at the file before every piece."""

        async def send_unchanged(message: Message) -> None:
            self._check()
            await send(message)

        await super().__call__(scope, receive, send_unchanged)

    def _check(self) -> None:
        status = os.fstat(self._descriptor)
        if (status.st_size, status.st_mtime_ns) != self._listed:
            raise SampleChanged("has changed since the dataset was listed, so its version no longer describes it")
