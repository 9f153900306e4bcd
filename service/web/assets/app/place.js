// A place: the state with everything filled in that it leaves to the service, so that its URLs name all they depend on.

import { ApiError, getDataset, parseRecipe, splitPath, withQuery } from "./api.js";

/** Counts an epoch's steps, as the contract has it. */
function countSteps(size, batchSize, worldSize, dropLast) {
  const block = batchSize * worldSize;
  return dropLast ? Math.floor(size / block) : Math.ceil(size / block);
}

/** The error for a split that a dataset does not have, as the service has it. */
export function unknownSplit(dataset, name) {
  const known = Object.keys(dataset.splits);
  const detail = name === null ? `${dataset.name} has no splits.` : `${dataset.name} has no split ${name}.`;
  return new ApiError(detail, 404, { code: "unknown-split", detail, known });
}

/**
 * Completes a state.
 *
 * @returns the dataset's and split's metadata, the parsed recipe and all parameters of a batch.
 * @throws {ApiError} the dataset is unknown; the recipe does not parse: then the error's `place` has all the rest.
 */
export async function findPlace(state) {
  const dataset = await getDataset(state.dataset);
  const split = dataset.splits[state.split];
  if (!split) throw unknownSplit(dataset, state.split);
  const batchSize = state.batch_size ?? split.batch_size;
  const steps = countSteps(split.size, batchSize, state.world_size, state.drop_last);
  const step = Math.max(0, Math.min(state.step, steps - 1));
  const settled = { ...state, step, batch_size: batchSize, shuffle: state.shuffle ?? split.shuffle };
  const text = state.recipe ?? split.recipe;
  try {
    return new Place(dataset, split, await parseRecipe(text), settled, steps);
  } catch (error) {
    error.place = new Place(dataset, split, { recipe: text, output_shape: [null, null, null], dtype: "" }, settled, steps);
    throw error;
  }
}

export class Place {
  constructor(dataset, split, recipe, state, steps) {
    Object.assign(this, { dataset, split, recipe, state, steps });
    this.path = splitPath(dataset.name, split.name);
  }

  /** Return the same place with another recipe, parsed. */
  withRecipe(recipe) {
    return new Place(this.dataset, this.split, recipe, this.state, this.steps);
  }

  /** Return the same place, where images that cannot be shown are masked and do not fail the batch. */
  masked() {
    return new Place(this.dataset, this.split, this.recipe, { ...this.state, on_error: "mask" }, this.steps);
  }

  /** Return where a row of the batch stands in the epoch's order, over all ranks; from 0. A last, shorter block is shared out over the ranks. */
  positionOf(row) {
    const { step, batch_size: batchSize, world_size: worldSize, rank } = this.state;
    const start = step * batchSize * worldSize;
    const rows = Math.min(batchSize * worldSize, this.split.size - start);
    return start + Math.floor((rows * rank) / worldSize) + row;
  }

  /** The same place at another epoch or step; null past either end. */
  moved(steps) {
    let { epoch, step } = this.state;
    step += steps;
    if (step >= this.steps) [epoch, step] = [epoch + 1, 0];
    if (step < 0) [epoch, step] = [epoch - 1, this.steps - 1];
    return epoch < 0 ? null : new Place(this.dataset, this.split, this.recipe, { ...this.state, epoch, step }, this.steps);
  }

  /** What picks the batch, for a query. Defaults of the API are left out, those of the settings are not. */
  get query() {
    const { seed, batch_size, shuffle, drop_last, rank, world_size, on_error } = this.state;
    return {
      recipe: this.recipe.recipe,
      seed,
      batch_size,
      shuffle,
      ...(drop_last ? { drop_last } : {}),
      ...(world_size > 1 ? { rank, world_size } : {}),
      ...(on_error ? { on_error } : {}),
      ...this.#pinned,
    };
  }

  /** What the dataset's settings decide, and its version: nothing is left to them where a URL names all else. */
  get #pinned() {
    return { max_resolution: this.dataset.max_resolution, version: this.dataset.version };
  }

  batchUrl(format, more = {}) {
    return withQuery(`${this.path}/batches/${this.state.epoch}/${this.state.step}.${format}`, { ...this.query, ...more });
  }

  viewsUrl(index, format, more = {}) {
    const query = { recipe: this.recipe.recipe, seed: this.state.seed, epoch: this.state.epoch, ...this.#pinned };
    return withQuery(`${this.path}/samples/${index}/views.${format}`, { ...query, ...more });
  }

  sampleUrl(index, rest = "") {
    return `${this.path}/samples/${index}${rest}`;
  }
}
