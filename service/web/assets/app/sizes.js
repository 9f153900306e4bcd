// The sizes of a split's images, of one class where only that is looked at.

import { getJson, withQuery } from "./api.js";
import { h, put } from "./dom.js";
import { Latest } from "./latest.js";
import { problemPanel } from "./notices.js";
import { scatter } from "./scatter.js";
import { several } from "./text.js";

const MOST_PAGES = 8;
const PAGE = 100;
const TOLD = 3;

const inPixels = ({ width, height }) => `${width} × ${height}`;

export class Sizes {
  #now = new Latest();
  #measured = "";

  constructor({ store, watch }) {
    Object.assign(this, { store, watch });
    this.element = h("div", { class: "sizes" }, h("span", { class: "stage waiting" }));
  }

  /** Measure the images of a split or of its chosen class: by their headers, all where there are few, else pages spread over the sorted listing. */
  show(dataset, { split, class: name }, path) {
    const about = JSON.stringify([path, dataset.version, name]);
    if (about === this.#measured) return;
    this.#measured = about;
    const { size, class_counts: counts } = dataset.splits[split];
    const total = name === null ? size : (counts[name] ?? 0);
    const measuring = this.#now.run(
      async (signal) => {
        const pages = offsets(total).map((offset) => getJson(withQuery(`${path}/samples`, { offset, limit: PAGE, class: name }), { signal }));
        const found = await Promise.all(pages);
        signal.throwIfAborted();
        this.#plot(
          found.flatMap(({ samples }) => samples),
          total,
          name,
        );
      },
      (error) => {
        this.#measured = "";
        put(this.element, problemPanel(error));
      },
    );
    this.watch("sizes", measuring);
  }

  stop() {
    this.#now.stop();
  }

  #plot(samples, total, name) {
    const read = samples.filter((each) => each.width);
    if (!read.length) {
      put(this.element, h("p", { class: "hint" }, samples.length ? "No image could be read." : "There are no images."));
      return;
    }
    const { element, beyond } = scatter(
      read,
      (each) => this.#link(each),
      (each) => `${each.class}: ${each.file}, ${inPixels(each)}`,
    );
    put(this.element, element, this.#summary(read, samples.length - read.length, total, name), beyond.length ? this.#outliers(beyond) : null);
  }

  #summary(read, unread, total, name) {
    const median = (side) => read.map((each) => each[side]).sort((a, b) => a - b)[Math.floor(read.length / 2)];
    return h(
      "p",
      { class: "note" },
      `${read.length === total ? "All" : `${read.length} of`} ${several(total, "image")}${name === null ? "" : ` of ${name}`};`,
      ` the median is ${median("width")} × ${median("height")}. ×2 stands where two dots lie on each other.`,
      unread ? h("span", { class: "why" }, ` ${several(unread, "file")} cannot be read.`) : null,
    );
  }

  #outliers(beyond) {
    const largest = [...beyond].sort((a, b) => Math.max(b.width, b.height) - Math.max(a.width, a.height)).slice(0, TOLD);
    const links = largest.flatMap((each, at) => [at ? ", " : "", h("a", { href: this.#link(each), title: each.file }, `#${each.index} (${inPixels(each)})`)]);
    const rest = beyond.length - largest.length;
    return h(
      "p",
      { class: "note outliers" },
      `${several(beyond.length, "image")} ${beyond.length === 1 ? "lies" : "lie"} beyond the axes, drawn hollow at their edge: `,
      links,
      rest ? ` and ${rest} more.` : ".",
    );
  }

  #link(sample) {
    return this.store.link({ view: "sample", index: sample.index });
  }
}

/** Where the pages begin that are looked at. */
function offsets(total) {
  const pages = Math.min(MOST_PAGES, Math.ceil(total / PAGE));
  const isAll = pages * PAGE >= total;
  return Array.from({ length: pages }, (_, at) => (isAll ? at * PAGE : Math.floor((at * (total - PAGE)) / (pages - 1))));
}
