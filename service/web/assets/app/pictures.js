// Batches as tiles: one picture and one description for each, cut apart here, so that a batch costs two requests and one rendering.

import { ApiError, getJson, request } from "./api.js";
import { resizedSize } from "./frame.js";
import { reason } from "./text.js";

const PADDING = 2; // Pixels around the tiles of a picture, as the API draws it.
const SIZES = [64, 96, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 1024];
const COLUMNS = 16;
const COARSE = 96; // Images of at most as many pixels are shown with their pixels, not smoothed.
const KEPT_PIXELS = 64e6; // Four bytes each.
const ORIGINAL_PIXELS = 24e6; // Of all originals of a batch together.
const ABOUT_ONE_SAMPLE = new Set(["step-failed", "sample-changed", "sample-unavailable", "render-crashed", "unreadable-image", "image-too-large"]);

/** The size to ask for: at least what the screen shows, from a few steps, so that caches are hit; never larger than the images themselves. */
export function tileSize(cssPixels, shape) {
  const wanted = SIZES.find((size) => size >= cssPixels * devicePixelRatio) ?? SIZES.at(-1);
  const own = shape && shape[1] && shape[2] ? Math.max(shape[1], shape[2]) : Infinity;
  return own <= wanted && own <= 1024 ? null : wanted;
}

/** The recipe that shows originals, at most `size` pixels long. */
export const originalRecipe = (size) => `Resize(None, max_size=${size})`;

/** Decodes a picture; pixels stay as they are. */
export async function fetchBitmap(url, options) {
  const response = await request(url, options);
  const bitmap = await createImageBitmap(await response.blob(), { colorSpaceConversion: "none" });
  return { bitmap, timing: response.headers.get("server-timing") ?? "" };
}

/** Where the tiles lie in a picture of `count` tiles. */
function cells(bitmap, count, columns) {
  if (count === 1) return [[0, 0, bitmap.width, bitmap.height]];
  const across = Math.min(columns, count);
  const width = (bitmap.width - PADDING) / across - PADDING;
  const height = (bitmap.height - PADDING) / Math.ceil(count / across) - PADDING;
  return Array.from({ length: count }, (_, at) => [
    PADDING + (at % across) * (width + PADDING),
    PADDING + Math.floor(at / across) * (height + PADDING),
    width,
    height,
  ]);
}

/** A batch ready to draw: `samples` as provenance has them, and where the pixels of each are. Rows with a `problem` have none to show. */
export class Picture {
  constructor(provenance, tiles, timing = "") {
    Object.assign(this, { provenance, tiles, timing, samples: provenance.samples });
  }

  static cut(provenance, bitmap, timing) {
    return new Picture(
      provenance,
      cells(bitmap, provenance.samples.length, COLUMNS).map((rect) => ({ bitmap, rect })),
      timing,
    );
  }

  /** Draws a tile into a canvas, as many pixels as it has. */
  draw(canvas, position) {
    const { bitmap, rect } = this.tiles[position];
    const [x, y, width, height] = rect;
    canvas.width = width;
    canvas.height = height;
    canvas.classList.toggle("coarse", Math.max(width, height) <= COARSE);
    canvas.getContext("2d", { alpha: false }).drawImage(bitmap, x, y, width, height, 0, 0, width, height);
  }
}

/** Cuts away the grey around originals: they stand in the middle of equal cells, and their sizes are known. */
export function trim(picture, size) {
  const tiles = picture.tiles.map(({ bitmap, rect }, at) => {
    const [x, y, width, height] = rect;
    const row = picture.samples[at];
    if (row.problem || !row.width) return { bitmap, rect };
    const [high, wide] = resizedSize(row.height, row.width, null, size);
    return { bitmap, rect: [x + Math.floor((width - wide) / 2), y + Math.floor((height - high) / 2), wide, high] };
  });
  return new Picture(picture.provenance, tiles, picture.timing);
}

const kept = new Map();

/**
 * Fetches a batch; the last ones are kept, and who asks for one under way shares it.
 *
 * @param {Place} place which batch.
 * @param {number|null} tile longest side of a tile; null for the images' own size.
 * @param {AbortSignal} signal ends the waiting of this caller. A request that nobody waits for any more is broken off.
 */
export function fetchBatch(place, tile, signal, priority = "auto") {
  const look = { on_error: "mask" };
  const url = place.batchUrl("png", { ...look, columns: COLUMNS, tile, labels: false });
  let entry = kept.get(url);
  if (entry) kept.delete(url);
  else entry = begin(url, place.batchUrl("json", look), priority);
  kept.set(url, entry);
  makeRoom(entry);
  return wait(entry, signal);
}

/** Lets the pictures go that were not asked for for the longest time; never the one that is asked for now. */
function makeRoom(newest) {
  let pixels = [...kept.values()].reduce((sum, each) => sum + each.pixels, 0);
  for (const [url, entry] of kept) {
    if (pixels <= KEPT_PIXELS || entry === newest) break;
    kept.delete(url);
    pixels -= entry.pixels;
  }
}

function begin(url, jsonUrl, priority) {
  const controller = new AbortController();
  const options = { signal: controller.signal, priority };
  const entry = { controller, waiting: 0, isDone: false, pixels: 0 };
  entry.promise = Promise.all([getJson(jsonUrl, options), fetchBitmap(url, options)]).then(
    ([provenance, { bitmap, timing }]) => {
      entry.isDone = true;
      entry.pixels = bitmap.width * bitmap.height;
      return Picture.cut(provenance, bitmap, timing);
    },
    (error) => {
      if (kept.get(url) === entry) kept.delete(url);
      throw error;
    },
  );
  entry.promise.catch(() => {});
  entry.forget = () => kept.get(url) === entry && kept.delete(url);
  return entry;
}

function wait(entry, signal) {
  entry.waiting += 1;
  return new Promise((resolve, reject) => {
    const leave = () => {
      entry.waiting -= 1;
      if (!entry.waiting && !entry.isDone) {
        entry.forget();
        entry.controller.abort();
      }
      reject(new DOMException("No longer wanted", "AbortError"));
    };
    if (signal?.aborted) return leave();
    signal?.addEventListener("abort", leave, { once: true });
    return entry.promise.then(resolve, reject).finally(() => signal?.removeEventListener("abort", leave));
  });
}

/** Fetches a batch's originals, at most `most` pixels long: the same rows through a recipe that only makes them smaller. */
export async function fetchOriginals(place, most, signal) {
  const share = Math.sqrt(ORIGINAL_PIXELS / place.state.batch_size);
  const size = SIZES.findLast((each) => each <= Math.min(most, share)) ?? SIZES[0];
  const recipe = { ...place.recipe, recipe: originalRecipe(size), output_shape: [3, null, null] };
  return trim(await fetchBatch(place.withRecipe(recipe), null, signal), size);
}

/**
 * Fetches a batch, and where one sample spoils it, sample by sample, so that every other one is seen and each failure says why.
 *
 * @throws {ApiError} what is wrong concerns more than single samples.
 */
export async function fetchBatchOrSamples(place, tile, signal) {
  try {
    return await fetchBatch(place, tile, signal);
  } catch (error) {
    if (!(error instanceof ApiError) || !ABOUT_ONE_SAMPLE.has(error.problem?.code)) throw error;
  }
  const plan = await fetchOriginals(place, SIZES[0], signal);
  const found = await Promise.all(plan.samples.map((row) => fetchSample(place, row, tile, signal)));
  const provenance = { ...plan.provenance, recipe: place.recipe.recipe, shape: undefined, samples: found.map(({ row }) => row) };
  return new Picture(
    provenance,
    found.map(({ tile: each }) => each),
  );
}

async function fetchSample(place, row, tile, signal) {
  const query = { epochs: 1, original: false, labels: false, tile };
  try {
    const told = await getJson(place.viewsUrl(row.index, "json", { epochs: 1 }), { signal });
    const { bitmap } = await fetchBitmap(place.viewsUrl(row.index, "png", query), { signal });
    return { row: { ...row, applied: told.views[0].applied }, tile: { bitmap, rect: [0, 0, bitmap.width, bitmap.height] } };
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return { row: { ...row, applied: [], problem: reason(error) }, tile: null };
  }
}
