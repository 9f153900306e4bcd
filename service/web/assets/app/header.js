// The bar at the top: what is looked at, and how.

import { VIEWS } from "./address.js";
import { at } from "./base.js";
import { attribute, h, icon, put } from "./dom.js";

const TITLES = { batch: "Batch", sample: "Sample", recipe: "Recipe", dataset: "Dataset", devices: "Devices" };
/** What is about one dataset or split, and means nothing in another. */
export const ELSEWHERE = { recipe: null, draft: null, index: null, row: null, class: null, offset: 0, step: 0, version: null };

export class Header {
  #catalogue = [];

  constructor({ store, actions }) {
    this.store = store;
    this.dataset = h("select", { "aria-label": "Dataset", onchange: () => this.#choose() });
    this.split = h("select", { "aria-label": "Split", onchange: () => store.set({ ...ELSEWHERE, split: this.split.value }) });
    this.tabs = Object.fromEntries(VIEWS.map((view) => [view, h("a", { href: at("/") }, TITLES[view])]));
    const button = (name, label, text) =>
      h("button", { type: "button", class: "quiet", "aria-label": label, title: label, onclick: actions[name] }, icon(name), text);
    this.element = h(
      "header",
      { class: "bar" },
      h(
        "a",
        { class: "brand", href: at("/"), "aria-label": "Batchlens, first page" },
        h("img", { src: at("/assets/icon.svg"), width: 26, height: 26, alt: "" }),
        h("span", {}, "Batchlens"),
      ),
      h("div", { class: "choice" }, this.dataset, h("span", { "aria-hidden": "true" }, "/"), this.split),
      h("nav", { "aria-label": "Views" }, Object.values(this.tabs)),
      h(
        "div",
        { class: "actions" },
        button("link", "Copy link (L)", h("span", { class: "wide" }, "Copy link")),
        button("theme", "Light or dark (T)"),
        button("keys", "Keys (?)"),
        h("a", { class: "quiet wide", href: at("/docs") }, "API"),
      ),
    );
  }

  /** Sets what there is to choose from. */
  offer({ datasets, unavailable = [] }) {
    this.#catalogue = datasets;
    put(
      this.dataset,
      datasets.map(({ name }) => h("option", { value: name }, name)),
      unavailable.map(({ name }) => h("option", { value: name, disabled: true }, `${name} (cannot be served)`)),
    );
  }

  update(state) {
    const { dataset, split, view } = state;
    const known = this.#catalogue.find(({ name }) => name === dataset);
    const splits = Object.keys(known?.splits ?? {});
    put(
      this.split,
      splits.map((name) => h("option", { value: name }, name)),
    );
    this.dataset.value = dataset ?? "";
    this.split.value = split ?? "";
    this.dataset.title = dataset ?? "";
    this.split.title = split ?? "";
    for (const [name, tab] of Object.entries(this.tabs)) {
      tab.href = this.store.link({ view: name });
      attribute(tab, "aria-current", name === view ? "page" : null);
    }
    document.title = `${TITLES[view]} · ${dataset ?? ""} ${split ?? ""} · Batchlens`;
  }

  #choose() {
    const { name, splits } = this.#catalogue.find((each) => each.name === this.dataset.value);
    const { split } = this.store.state;
    this.store.set({ ...ELSEWHERE, dataset: name, split: split in splits ? split : Object.keys(splits)[0] });
  }
}
