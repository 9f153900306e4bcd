// Beside the grid: the sample that is pointed at, before and after, and what was done to it.

import { h, put, styled } from "./dom.js";
import { appliedList, className, facts, fileName, frameNote } from "./facts.js";
import { overlayOf } from "./overlay.js";
import { count, why } from "./text.js";

export class Inspector {
  constructor() {
    this.element = h("aside", { class: "inspector", "aria-label": "The sample looked at" });
    this.clear();
  }

  clear() {
    put(this.element, h("p", { class: "hint" }, "Point at a tile to see its file, and what was done to it. Click it to open the sample."));
  }

  /** On a small screen, lies over the page's lower part while a tapped tile is looked at. */
  rise(isUp) {
    this.element.classList.toggle("risen", isUp);
  }

  /**
   * Shows a row.
   *
   * @param {Picture} picture of the batch. @param {number} position the row.
   * @param {Picture|null} originals of the same batch, where they are there already.
   * @param {{place: Place, href: string}} about which batch it is, and where the sample view is.
   */
  show(picture, position, originals, { place, href }) {
    const row = picture.samples[position];
    const recipe = place.recipe.recipe;
    put(
      this.element,
      h(
        "h2",
        {},
        className(row.class, row.label),
        h("a", { href, class: "open" }, "Open sample"),
        h("button", { type: "button", class: "quiet dismiss", onclick: () => this.rise(false) }, "Close"),
      ),
      h("p", { class: "where" }, fileName(row.file)),
      row.problem ? h("p", { class: "why" }, why(row.problem)) : this.#beforeAndAfter(picture, position, originals, recipe),
      facts([
        ["position", `${place.positionOf(position)} of ${count(place.split.size)} in epoch ${place.state.epoch}`],
        ["row", `${position} of this batch`],
        ["index", `${row.index}`],
        ["label", `${row.label}`],
        ["original", row.width ? `${row.width} × ${row.height}` : null],
        ["key", h("code", {}, row.key)],
      ]),
      row.applied.length ? [h("h3", {}, "What was done"), appliedList(row.applied)] : null,
    );
  }

  #beforeAndAfter(picture, position, originals, recipe) {
    const row = picture.samples[position];
    const after = h("canvas", { role: "img", "aria-label": "As the model sees it" });
    picture.draw(after, position);
    const before = h("canvas", { role: "img", "aria-label": "Original" });
    const canDraw = originals && !originals.samples[position].problem;
    if (canDraw) originals.draw(before, position);
    const stage = (canvas, over) => styled(h("span", { class: "stage" }, canvas, over), { "--ratio": canvas.width / canvas.height });
    return h(
      "div",
      { class: "before-after" },
      h("figure", {}, canDraw ? stage(before, overlayOf(recipe, row)) : h("span", { class: "stage waiting" }), h("figcaption", {}, "original")),
      h("figure", {}, stage(after), h("figcaption", {}, "model sees")),
      h("p", { class: "note" }, frameNote(recipe, row)),
    );
  }
}
