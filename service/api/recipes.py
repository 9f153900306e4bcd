"""`/recipes`: what may be done to images, and how a text is read."""

from typing import Annotated

from fastapi import APIRouter
from fastapi import Query as QueryParameters

from service.api.dependencies import ServicesDep
from service.api.errors import problems
from service.api.queries import RecipeQuery
from service.api.schemas import ParsedRecipe, RecipeList
from service.errors import InvalidRecipe
from service.recipes.presets import resolve_recipe
from service.recipes.recipe import parse_recipe
from service.recipes.steps import describe_steps
from service.recipes.torchvision_code import write_code

router = APIRouter(prefix="/recipes", tags=["recipes"])


@router.get("", responses=problems())
def list_recipes(services: ServicesDep) -> RecipeList:
    """Lists named recipes, and every step that a recipe may use with its parameters and their ranges."""
    named = {name: parse_recipe(text).describe() for name, text in services.recipes.items()}
    return RecipeList.model_validate({"recipes": named, "steps": describe_steps()})


@router.get("/parse", responses=problems(InvalidRecipe))
def parse(services: ServicesDep, query: Annotated[RecipeQuery, QueryParameters()]) -> ParsedRecipe:
    """Reads a recipe: canonical text, head and tail, element type, output shape, and the same as code for torchvision."""
    recipe = resolve_recipe(query.recipe, services.recipes)
    return ParsedRecipe.model_validate(recipe.describe() | {"torchvision": write_code(recipe.text)})
