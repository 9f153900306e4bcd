// What is wrong, in words, and what to do about it. Never a blank page.

import { h } from "./dom.js";
import { reason } from "./text.js";

const TITLES = {
  "invalid-recipe": "The recipe does not parse",
  "step-failed": "A step of the recipe cannot be applied",
  "unknown-dataset": "There is no such dataset",
  "unknown-sample": "There is no such sample",
  "queue-full": "The service is busy",
  "deadline-exceeded": "This took too long",
  "batch-too-large": "The batch is too large",
};

/**
 * A panel that says what went wrong.
 *
 * @param {Error} error an ApiError, or a fault of the page.
 * @param {[string, string | (() => void)][]} ways out: a name, and a link or what to do.
 */
export function problemPanel(error, ways = []) {
  const title = TITLES[error.problem?.code] ?? error.problem?.title ?? "This cannot be shown";
  return h(
    "div",
    { class: "problem", role: "alert" },
    h("h2", {}, title),
    h("p", {}, reason(error)),
    h(
      "p",
      { class: "ways" },
      ways.map(([name, way]) => (typeof way === "string" ? h("a", { class: "button", href: way }, name) : h("button", { type: "button", onclick: way }, name))),
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
