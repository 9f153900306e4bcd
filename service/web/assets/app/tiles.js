// A grid of tiles: each a link to its sample, with its class below. Tiles stay while pictures change, so that focus and pointer stay where they are.

import { at } from "./base.js";
import { attribute, h, put, styled } from "./dom.js";
import { swatch } from "./facts.js";
import { overlayOf } from "./overlay.js";
import { why } from "./text.js";

const GAP = 10;
const CAPTION = 46;
const LARGEST = 300;
const LEAST = 104;
const PHONE = 480;
const ON_PHONES = new Map([
  [2, 0.6],
  [3, 1],
  [4, 0.64],
]); // How good so many columns are where the window is narrow.

const tileWidth = (columns, width) => (width - GAP * (columns - 1)) / columns;

/** How full the last row is: above 0, at most 1. */
const lastRow = (count, columns) => (((count - 1) % columns) + 1) / columns;

/**
 * Choose columns so that all tiles are seen at once, as large as that allows, or where they would be tiny, so that the page scrolls; of what is about as
 * good, what fills the last row.
 */
export function chooseColumns(count, width, height) {
  if (count <= 1) return width < PHONE ? 1 : Math.ceil((width + GAP) / (LARGEST + GAP));
  const best = (worths) => worths.map(([columns, worth]) => [columns, worth * lastRow(count, columns)]).reduce((a, b) => (b[1] > a[1] ? b : a))[0];
  if (width < PHONE) return count <= 4 ? Math.min(count === 4 ? 2 : count, 3) : best([...ON_PHONES]);
  const [most, least] = [Math.max(1, Math.floor((width + GAP) / (LEAST + GAP))), Math.max(1, Math.ceil((width + GAP) / (LARGEST + GAP)))];
  if (count <= least) return least;
  const all = Array.from({ length: most - least + 1 }, (_, at) => least + at).filter((columns) => columns <= count);
  const fitting = all.filter((columns) => Math.ceil(count / columns) * (tileWidth(columns, width) + CAPTION + GAP) <= height);
  return fitting.length ? best(fitting.map((columns) => [columns, tileWidth(columns, width)])) : best(all.slice(-4).map((columns) => [columns, columns]));
}

export class Tiles {
  #tiles = [];

  /** @param {{href: (row, at) => string, onlook: (at, how: {isTapped, isResting}) => void, onleave: () => void}} options where the tile of a row leads,
   * and what to do when one is pointed at, or tapped, and when none is any more. */
  constructor({ href, onlook, onleave }) {
    this.href = href;
    this.onlook = onlook;
    this.element = h("div", { class: "tiles", role: "list", "aria-label": "Samples of the batch", onpointerleave: onleave });
    this.element.addEventListener("click", (event) => this.#onTap(event), true);
  }

  /** Sets the number of tiles; new ones are grey until they are drawn. Gives their width in CSS pixels. */
  layOut(count, width, height) {
    const columns = chooseColumns(count, width, height);
    styled(this.element, { "--columns": columns });
    while (this.#tiles.length > count) this.#tiles.pop().item.remove();
    while (this.#tiles.length < count) this.#tiles.push(this.#make(this.#tiles.length));
    return tileWidth(columns, width);
  }

  /** Shows a picture of a batch; with `recipe`, its rows are originals, and what the recipe leaves of them is drawn on top. */
  show(picture, place, { recipe, applied } = {}) {
    picture.samples.forEach((row, position) => {
      const { link, face, caption } = this.#tiles[position];
      const order = place.positionOf(position);
      link.href = this.href(row, position);
      link.title = `${row.class}\nposition ${order} in the order of epoch ${place.state.epoch}\nsample ${row.index}: ${row.file}`;
      attribute(link, "class", row.problem ? "tile failed" : "tile");
      put(caption, swatch(row.label), h("span", {}, row.class), h("data", { value: order }, `pos ${order}`), h("small", {}, `#${row.index}`));
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

  /** Bring a tile into sight. */
  reveal(position) {
    this.#tiles[position]?.item.scrollIntoView({ block: "nearest" });
  }

  /** Marks the tile that is looked at. */
  mark(position) {
    this.#tiles.forEach(({ link }, at) => attribute(link, "data-looked", at === position));
  }

  #make(position) {
    const face = h("span", { class: "face" });
    const caption = h("span", { class: "caption" }, "\u00a0");
    // A browser sends a move without movement where a tile comes to lie under a pointer at rest, and for the first move in a page.
    const point = (event) => this.onlook(position, { isResting: !event.movementX && !event.movementY });
    const onpointermove = (event) => link.dataset.looked === undefined && point(event);
    const link = h("a", { class: "tile waiting", href: at("/"), onpointermove, onfocus: () => this.onlook(position, {}) }, face, caption);
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
      { isTapped: true },
    );
  }
}
