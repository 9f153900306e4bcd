// The batch view: an epoch, step by step, as tiles.

import { batchCode } from "../code.js";
import { CodePanel } from "../codepanel.js";
import { h, put } from "../dom.js";
import { medianShare } from "../facts.js";
import { Holder } from "../holder.js";
import { recipeText } from "../highlight.js";
import { Inspector } from "../inspector.js";
import { Latest } from "../latest.js";
import { problemPanel } from "../notices.js";
import { pause } from "../pause.js";
import { fetchBatch, fetchBatchOrSamples, fetchOriginals, tileSize } from "../pictures.js";
import { findPlace } from "../place.js";
import { several } from "../text.js";
import { Tiles } from "../tiles.js";
import { Toolbar } from "../toolbar.js";
import { knownWays } from "../ways.js";

const RAPID_MILLISECONDS = 120;
const LINGER_MILLISECONDS = 350;
const ORIGINAL_PIXELS = 384;
/** What leads from a batch that cannot be to one that can. */
const AFRESH = { epoch: 0, step: 0, seed: 0, batch_size: null, shuffle: null, drop_last: false, rank: 0, world_size: 1, row: null };
const FORMATS = ["png", "safetensors", "npz", "json"];

export class BatchView {
  #now = new Latest();
  #ahead = new Latest();
  #behind = new Latest();
  #shown = null;
  #originals = null;
  #looked = 0;
  #lingering = null;
  #width = 0;
  #lastUpdate = 0;

  constructor({ store, say }) {
    this.store = store;
    this.toolbar = new Toolbar(store);
    this.inspector = new Inspector();
    this.tiles = new Tiles({
      href: (row, at) => store.link({ view: "sample", index: row.index, row: at }),
      onlook: (at, how) => this.#linger(at, how),
      onleave: () => this.#leave(),
    });
    this.recipe = h("div", { class: "recipe-line" });
    this.notice = h("div", { class: "notice-place" });
    this.caption = h("p", { class: "caption-line" });
    this.holder = new Holder(() => this.#drawTiles());
    this.area = h("div", { class: "grid-area" }, h("div", { class: "above" }, this.caption, this.holder.button), this.notice, this.tiles.element);
    this.code = new CodePanel({ say });
    this.element = h(
      "section",
      { class: "view batch" },
      h("h1", { class: "offscreen" }, "Batch"),
      this.toolbar.element,
      this.recipe,
      h("div", { class: "board" }, this.area, this.inspector.element),
      this.code.element,
    );
    this.watcher = new ResizeObserver(() => this.#resized());
    this.watcher.observe(this.area);
  }

  get keys() {
    const { toolbar } = this;
    return {
      ArrowRight: () => toolbar.walk(1),
      ArrowLeft: () => toolbar.walk(-1),
      "Shift+ArrowRight": () => toolbar.leap(1),
      "Shift+ArrowLeft": () => toolbar.leap(-1),
      Home: () => toolbar.jump(0),
      End: () => toolbar.jump(-1),
      " ": () => toolbar.player.toggle(),
    };
  }

  get held() {
    return { o: this.holder.hold };
  }

  update(state) {
    const isRapid = performance.now() - this.#lastUpdate < RAPID_MILLISECONDS;
    this.#lastUpdate = performance.now();
    return this.#now.run(
      (signal) => this.#load(state, isRapid, signal),
      (error) => this.#fail(error),
    );
  }

  close() {
    this.toolbar.player.stop();
    this.watcher.disconnect();
    clearTimeout(this.#lingering);
    for (const each of [this.#now, this.#ahead, this.#behind]) each.stop();
  }

  async #load(state, isRapid, signal) {
    const place = await findPlace(state);
    signal.throwIfAborted();
    this.#describe(place);
    const width = this.#layOut(this.#shown?.picture.samples.length ?? Math.min(place.state.batch_size, place.split.size));
    if (isRapid) await pause(RAPID_MILLISECONDS, signal);
    const tile = tileSize(width, place.recipe.output_shape);
    const picture = await fetchBatchOrSamples(place, tile, signal);
    signal.throwIfAborted();
    this.#show(place, picture, tile);
  }

  #show(place, picture, tile) {
    const isFirst = !this.#shown;
    this.#shown = { place, picture, tile };
    this.#originals = null;
    if (picture.samples.some((row) => row.problem)) this.#showCode(place.masked());
    put(this.notice, this.#versionNotice(place), picture.samples.length ? null : h("p", { class: "hint" }, "No samples for this rank in this step."));
    this.#layOut(picture.samples.length);
    this.tiles.element.hidden = false;
    this.tiles.show(picture, place);
    this.#caption(place, picture);
    this.#look(this.#chosen);
    if (isFirst && this.store.state.row !== null) this.tiles.reveal(this.#chosen);
    this.toolbar.player.seen();
    this.#fetchMore(place, tile);
  }

  /** The originals of what is seen, and the picture that is probably asked for next. */
  #fetchMore(place, tile) {
    this.#behind.run(async (signal) => {
      if (!this.holder.isHeld) await pause(RAPID_MILLISECONDS, signal);
      this.#originals = await fetchOriginals(place, ORIGINAL_PIXELS, signal);
      signal.throwIfAborted();
      this.#look(this.#looked);
      if (this.holder.isHeld) this.#drawTiles();
    });
    const next = place.moved(1);
    this.#ahead.run(async (signal) => {
      if (next) await fetchBatch(next, tile, signal, "low");
    });
  }

  #describe(place) {
    this.toolbar.show(place);
    const edit = this.store.link({ view: "recipe", draft: place.recipe.recipe });
    const own = place.recipe.recipe === place.split.recipe ? null : h("a", { href: this.store.link({ recipe: null }) }, `${place.split.name}'s own`);
    put(
      this.recipe,
      h("span", { class: "name" }, "Recipe"),
      recipeText(place.recipe.recipe),
      h("span", { class: "ways" }, own, h("a", { href: edit }, "Edit")),
    );
    this.#showCode(place);
  }

  #showCode(place) {
    this.code.show(
      batchCode(place),
      FORMATS.map((format) => [format, place.batchUrl(format)]),
    );
  }

  #caption(place, picture) {
    this.caption.setAttribute("aria-live", this.toolbar.player.isPlaying ? "off" : "polite");
    const { epoch, step } = place.state;
    const seen = medianShare(place.recipe.recipe, picture.samples);
    const failed = picture.samples.filter((row) => row.problem).length;
    put(
      this.caption,
      h("strong", {}, `Epoch ${epoch}, step ${step}`),
      h("span", {}, several(picture.samples.length, "sample")),
      seen === null
        ? null
        : h("span", { title: "The median over the batch of the part of its original that a sample shows" }, `${seen} % of the originals left`),
      failed ? h("span", { class: "why" }, `${failed} cannot be shown`) : null,
      picture.provenance.shape === null && picture.samples.length > 1
        ? h("span", { class: "why", title: "The tensors of a batch stack only where its samples have one shape." }, "shapes differ: no tensors")
        : null,
      timing(picture.timing),
    );
  }

  #versionNotice(place) {
    const { version } = this.store.state;
    if (!version || version === place.dataset.version) return null;
    return h(
      "p",
      { class: "notice" },
      `This link was made for version ${version} of the dataset. Its files have changed since: shown is version ${place.dataset.version}.`,
    );
  }

  #fail(error) {
    this.toolbar.player.stop();
    if (error.place) this.#describe(error.place);
    this.#shown = null;
    this.tiles.element.hidden = true;
    this.inspector.clear();
    put(this.caption);
    const { recipe } = this.store.state;
    const ways = [["Try again", () => this.update(this.store.state)]];
    if (recipe)
      ways.push(["Use the split's own recipe", this.store.link({ recipe: null })], ["Edit the recipe", this.store.link({ view: "recipe", draft: recipe })]);
    if (error.problem?.code === "invalid-parameter") ways.push(["First batch of the split", this.store.link(AFRESH)]);
    put(this.notice, problemPanel(error, [...ways, ...knownWays(error, this.store)]));
  }

  /** The row of the batch that the link names: the chosen one. */
  get #chosen() {
    return Math.min(this.store.state.row ?? 0, (this.#shown?.picture.samples.length ?? 1) - 1);
  }

  /** Looks at a tile; who stays on it chooses it, so that passing over others on the way to a button changes nothing. */
  #linger(position, { isTapped = false, isResting = false }) {
    if (isResting && this.store.state.row !== null) return;
    if (isTapped) this.inspector.rise(true);
    this.#look(position);
    clearTimeout(this.#lingering);
    const choose = () => this.#shown && this.store.note({ row: position });
    if (isTapped) choose();
    else this.#lingering = setTimeout(choose, LINGER_MILLISECONDS);
  }

  #leave() {
    clearTimeout(this.#lingering);
    this.#look(this.#chosen);
  }

  #look(position) {
    if (!this.#shown || position < 0) return;
    this.#looked = position;
    const { picture, place } = this.#shown;
    const row = picture.samples[Math.min(position, picture.samples.length - 1)];
    if (!row) return;
    this.tiles.mark(position);
    this.inspector.show(picture, position, this.#originals, { place, href: this.tiles.href(row, position) });
  }

  #drawTiles() {
    if (!this.#shown) return;
    const { picture, place } = this.#shown;
    if (this.holder.isHeld && this.#originals)
      this.tiles.show(this.#originals, place, { recipe: place.recipe.recipe, applied: picture.samples.map((row) => row.applied) });
    else this.tiles.show(picture, place);
  }

  #resized() {
    if (!this.#shown || this.#width === this.area.clientWidth) return;
    const { place, picture, tile } = this.#shown;
    const wanted = tileSize(this.#layOut(picture.samples.length), place.recipe.output_shape);
    if (wanted !== tile) this.update(this.store.state);
  }

  /** Makes room for tiles; gives their width in CSS pixels. */
  #layOut(count) {
    this.#width = this.area.clientWidth;
    const room = innerHeight - (this.area.getBoundingClientRect().top + scrollY) - 60;
    return this.tiles.layOut(count, this.#width, Math.max(320, room));
  }
}

function timing(header) {
  const stages = Object.fromEntries([...header.matchAll(/(\w+);dur=([\d.]+)/g)].map(([, name, time]) => [name, Number(time)]));
  const total = Object.values(stages).reduce((sum, each) => sum + each, 0);
  return total ? h("span", { class: "timing", title: `In the service, in milliseconds: ${header.replaceAll(";dur=", " ")}` }, `${total.toFixed(0)} ms`) : null;
}
