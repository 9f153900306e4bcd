"""The shapes of answers, and of what is put. Fields may be added, not renamed: clients rely on them."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Problem(BaseModel):
    """A failure, as RFC 9457 has it. Some carry further members, such as `known` or `sample`."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="Always about:blank; `code` tells failures apart.")
    title: str
    status: int
    detail: str = Field(description="What was wrong, and what is allowed.")
    code: str = Field(description="Stable name of the failure.")


class Version(BaseModel):
    """Which service answers."""

    name: str
    version: str = Field(description="Semantic: what is described keeps its names within a major version.")


class Index(Version):
    """Where everything is."""

    links: dict[str, str] = Field(description="Paths by what they lead to; any prefix of a proxy is in them.")


class DatasetSummary(BaseModel):
    """A dataset in the list."""

    name: str
    source: str
    version: str = Field(description="Fingerprint of the listing: path, size and modification time of every file, class list.")
    splits: dict[str, int] = Field(description="Samples in each split.")


class UnavailableDataset(BaseModel):
    """A dataset that was found and is not served."""

    name: str
    reason: str = Field(description="What is wrong with it; once that is mended, `POST /datasets/{dataset}/refresh` brings it in.")


class DatasetList(BaseModel):
    """Every dataset served, and those that cannot be."""

    datasets: list[DatasetSummary]
    unavailable: list[UnavailableDataset] = Field(description="Datasets that were found and cannot be listed, with the reason.")
    notes: list[str] = Field(description="What lies beside the datasets and is none.")


class SplitDetail(BaseModel):
    """One split: its size, classes and defaults."""

    name: str
    size: int = Field(description="Number of samples.")
    class_counts: dict[str, int] = Field(description="Samples of each class, in label order.")
    recipe: str = Field(description="What a batch goes through where a request does not say, in canonical text.")
    batch_size: int
    max_batch_size: int = Field(description="Most that a request may ask.")
    shuffle: bool


class DatasetDetail(BaseModel):
    """A dataset's metadata."""

    name: str
    source: str
    root: str = Field(description="The folder, relative to where the service was started if it lies below that, else its name.")
    version: str
    classes: list[str] = Field(description="Class names in label order.")
    layout: str = Field(description="How the folders are read: split/class/**, class/** or class/group/**.")
    refused: int = Field(description="Links passed over because they lead out of the folder.")
    notes: list[str] = Field(description="What was decided when the folder was read and what is left out, with the setting that says it otherwise.")
    max_resolution: int | None = Field(description="Shorter side to which larger photos are reduced where a request does not say; null for none.")
    splits: dict[str, SplitDetail]


class ClassList(BaseModel):
    """Class names, and the label of each."""

    classes: list[str]
    class_to_idx: dict[str, int]


class SlabReport(BaseModel):
    """Shared memory for batches."""

    size_bytes: int
    used_bytes: int
    slots: int
    kept: int = Field(description="Finished batches kept for whoever asks next.")
    device_bytes: int = Field(description="Memory of finished batches on a GPU.")


class ArenaReport(BaseModel):
    """Decoded photos that are kept."""

    size_bytes: int = Field(description="Memory for them, shared with the other loaders.")
    used_bytes: int = Field(description="What this loader's take.")
    samples: int = Field(description="How many are kept.")


class LoaderReport(BaseModel):
    """An open loader."""

    dataset: str
    split: str
    state: Literal["starting", "ready", "closed"]
    device: str
    workers: int
    pids: list[int] = Field(description="Process ids of the living workers.")
    served: int = Field(description="Batches handed out.")
    rendered: int = Field(description="Batches rendered.")
    images: int = Field(description="Images in them.")
    reused: int = Field(description="Requests that shared or found a batch made for another.")
    ahead: int = Field(description="Batches begun before anybody asked for them.")
    refused: int = Field(description="Requests turned away because the queue was full.")
    restarts: int = Field(description="Times that the workers were replaced.")
    queued: int = Field(description="Batches waiting.")
    rendering: int = Field(description="Batches with the workers or a device.")
    slab: SlabReport
    arena: ArenaReport


class LoaderList(BaseModel):
    """Every open loader."""

    loaders: list[LoaderReport]


class SplitList(BaseModel):
    """Every split of a dataset."""

    splits: list[SplitDetail]


class SplitState(SplitDetail):
    """One split, with its loader's state."""

    loader: LoaderReport | None = Field(description="Null until the first batch is asked for.")


class SampleDetail(BaseModel):
    """One sample."""

    index: int = Field(description="Position in the split's sorted listing.")
    class_name: str = Field(serialization_alias="class")
    label: int
    file: str = Field(description="Path below the dataset's folder.")
    width: int | None = Field(description="In pixels; null where the header cannot be read.")
    height: int | None
    reduced_width: int | None = Field(description="In pixels, as batches show it, where the dataset's max_resolution makes it smaller; else null.")
    reduced_height: int | None
    exif_orientation: int | None = Field(description="2 to 8 where EXIF asks viewers to turn or mirror the picture, which is ignored; else null.")
    bytes: int = Field(description="Length of the file as listed; -1 where it could not be looked at.")
    problem: str | None = Field(description="Null, or why the image cannot be used.")


class SamplePage(BaseModel):
    """A page of samples."""

    total: int = Field(description="Samples in the split, or of the class asked for.")
    offset: int
    limit: int
    samples: list[SampleDetail]


class EpochDetail(BaseModel):
    """What an epoch holds for one rank."""

    epoch: int
    steps: int
    samples: int = Field(description="Samples in the epoch, over all ranks.")
    recipe: str
    batch_size: int
    world_size: int
    shuffle: bool
    drop_last: bool
    max_resolution: int | None
    first: list[str] = Field(description="Addresses of the first steps (at most 8); each works as a link below the service's root, with or without a suffix.")


class AppliedStep(BaseModel):
    """What a step did to a sample."""

    step: str
    applied: bool = Field(description="False where a random step left the sample as it was.")
    params: dict[str, Any] = Field(description="The parameters that were drawn.")


class ProvenanceRow(BaseModel):
    """One row of a batch."""

    position: int
    index: int
    label: int
    class_name: str = Field(serialization_alias="class")
    file: str
    width: int
    height: int
    exif_orientation: int | None = Field(description="2 to 8 where EXIF asks viewers to turn or mirror the picture, which is ignored; else null.")
    key: str = Field(description="The sample's random key: 64 bits as 16 hexadecimal digits.")
    problem: str | None
    applied: list[AppliedStep]


class ViewDetail(BaseModel):
    """A sample as one epoch shows it."""

    epoch: int
    key: str = Field(description="The sample's random key in this epoch: 64 bits as 16 hexadecimal digits.")
    shape: list[int] = Field(description="[C, H, W].")
    applied: list[AppliedStep]


class ViewsProvenance(BaseModel):
    """What several epochs do to one sample."""

    etag: str
    dataset: str
    version: str
    split: str
    recipe: str
    tail: str = Field(description="End of the recipe that only rescales numbers; `applied` tells what was done before it.")
    seed: int
    index: int
    label: int
    class_name: str = Field(serialization_alias="class")
    file: str
    width: int = Field(description="Of the original in pixels.")
    height: int
    exif_orientation: int | None = Field(description="2 to 8 where EXIF asks viewers to turn or mirror the picture, which is ignored; else null.")
    dtype: str = Field(description="What a batch of these samples holds where a request does not say.")
    views: list[ViewDetail]


class Provenance(BaseModel):
    """Where a batch comes from and what was done to it."""

    address: str
    etag: str
    dataset: str
    version: str
    split: str
    recipe: str
    tail: str = Field(description="End of the recipe that dtype=uint8 leaves to the client.")
    seed: int
    epoch: int
    step: int
    batch_size: int
    shuffle: bool
    drop_last: bool
    rank: int
    world_size: int
    on_error: str
    max_resolution: int | None
    shape: list[int] | None = Field(description="[B, C, H, W]; null where the samples' shapes differ.")
    dtype: str
    samples: list[ProvenanceRow]


class ParameterDetail(BaseModel):
    """A parameter of a step."""

    model_config = ConfigDict(extra="allow")

    name: str
    kind: str


class StepDetail(BaseModel):
    """A step that recipes may use."""

    model_config = ConfigDict(extra="allow")

    name: str
    signature: str
    parameters: list[ParameterDetail]
    example: str


class RecipeDetail(BaseModel):
    """A recipe, read."""

    model_config = ConfigDict(extra="allow")

    recipe: str = Field(description="The canonical text.")
    head: str = Field(description="What works on uint8 pixels.")
    tail: str = Field(description="The end that only rescales numbers.")
    dtype: str = Field(description="What it yields.")
    output_shape: list[int | None] = Field(description="[C, H, W]; null where it depends on the image or on chance.")


class ParsedRecipe(RecipeDetail):
    """A recipe, read on request."""

    torchvision: str = Field(description="Python code that binds `transform` to the same steps as a torchvision.transforms.v2.Compose.")


class RecipeList(BaseModel):
    """Named recipes and allowed steps."""

    recipes: dict[str, RecipeDetail]
    steps: list[StepDetail]


class MemoryReport(BaseModel):
    """Memory of a device."""

    total_bytes: int | None
    free_bytes: int | None


class DeviceReport(BaseModel):
    """A device."""

    model_config = ConfigDict(extra="allow")

    id: str
    type: str
    name: str
    index: int | None
    uuid: str | None
    capability: str | None
    memory: MemoryReport
    utilization_percent: float | None
    temperature_celsius: float | None


class CudaReport(BaseModel):
    """What torch says of CUDA."""

    available: bool
    version: str | None = Field(description="That torch was built with.")
    driver: str | None
    device_count: int


class DeviceList(BaseModel):
    """Every device, and which one renders."""

    current: str
    cuda: CudaReport
    devices: list[DeviceReport]


class DeviceReference(BaseModel):
    """A device as GET describes it; its id alone counts."""

    model_config = ConfigDict(extra="allow")

    id: str = Field(min_length=1, max_length=64, description="A device's id.", examples=["cpu", "cuda:1"])


class DeviceChoice(BaseModel):
    """The device to render on."""

    model_config = ConfigDict(extra="forbid")

    device: str = Field(min_length=1, max_length=64, description="A device's id.", examples=["cpu", "cuda:1"])

    @model_validator(mode="before")
    @classmethod
    def _take_reference(cls, value: object) -> object:
        """Read a device's description, so that what GET answers can be put back."""
        return {"device": value["id"]} if isinstance(value, dict) and "id" in value and "device" not in value else value


class Health(BaseModel):
    """How the service is."""

    status: Literal["live", "ready"]
