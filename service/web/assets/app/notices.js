// What is wrong, in words, and what to do about it. Never a blank page.

import { h } from "./dom.js";
import { reason } from "./text.js";

const TITLES = {
  "no-answer": "The service does not answer",
  error: "This cannot be shown",
  "not-found": "There is no such thing",
  "unknown-dataset": "There is no such dataset",
  "unknown-split": "There is no such split",
  "unknown-class": "There is no such class",
  "unknown-sample": "There is no such sample",
  "unknown-step": "There is no such step in the epoch",
  "unknown-device": "There is no such device",
  "unknown-loader": "There is no such loader",
  "unknown-page": "There is no such page",
  "dataset-unavailable": "The dataset cannot be served",
  "invalid-request": "This cannot be done as asked",
  "invalid-parameter": "A parameter is out of its range",
  "invalid-recipe": "The recipe does not parse",
  "step-failed": "A step of the recipe cannot be applied",
  "unequal-shapes": "The samples have different shapes",
  "batch-too-large": "The batch is too large",
  "not-acceptable": "There is no such format",
  "range-not-satisfiable": "The file ends before that",
  "body-too-large": "The request is too large",
  "unsupported-media-type": "The request is in another format",
  "method-not-allowed": "This cannot be done here",
  "sample-error": "An image cannot be used",
  "unreadable-image": "An image cannot be read",
  "image-too-large": "An image is too large",
  "sample-changed": "An image has changed",
  "sample-unavailable": "An image cannot be opened now",
  "render-crashed": "An image ended its worker",
  "version-gone": "The dataset has changed",
  unavailable: "The service cannot answer now",
  "queue-full": "The service is busy",
  "no-slot": "The service is busy",
  "insufficient-memory": "There is no memory for this now",
  "shutting-down": "The service is closing",
  "not-ready": "The service is still starting",
  "deadline-exceeded": "This took too long",
  "render-failed": "The service met an error of its own",
  "internal-error": "The service met an error of its own",
  "access-error": "This is not allowed",
  "foreign-host": "The service does not answer under this name",
  "foreign-origin": "Another site asked for this",
  "missing-token": "This needs the service's token",
  "writes-forbidden": "Changes are not allowed",
  "startup-error": "The service cannot start like this",
  "no-dataset-found": "There is no dataset in this folder",
  "invalid-dataset": "The dataset cannot be served as it is",
  "invalid-settings": "A setting is out of its range",
  "memory-too-small": "The machine has too little memory",
};

/**
 * A panel that says what went wrong.
 *
 * @param {Error} error an ApiError, or a fault of the page.
 * @param {[string, string | (() => void)][]} ways out: a name, and a link or what to do.
 */
export function problemPanel(error, ways = []) {
  const code = error.problem?.code ?? "error";
  const areLinked = (error.problem?.known ?? []).some((name) => ways.some(([way]) => way === name));
  const text = areLinked ? reason(error).replace(/ Known: .*$/s, "") : reason(error);
  const title = Object.hasOwn(TITLES, code) ? TITLES[code] : TITLES.error;
  return h(
    "div",
    { class: "problem", role: "alert", "data-code": code },
    h("h2", {}, title),
    h("p", {}, text),
    h(
      "p",
      { class: "ways" },
      ways.map(([name, way]) => (typeof way === "string" ? h("a", { class: "button", href: way }, name) : h("button", { type: "button", onclick: way }, name))),
    ),
  );
}

/** The datasets that were found and cannot be served, with the reason; null where there are none. */
export function unavailableList(unavailable = []) {
  if (!unavailable.length) return null;
  return h(
    "section",
    { class: "panel unavailable" },
    h("h2", {}, "Datasets that cannot be served"),
    h(
      "dl",
      { class: "reasons" },
      unavailable.map(({ name, reason: why }) => h("div", {}, h("dt", {}, name), h("dd", {}, why))),
    ),
  );
}

/** The page's one voice: a line that appears, is read out, and goes. */
export class Voice {
  #timer = null;

  constructor() {
    this.element = h("div", { class: "voice", role: "status", "aria-live": "polite" });
  }

  say = (text) => {
    clearTimeout(this.#timer);
    this.element.textContent = text;
    this.element.classList.add("heard");
    this.#timer = setTimeout(() => this.element.classList.remove("heard"), 2600);
  };
}
