// The keyboard: one table of keys, which is also what `?` shows.

import { at } from "./base.js";
import { h } from "./dom.js";

const EVERYWHERE = [
  ["1 … 5", "Batch, Sample, Recipe, Dataset, Devices"],
  ["L", "copy a link to exactly this view"],
  ["T", "light or dark"],
  ["?", "this list"],
];
const BATCH = [
  ["← →", "a step back, a step on"],
  ["Shift ← →", "an epoch back, an epoch on"],
  ["Home End", "first step, last step"],
  ["Space", "play, pause"],
  ["hold O", "the originals in place, with what is left of them"],
  ["Tab, Enter", "to a tile, and into it"],
];
const SAMPLE = [
  ["← →", "the sample before, the sample after"],
  ["Shift ← →", "an epoch back, an epoch on"],
  ["+ − 0", "zoom in, zoom out, fit; arrows move the image while it has the focus"],
  ["Esc", "back to the batch"],
];
const RECIPE = [
  ["hold O", "the originals in place"],
  ["Esc", "leave the editor"],
];

/** Whether a key press belongs to whatever has the focus. */
function isTyping({ target }) {
  return target.matches?.("input:not([type=range]):not([type=checkbox]), textarea, select, [contenteditable]") ?? false;
}

const presses = (target) => target.matches?.("button, summary, input, [role=tab]") ?? false;

/** Names a press: "Shift+ArrowLeft", "o", "?". */
function nameOf(event) {
  const shift = event.shiftKey && event.key.length > 1 ? "Shift+" : "";
  return shift + (event.key.length === 1 ? event.key.toLowerCase() : event.key);
}

/**
 * Listens for keys.
 *
 * @param {() => Record<string, () => void>} pressed what keys do now.
 * @param {() => Record<string, (isDown: boolean) => void>} held what holding a key does now.
 */
export function listenToKeys(pressed, held) {
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const name = nameOf(event);
    if (isTyping(event) && name !== "Escape") return;
    const isItsOwn = (name === " " && presses(event.target)) || (event.target.type === "range" && /^(Arrow|Home|End|Page)/.test(name));
    const action = isItsOwn ? null : pressed()[name];
    if (held()[name] && !event.repeat) held()[name](true);
    if (action) {
      event.preventDefault();
      action();
    }
  });
  addEventListener("keyup", (event) => held()[nameOf(event)]?.(false));
  addEventListener("blur", () => Object.values(held()).forEach((release) => release(false)));
}

/** The dialog that lists the keys. */
export function keyHelp() {
  const part = (title, keys) =>
    h(
      "section",
      {},
      h("h3", {}, title),
      h(
        "dl",
        {},
        keys.map(([key, what]) => h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, what))),
      ),
    );
  const dialog = h(
    "dialog",
    { class: "keys", "aria-label": "Keys" },
    h("header", {}, h("h2", {}, "Keys"), h("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, "Close")),
    h("div", { class: "columns" }, part("Everywhere", EVERYWHERE), part("Batch", BATCH), part("Sample", SAMPLE), part("Recipe", RECIPE)),
    h("p", { class: "note" }, "Everything shown comes from the HTTP API: ", h("a", { href: at("/docs") }, "read about it"), "."),
  );
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  return dialog;
}
