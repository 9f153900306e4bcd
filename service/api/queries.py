"""The shapes of queries, with their ranges and defaults."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from service.encoding.picture import PictureOptions
from service.planning.address import DType, OnError
from service.settings import MAX_RESOLUTION

_LARGEST = 2**63 - 1


def _none_if_empty(value: object) -> object:
    return None if value == "" else value


View = Literal["batch", "sample", "recipe", "dataset", "devices"]
Text = Annotated[str | None, BeforeValidator(_none_if_empty)]


class Query(BaseModel):
    """A query; unknown parameters are refused, so that a misspelt one does not go unnoticed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class EpochQuery(Query):
    """Everything that picks an epoch's order and looks."""

    seed: int = Field(0, ge=0, le=_LARGEST, description="Picks the order and the randomness.")
    recipe: Text = Field(None, description="A named recipe, or a recipe's text; the split's own by default.", examples=["train"])
    batch_size: int | None = Field(None, ge=1, le=_LARGEST, description="Samples a rank takes in a step; the split's own by default.", examples=[4])
    shuffle: bool | None = Field(None, description="Whether the epoch's order is shuffled; the split's own by default.")
    drop_last: bool = Field(False, description="Whether an incomplete last block is left out.")
    rank: int = Field(0, ge=0, le=_LARGEST, description="This consumer, below world_size.")
    world_size: int = Field(1, ge=1, le=_LARGEST, description="Number of consumers that share each step.")
    dtype: DType | None = Field(None, description="Element type of the images; what the recipe yields by default. uint8 stops before the recipe's tail.")
    on_error: OnError = Field(
        "fail", description="A sample that cannot be read, or that the recipe cannot be applied to, fails the batch, or comes as zeros and is told."
    )
    max_resolution: int | None = Field(
        None,
        ge=0,
        le=MAX_RESOLUTION,
        description="Shorter side to which larger photos are reduced on decoding; 0 leaves them as they are. The dataset's own by default, and none where the "
        "URL names everything else (version, recipe as text, batch_size, shuffle).",
    )
    version: Text = Field(None, description="Pins the dataset's version: 409 once it is no longer served.")


class BatchQuery(EpochQuery):
    """A batch, and how it is drawn where the format is a picture."""

    columns: int = Field(PictureOptions().columns, ge=1, le=64, description="Tiles in a row of the picture.")
    tile: int | None = Field(None, ge=16, le=1024, description="Longest side of a tile in pixels; the images' own size by default.")
    labels: bool = Field(True, description="Whether each tile carries its class name.")

    @property
    def picture(self) -> PictureOptions:
        """How the picture is drawn."""
        return PictureOptions(columns=self.columns, tile=self.tile, labels=self.labels)


class ViewsQuery(Query):
    """One sample as several epochs show it."""

    epochs: int = Field(8, ge=1, le=64, description="How many epochs to show.")
    epoch: int = Field(0, ge=0, le=_LARGEST - 64, description="The first of them.")
    seed: int = Field(0, ge=0, le=_LARGEST, description="Picks the randomness.")
    recipe: Text = Field(None, description="A named recipe, or a recipe's text; the split's own by default.")
    columns: int | None = Field(None, ge=1, le=64, description="Tiles in a row; all of them, up to 9, by default.")
    tile: int | None = Field(None, ge=16, le=1024, description="Longest side of a tile in pixels.")
    labels: bool = Field(True, description="Whether each tile carries its title.")
    original: bool = Field(True, description="Whether the picture begins with the original.")
    max_resolution: int | None = Field(
        None,
        ge=0,
        le=MAX_RESOLUTION,
        description="Shorter side to which larger photos are reduced on decoding; 0 leaves them as they are. The dataset's own by default, and none where the "
        "URL names everything else (version, recipe as text).",
    )
    version: Text = Field(None, description="Pins the dataset's version: 409 once it is no longer served.")


class SamplesQuery(Query):
    """A page of a split's listing."""

    offset: int = Field(0, ge=0, le=_LARGEST, description="Samples to pass over.")
    limit: int = Field(100, ge=1, le=1000, description="Most samples to list.")
    class_name: Text = Field(None, alias="class", description="Only this class.", examples=["circle"])


class PageQuery(Query):
    """What the page for people shows. Scripts show all of it; the plain page what it can."""

    view: View = Field("batch", description="Which view.")
    dataset: Text = Field(None, description="Only this dataset.", examples=["shapes"])
    split: Text = Field(None, description="Only this split.", examples=["train"])
    epoch: int = Field(0, ge=0, le=_LARGEST, description="Which pass over each split.")
    step: int = Field(0, ge=0, le=_LARGEST, description="Position of the batch in the epoch; the last one where there are fewer.")
    seed: int = Field(0, ge=0, le=_LARGEST, description="Picks the order and the randomness.")
    batch_size: int | None = Field(None, ge=1, le=_LARGEST, description="Samples in a step; the split's own by default.", examples=[4])
    shuffle: bool | None = Field(None, description="Whether the epoch's order is shuffled; the split's own by default.")
    drop_last: bool = Field(False, description="Whether an incomplete last block is left out.")
    rank: int = Field(0, ge=0, le=_LARGEST, description="This consumer, below world_size.")
    world_size: int = Field(1, ge=1, le=_LARGEST, description="Number of consumers that share each step.")
    recipe: Text = Field(None, description="A named recipe, or a recipe's text; each split's own by default.", examples=["train"])
    draft: Text = Field(None, description="A recipe being written, for the recipe view.")
    index: int | None = Field(None, ge=0, le=_LARGEST, description="A sample, for the sample view.", examples=[0])
    row: int | None = Field(None, ge=0, le=_LARGEST, description="The chosen tile: a row of the batch, from 0, for the batch view.", examples=[0])
    class_name: Text = Field(None, alias="class", description="Only this class, for the dataset view.", examples=["circle"])
    offset: int = Field(0, ge=0, le=_LARGEST, description="Samples to pass over, for the dataset view.")
    version: Text = Field(None, description="The dataset's version that the link was made for.")


class RecipeQuery(Query):
    """A recipe to read."""

    recipe: str = Field(min_length=1, description="A named recipe, or a recipe's text.", examples=["Resize(256) | CenterCrop(224) | ToTensor()"])
