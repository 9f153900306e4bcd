"""Every failure that Batchlens reports, as one tree.

    BatchlensError
    ├── NotFound                 the thing named does not exist
    │   ├── UnknownDataset  UnknownSplit  UnknownClass  UnknownSample
    │   └── UnknownStep  UnknownDevice  UnknownLoader  UnknownPage
    ├── InvalidRequest           what was asked cannot be done as asked
    │   ├── InvalidParameter  InvalidRecipe
    │   ├── StepFailed                          a sample that the recipe does not fit; `on_error=mask` gives zeros
    │   ├── UnequalShapes  BatchTooLarge  NotAcceptable
    │   ├── RangeNotSatisfiable  BodyTooLarge  MethodNotAllowed
    │   └── UnsupportedMediaType
    ├── SampleError              one image stands in the way
    │   ├── UnreadableImage  ImageTooLarge      what the file holds; `on_error=mask` gives zeros
    │   └── SampleChanged  SampleUnavailable  RenderCrashed
    ├── VersionGone              a pinned dataset version is no longer served
    ├── Unavailable              not now; try again after `retry_after_seconds`
    │   ├── QueueFull  NoSlot  InsufficientMemory  ShuttingDown  NotReady
    │   └── DatasetUnavailable
    ├── DeadlineExceeded         the work took longer than the deadline
    ├── RenderFailed             a fault of the service's own while rendering
    ├── AccessError              who asks, or how, is not allowed
    │   └── ForeignHost  ForeignOrigin  MissingToken  WritesForbidden
    ├── InternalError            the fault is the service's own
    └── StartupError             the service cannot start like this
        └── NoDatasetFound  InvalidDataset  InvalidSettings  MemoryTooSmall

A class's `code` is stable and part of the public contract. Messages quote the bad value and say what is allowed. Nothing here knows HTTP: `service.api.errors`
maps classes to statuses.
"""

from collections.abc import Iterable
from typing import ClassVar


class BatchlensError(Exception):
    """Base of every error that Batchlens raises on purpose.

    Args:
        detail: one or two sentences for the reader: what was wrong, what is allowed.
        **facts: JSON-ready values that a program may want (`known`, `sample`, `current`, ...); they become members of the problem document.
    """

    code: ClassVar[str] = "error"

    def __init__(self, detail: str, **facts: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.facts = facts

    def __reduce__(self) -> tuple[object, ...]:
        """Survives the way from a worker process with its facts."""
        return (_rebuild, (type(self), self.detail, self.facts))


def _rebuild(cls: type[BatchlensError], detail: str, facts: dict[str, object]) -> BatchlensError:
    return cls(detail, **facts)


class NotFound(BatchlensError):
    """The thing named does not exist."""

    code = "not-found"
    noun: ClassVar[str] = "thing"

    @classmethod
    def among(cls, name: object, known: Iterable[object]) -> "NotFound":
        """The error for `name`, listing what is known (the first 50)."""
        listed = [str(each) for each in known][:50]
        return cls(f"There is no {cls.noun} {str(name)!r}. Known: {', '.join(listed) or 'none'}.", known=listed)


class UnknownDataset(NotFound):
    """No dataset of this name is served."""

    code = "unknown-dataset"
    noun = "dataset"


class UnknownSplit(NotFound):
    """The dataset has no split of this name."""

    code = "unknown-split"
    noun = "split"


class UnknownClass(NotFound):
    """The dataset has no class of this name."""

    code = "unknown-class"
    noun = "class"


class UnknownSample(NotFound):
    """The split has no sample at this index."""

    code = "unknown-sample"
    noun = "sample"


class UnknownStep(NotFound):
    """The step lies past the end of the epoch."""

    code = "unknown-step"
    noun = "step"


class UnknownDevice(NotFound):
    """This machine has no such device."""

    code = "unknown-device"
    noun = "device"


class UnknownLoader(NotFound):
    """No loader is open for this split."""

    code = "unknown-loader"
    noun = "open loader"


class UnknownPage(NotFound):
    """No route answers this path."""

    code = "unknown-page"
    noun = "page"


class InvalidRequest(BatchlensError):
    """What was asked cannot be done as asked."""

    code = "invalid-request"


class InvalidParameter(InvalidRequest):
    """A parameter is outside its range or does not fit the others."""

    code = "invalid-parameter"


class InvalidRecipe(InvalidRequest):
    """The recipe's text does not parse, names an unknown step or is out of bounds."""

    code = "invalid-recipe"


class StepFailed(InvalidRequest):
    """A step of the recipe cannot be applied to this sample."""

    code = "step-failed"


class UnequalShapes(InvalidRequest):
    """The samples of a batch came out in different shapes, so they are no tensor."""

    code = "unequal-shapes"


class BatchTooLarge(InvalidRequest):
    """The batch does not fit the memory set aside for batches."""

    code = "batch-too-large"


class NotAcceptable(InvalidRequest):
    """None of the formats that the client accepts is offered."""

    code = "not-acceptable"


class RangeNotSatisfiable(InvalidRequest):
    """The part of the file that was asked for lies past its end."""

    code = "range-not-satisfiable"


class BodyTooLarge(InvalidRequest):
    """The request's body is larger than any that this service reads."""

    code = "body-too-large"


class UnsupportedMediaType(InvalidRequest):
    """The request's body has a media type that this path does not read."""

    code = "unsupported-media-type"


class MethodNotAllowed(InvalidRequest):
    """What answers this path does not know this method."""

    code = "method-not-allowed"


class SampleError(BatchlensError):
    """One image stands in the way."""

    code = "sample-error"


class UnreadableImage(SampleError):
    """The file cannot be decoded."""

    code = "unreadable-image"


class ImageTooLarge(SampleError):
    """The image has more pixels or bytes than allowed; told from its header."""

    code = "image-too-large"


class SampleChanged(SampleError):
    """The file is no longer the one that the dataset's version was made of."""

    code = "sample-changed"


class SampleUnavailable(SampleError):
    """The file cannot be opened or read at the moment."""

    code = "sample-unavailable"


class RenderCrashed(SampleError):
    """Rendering this sample ended its worker process, twice."""

    code = "render-crashed"


def of_sample(error: Exception, index: int, file: str) -> Exception:
    """Says which sample an error is about; an error that is not about one stays as it is.

    Args:
        error: any.
        index: the sample's position in the split's listing.
        file: path below the dataset's root.
    """
    if not isinstance(error, SampleError | StepFailed):
        return error
    return type(error)(f"Sample {index} ({file}): {error.detail}", **{**error.facts, "sample": index, "file": file})


class VersionGone(BatchlensError):
    """A pinned dataset version is no longer served."""

    code = "version-gone"


class Unavailable(BatchlensError):
    """Not now: try again after `retry_after_seconds`."""

    code = "unavailable"
    retry_after_seconds: ClassVar[int] = 1


class QueueFull(Unavailable):
    """As many batches wait as the queue holds."""

    code = "queue-full"


class NoSlot(Unavailable):
    """Every slot is being read by a client."""

    code = "no-slot"


class InsufficientMemory(Unavailable):
    """The memory for this split's loader cannot be had at the moment."""

    code = "insufficient-memory"


class ShuttingDown(Unavailable):
    """The service or this loader is closing."""

    code = "shutting-down"
    retry_after_seconds = 5


class NotReady(Unavailable):
    """The service is still starting."""

    code = "not-ready"


class DatasetUnavailable(Unavailable):
    """The dataset was found and cannot be listed as it is; a refresh tries again."""

    code = "dataset-unavailable"
    retry_after_seconds = 60


class DeadlineExceeded(BatchlensError):
    """The work took longer than the deadline."""

    code = "deadline-exceeded"


class RenderFailed(BatchlensError):
    """A fault of the service's own while rendering; the detail is a traceback, for the log."""

    code = "render-failed"


class AccessError(BatchlensError):
    """Who asks, or how, is not allowed."""

    code = "access-error"


class ForeignHost(AccessError):
    """The Host header names a machine that this service does not answer for."""

    code = "foreign-host"


class ForeignOrigin(AccessError):
    """The request was made by the page of another site."""

    code = "foreign-origin"


class MissingToken(AccessError):
    """A write came without the right bearer token."""

    code = "missing-token"


class WritesForbidden(AccessError):
    """Writes are off: the service is reachable from outside and has no token."""

    code = "writes-forbidden"


class InternalError(BatchlensError):
    """The service met an error of its own; the log has the details."""

    code = "internal-error"


class StartupError(BatchlensError):
    """The service cannot start like this."""

    code = "startup-error"


class NoDatasetFound(StartupError):
    """A path holds no image dataset."""

    code = "no-dataset-found"


class InvalidDataset(StartupError):
    """A dataset folder cannot be served as it is."""

    code = "invalid-dataset"


class InvalidSettings(StartupError):
    """A setting is out of range or does not fit the others."""

    code = "invalid-settings"


class MemoryTooSmall(StartupError):
    """The machine, the control group or the limit of address space leaves too little memory for the service."""

    code = "memory-too-small"
