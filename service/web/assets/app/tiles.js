// A grid of tiles: each a link to its sample, with its class below. Tiles stay while pictures change, so that focus and pointer stay where they are.

import { at } from "./base.js";
import { attribute, h, put, styled } from "./dom.js";
import { swatch } from "./facts.js";
import { overlayOf } from "./overlay.js";
import { why } from "./text.js";

const GAP = 10;
const CAPTION = 26;
const LARGEST = 300;
const LEAST = 104;

/** Chooses columns so that all tiles are seen at once, as large as that allows; where they would be tiny, the page scrolls. */
export function chooseColumns(count, width, height) {
  const narrowest = width < 480 ? 3 : Math.max(1, Math.floor((width + GAP) / (LEAST + GAP)));
  if (width < 480) return Math.min(count, count <= 4 ? 2 : 3);
  for (let columns = Math.max(1, Math.ceil((width + GAP) / (LARGEST + GAP))); columns < narrowest; columns += 1) {
    const tile = (width - GAP * (columns - 1)) / columns;
    if (Math.ceil(count / columns) * (tile + CAPTION + GAP) <= height) return columns;
  }
  return narrowest;
}

export class Tiles {
  #tiles = [];

  /** @param {{href: (row) => string, onlook: (position, isTapped) => void}} options where a tile leads, and what to do when one is
   * pointed at, or tapped. */
  constructor({ href, onlook }) {
    this.href = href;
    this.onlook = onlook;
    this.element = h("div", { class: "tiles", role: "list", "aria-label": "Samples of the batch" });
    this.element.addEventListener("click", (event) => this.#onTap(event), true);
  }

  /** Sets the number of tiles; new ones are grey until they are drawn. Gives their width in CSS pixels. */
  layOut(count, width, height) {
    const columns = chooseColumns(count, width, height);
    styled(this.element, { "--columns": columns });
    while (this.#tiles.length > count) this.#tiles.pop().item.remove();
    while (this.#tiles.length < count) this.#tiles.push(this.#make(this.#tiles.length));
    return (width - GAP * (columns - 1)) / columns;
  }

  /** Shows a picture; with `recipe`, its rows are originals, and what the recipe leaves of them is drawn on top. */
  show(picture, { recipe, applied } = {}) {
    picture.samples.forEach((row, position) => {
      const { link, face, caption } = this.#tiles[position];
      link.href = this.href(row);
      attribute(link, "class", row.problem ? "tile failed" : "tile");
      put(caption, swatch(row.label), h("span", {}, row.class), h("small", {}, `#${row.index}`));
      if (row.problem) put(face, h("span", { class: "why" }, why(row.problem)));
      else this.#draw(face, picture, row, position, recipe && applied[position]?.length ? overlayOf(recipe, { ...row, applied: applied[position] }) : null);
    });
  }

  #draw(face, picture, row, position, over) {
    const kept = face.querySelector("canvas");
    const canvas = kept ?? h("canvas", { role: "img" });
    canvas.setAttribute("aria-label", `${row.class}, sample ${row.index}${over ? ", original" : ""}`);
    picture.draw(canvas, position);
    const stage = h("span", { class: "stage" }, canvas, over);
    styled(stage, { "--ratio": canvas.width / canvas.height });
    put(face, stage);
  }

  /** Marks the tile that is looked at. */
  mark(position) {
    this.#tiles.forEach(({ link }, at) => attribute(link, "data-looked", at === position));
  }

  #make(position) {
    const face = h("span", { class: "face" });
    const caption = h("span", { class: "caption" }, "\u00a0");
    const look = () => this.onlook(position);
    const link = h("a", { class: "tile waiting", href: at("/"), onpointerenter: look, onfocus: look }, face, caption);
    const item = h("div", { role: "listitem" }, link);
    this.element.append(item);
    return { item, link, face, caption };
  }

  /** A finger cannot hover: its first tap looks, the second opens. */
  #onTap(event) {
    const tile = event.target.closest("a.tile");
    if (!tile || event.pointerType !== "touch" || tile.dataset.tapped !== undefined) return;
    event.preventDefault();
    event.stopPropagation();
    for (const { link } of this.#tiles) attribute(link, "data-tapped", link === tile);
    this.onlook(
      this.#tiles.findIndex(({ link }) => link === tile),
      true,
    );
  }
}
