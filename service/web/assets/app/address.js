// URL <-> state. The query holds all of the state; what has its default is left out.

import { at } from "./base.js";
import { queryOf } from "./text.js";

const LARGEST = Number.MAX_SAFE_INTEGER;
const SHOWN = 40; // Characters of what is quoted.

const WORDS = new Map([
  ...["true", "1", "on", "t", "y", "yes"].map((word) => [word, true]),
  ...["false", "0", "off", "f", "n", "no"].map((word) => [word, false]),
]); // The service's own: pydantic's.

const whole = (least, fallback) => ({
  fallback,
  read: (text) => (/^\s*\+?\d+\s*$/.test(text) && Number(text) >= least && Number(text) <= LARGEST ? Number(text) : undefined),
  allowed: `a whole number from ${least} to ${LARGEST}`,
});
const flag = (fallback) => ({ fallback, read: (text) => WORDS.get(text.toLowerCase()), allowed: "true or false" });
const text = { fallback: null, read: (value) => value || null, allowed: "text" };

export const VIEWS = ["batch", "sample", "recipe", "dataset", "devices"];

const FIELDS = {
  view: { fallback: "batch", read: (value) => (VIEWS.includes(value) ? value : undefined), allowed: VIEWS.join(", ") },
  dataset: text,
  split: text,
  epoch: whole(0, 0),
  step: whole(0, 0),
  seed: whole(0, 0),
  batch_size: whole(1, null),
  shuffle: flag(null),
  drop_last: flag(false),
  rank: whole(0, 0),
  world_size: whole(1, 1),
  recipe: text,
  draft: text,
  index: whole(0, null),
  row: whole(0, null),
  class: text,
  offset: whole(0, 0),
  version: text,
};

const initialState = () => Object.fromEntries(Object.entries(FIELDS).map(([name, field]) => [name, field.fallback]));

/**
 * Reads a query.
 *
 * @returns {{state: object, faults: string[]}} what could be read, and in words what could not.
 */
export function readAddress(search) {
  const state = initialState();
  const faults = [];
  for (const [name, value] of new URLSearchParams(search)) {
    const read = Object.hasOwn(FIELDS, name) ? FIELDS[name].read(value) : undefined;
    if (!Object.hasOwn(FIELDS, name)) faults.push(`There is no parameter ${name.slice(0, SHOWN)}.`);
    else if (read === undefined) faults.push(`${name}=${value.slice(0, SHOWN)} is not ${FIELDS[name].allowed}.`);
    else state[name] = read;
  }
  return { state, faults };
}

/** Writes a state as the address of the page that shows it. */
export function writeAddress(state) {
  const written = queryOf(
    Object.entries(FIELDS)
      .filter(([name, field]) => state[name] !== field.fallback)
      .map(([name]) => [name, state[name]]),
  );
  return at(written ? `/?${written}` : "/");
}
