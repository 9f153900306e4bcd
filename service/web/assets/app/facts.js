// What is known of a sample and of what was done to it, as lists.

import { h } from "./dom.js";
import { findFrame } from "./frame.js";
import { coverage } from "./overlay.js";
import { plain, short, splitPath } from "./text.js";

/** A list of names and values; rows without a value are left out. */
export function facts(entries) {
  const shown = entries.filter(([, value]) => value !== null && value !== undefined);
  return h(
    "dl",
    { class: "facts" },
    shown.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
  );
}

/** A path whose last part stands out. */
export function fileName(path) {
  const [folder, name] = splitPath(path);
  return h("span", { class: "file", title: path }, h("span", {}, folder), h("strong", {}, name));
}

/** A class's name after its colour. */
export function className(name, label) {
  return h("span", { class: "class-name" }, swatch(label), name);
}

/** The colour of a class: eight that differ, then the same again. */
export const swatch = (label) => h("i", { class: `swatch hue-${label % 8}`, "aria-hidden": "true" });

/** What each step did, in order. */
export function appliedList(applied) {
  return h("ol", { class: "applied" }, applied.map(appliedStep));
}

function appliedStep({ step, applied, params }) {
  const { steps, ...drawn } = params;
  const values = Object.entries(drawn).filter(([, value]) => value !== null);
  return h(
    "li",
    { class: applied ? "" : "skipped" },
    h("code", {}, step),
    applied ? null : h("small", {}, "left as it was"),
    values.length
      ? h(
          "dl",
          {},
          values.map(([name, value]) => h("div", {}, h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, plain(value)))),
        )
      : null,
    steps ? appliedList(steps) : null,
  );
}

/** How much of its original a sample shows, in percent. */
function share(recipe, row) {
  return coverage(findFrame(recipe, row.applied, row.width, row.height).corners, row.width, row.height);
}

/** The median over a batch; null where nothing is cut away, or nothing can be read. */
export function medianShare(recipe, rows) {
  const shares = rows
    .filter((row) => !row.problem && row.width)
    .map((row) => share(recipe, row))
    .sort((a, b) => a - b);
  const median = shares[Math.floor(shares.length / 2)];
  return shares.length && shares[0] < 99.9 ? Math.round(median) : null;
}

/** In words, how much of the original is left and what moved besides. */
export function frameNote(recipe, row) {
  const { beyond } = findFrame(recipe, row.applied, row.width, row.height);
  const moved = beyond.length ? `; ${beyond.join(", ")} moved pixels further than the frame shows` : "";
  return `shows ${short(Math.round(share(recipe, row) * 10) / 10)} % of the original${moved}`;
}
