// The dataset view: what is in it, class by class, size by size, image by image.

import { forgetDatasets, getDataset, getJson, splitPath, withQuery } from "../api.js";
import { at } from "../base.js";
import { meter } from "../charts.js";
import { datasetCode } from "../code.js";
import { CodePanel } from "../codepanel.js";
import { attribute, h, put, styled } from "../dom.js";
import { className, swatch } from "../facts.js";
import { Latest } from "../latest.js";
import { problemPanel, unavailableList } from "../notices.js";
import { originalRecipe } from "../pictures.js";
import { unknownSplit } from "../place.js";
import { Sizes } from "../sizes.js";
import { count, several, why } from "../text.js";
import { knownWays } from "../ways.js";

const PAGE = 60;
const THUMBNAIL = 192;

export class DatasetView {
  #now = new Latest();

  constructor({ store, say, watch, unavailable }) {
    this.store = store;
    this.title = h("h1", {}, "Dataset");
    this.about = h("div", { class: "about-dataset" });
    this.notice = h("div", { class: "notice-place" });
    this.bars = h("ul", { class: "class-bars" });
    this.sizes = new Sizes({ store, watch });
    this.notes = h("ul", { class: "dataset-notes" });
    this.wall = h("div", { class: "wall", role: "list", "aria-label": "Originals" });
    this.pages = h("nav", { class: "pages", "aria-label": "Pages of originals" });
    this.wallTitle = h("h2", {}, "Originals");
    this.code = new CodePanel({ say });
    this.body = h(
      "div",
      {},
      h(
        "div",
        { class: "panels" },
        h("section", { class: "panel" }, h("h2", {}, "Classes"), this.bars),
        h("section", { class: "panel" }, h("h2", {}, "Sizes"), this.sizes.element),
      ),
      h("section", { class: "panel" }, h("div", { class: "above" }, this.wallTitle, this.pages), this.wall),
    );
    this.element = h("section", { class: "view dataset" }, h("div", { class: "toolbar" }, this.title, this.about), this.notes, this.notice, this.body, unavailableList(unavailable), this.code.element);
  }

  get keys() {
    return { ArrowRight: () => this.#turn(PAGE), ArrowLeft: () => this.#turn(-PAGE) };
  }

  update(state) {
    return this.#now.run(
      (signal) => this.#load(state, signal),
      (error) => this.#fail(error),
    );
  }

  close() {
    this.#now.stop();
    this.sizes.stop();
  }

  async #load(state, signal) {
    forgetDatasets(); // This view is about what is there now.
    const dataset = await getDataset(state.dataset);
    signal.throwIfAborted();
    if (!dataset.splits[state.split]) throw unknownSplit(dataset, state.split);
    const path = splitPath(state.dataset, state.split);
    this.#describe(dataset, state);
    this.sizes.show(dataset, state, path);
    const listing = withQuery(`${path}/samples`, { offset: state.offset, limit: PAGE, class: state.class });
    this.code.show(datasetCode(dataset.name, listing), [
      ["dataset.json", at(`/datasets/${encodeURIComponent(dataset.name)}`)],
      ["samples.json", listing],
    ]);
    const page = await getJson(listing, { signal });
    signal.throwIfAborted();
    this.#hang(dataset, state, path, page);
  }

  #describe(dataset, state) {
    const split = dataset.splits[state.split];
    put(this.notice);
    this.body.hidden = false;
    put(this.title, dataset.name);
    const sizes = Object.values(dataset.splits)
      .map(({ name, size }) => `${count(size)} ${name}`)
      .join(", ");
    put(
      this.about,
      [
        ["folder ", h("code", {}, dataset.root)],
        sizes,
        several(dataset.classes.length, "class", "classes"),
        ["version ", h("code", {}, dataset.version)],
        dataset.refused ? `${several(dataset.refused, "link")} out of the folder passed over` : null,
      ]
        .filter(Boolean)
        .map((each) => h("span", {}, each)),
    );
    put(
      this.notes,
      (dataset.notes ?? []).map((note) => h("li", {}, note)),
    );
    const splits = [split, ...Object.values(dataset.splits).filter((each) => each !== split)];
    const most = Math.max(...splits.flatMap((each) => Object.values(each.class_counts)));
    put(
      this.bars,
      dataset.classes.map((name, label) => this.#classBar(name, label, state, splits, most)),
    );
  }

  /** A class's samples in this split, and fainter in the others. */
  #classBar(name, label, state, splits, most) {
    const isChosen = state.class === name;
    const bars = splits.map((split) => meter(split.name, split.class_counts[name] ?? 0, most, count(split.class_counts[name] ?? 0)));
    const title = isChosen ? "Show all classes" : `Show only ${name}`;
    return h(
      "li",
      {},
      h(
        "a",
        { href: this.store.link({ class: isChosen ? null : name, offset: 0 }), "aria-current": isChosen ? "true" : null, title, class: `hue-${label % 8}` },
        className(name, label),
        h("span", { class: "bars" }, bars),
      ),
    );
  }

  #hang(dataset, state, path, { total, offset, samples }) {
    this.total = total;
    put(
      this.wallTitle,
      "Originals",
      state.class ? [" of ", className(state.class, dataset.classes.indexOf(state.class))] : null,
      h("small", {}, several(total, "image")),
    );
    const last = Math.min(total, offset + samples.length);
    put(
      this.pages,
      h("a", { href: this.#page(offset - PAGE), class: "button", "aria-disabled": offset === 0 ? "true" : null }, "Back"),
      h("span", {}, `${total ? offset + 1 : 0} to ${last}`),
      h("a", { href: this.#page(offset + PAGE), class: "button", "aria-disabled": last >= total ? "true" : null }, "On"),
    );
    put(
      this.wall,
      samples.map((each) => this.#thumbnail(each, path, dataset)),
      h("div", { class: "rest" }),
      samples.length ? null : h("p", { class: "hint" }, "No images here."),
    );
    attribute(this.wall, "data-class", state.class);
  }

  #thumbnail(sample, path, dataset) {
    const { max_resolution, version } = dataset;
    const query = { recipe: originalRecipe(THUMBNAIL), epochs: 1, original: false, labels: false, max_resolution, version };
    const failed = (text) => h("span", { class: "why" }, text);
    const face = sample.problem
      ? failed(why(sample.problem))
      : h("img", {
          src: withQuery(`${path}/samples/${sample.index}/views.webp`, query),
          alt: `${sample.class}, sample ${sample.index}`,
          loading: "lazy",
          decoding: "async",
          width: sample.width,
          height: sample.height,
          onerror: (event) => event.target.replaceWith(failed("This image cannot be shown.")),
        });
    return styled(
      h(
        "div",
        { role: "listitem" },
        h(
          "a",
          {
            class: sample.problem ? "photo failed" : "photo",
            href: this.store.link({ view: "sample", index: sample.index }),
            title: `${sample.class}\n${sample.file}\n${sample.problem ? why(sample.problem) : `${sample.width} × ${sample.height}`}`,
          },
          face,
          h("span", { class: "caption" }, swatch(sample.label), h("small", {}, `#${sample.index}`)),
        ),
      ),
      { "--ratio": sample.problem ? 1.3 : sample.width / sample.height },
    );
  }

  #page(offset) {
    return this.store.link({ offset: Math.max(0, Math.min(offset, Math.max(0, this.total - 1))) });
  }

  #turn(by) {
    const offset = this.store.state.offset + by;
    if (offset >= 0 && offset < this.total) this.store.set({ offset }, "step");
  }

  #fail(error) {
    this.body.hidden = true;
    put(
      this.notice,
      problemPanel(error, [
        ["Try again", () => this.update(this.store.state)],
        ...(this.store.state.class === null ? [] : [["All classes", this.store.link({ class: null, offset: 0 })]]),
        ...knownWays(error, this.store),
      ]),
    );
  }
}
