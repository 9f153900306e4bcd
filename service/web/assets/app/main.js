// Starts the page, and shows the view that the state names.

import { forgetUnanswered, getCatalogue, STALE } from "./api.js";
import { VIEWS, writeAddress } from "./address.js";
import { at } from "./base.js";
import { copyText } from "./codepanel.js";
import { h, put } from "./dom.js";
import { Header } from "./header.js";
import { keyHelp, listenToKeys } from "./keys.js";
import { LateNotice } from "./late.js";
import { problemPanel, unavailableList, Voice } from "./notices.js";
import { findPlace } from "./place.js";
import { Store } from "./state.js";
import { toggleTheme } from "./theme.js";
import { BatchView } from "./views/batch.js";
import { DatasetView } from "./views/dataset.js";
import { DevicesView } from "./views/devices.js";
import { RecipeView } from "./views/recipe.js";
import { SampleView } from "./views/sample.js";

const CLASSES = { batch: BatchView, sample: SampleView, recipe: RecipeView, dataset: DatasetView, devices: DevicesView };

class Page {
  #name = null;
  #view = null;
  #update = null;
  #renewal = null;
  #hasShown = false;

  constructor() {
    this.store = new Store();
    this.voice = new Voice();
    const actions = {
      link: () => this.copyLink(),
      theme: () => this.voice.say(`${toggleTheme() === "dark" ? "Dark" : "Light"} theme.`),
      keys: () => this.help.showModal(),
    };
    this.actions = actions;
    this.header = new Header({ store: this.store, actions });
    this.main = h("main", { id: "main", tabindex: -1, "aria-busy": "true" });
    this.late = new LateNotice(this.main, { hasOld: () => this.#hasShown, onretry: () => this.#retry() });
    this.header.element.append(this.late.element);
    this.help = keyHelp();
    const skip = h("a", { class: "skip", href: "#main", onclick: (event) => this.#skip(event) }, "Skip to the content");
    document.body.replaceChildren(skip, this.header.element, this.main, this.voice.element, this.help);
    document.addEventListener("click", (event) => this.#follow(event));
    document.addEventListener(STALE, () => this.#renew());
    listenToKeys(
      () => this.#keys(),
      () => this.#view?.held ?? {},
    );
  }

  async start() {
    try {
      const answer = getCatalogue();
      this.late.watch("view", answer);
      const { datasets, unavailable } = await answer;
      this.header.offer({ datasets, unavailable });
      this.store.settle((state) => completed(state, datasets));
      this.store.datasets = datasets.map(({ name }) => name);
      this.unavailable = unavailable;
    } catch (error) {
      put(this.main, problemPanel(error, [["Try again", () => location.reload()]])).removeAttribute("aria-busy");
      return;
    }
    if (!this.store.datasets.length && this.store.state.view !== "devices") {
      put(this.main, noDatasets(), unavailableList(this.unavailable)).removeAttribute("aria-busy");
      return;
    }
    this.store.subscribe((state, isNoted) => (isNoted ? this.header.update(state) : this.show(state)));
    this.show(this.store.state);
    if (this.store.faults.length)
      this.main.prepend(h("p", { class: "notice", role: "alert" }, `The link could not be read in full: ${this.store.faults.join(" ")}`));
  }

  show(state) {
    this.header.update(state);
    if (this.#name !== state.view) {
      this.#view?.close();
      this.#name = state.view;
      this.#hasShown = false;
      this.late.clear();
      const watch = (name, answer) => this.late.watch(name, answer);
      this.#view = new CLASSES[state.view]({ store: this.store, say: this.voice.say, watch, unavailable: this.unavailable });
      put(this.main, this.#view.element);
      scrollTo(0, 0);
    }
    this.#await(this.#view.update(state));
  }

  /** Says that the view is not what the URL says yet, until it is or says why not. */
  async #await(update) {
    this.main.setAttribute("aria-busy", "true");
    this.#update = update;
    this.late.watch("view", update);
    await update;
    if (this.#update !== update) return;
    this.main.removeAttribute("aria-busy");
    this.#hasShown = true;
  }

  /** Ask anew for what is waited for. */
  #retry() {
    if (!this.#view) location.reload();
    forgetUnanswered();
    this.late.clear();
    if (this.#view) this.show(this.store.state);
  }

  /** Copies a link that leaves nothing to settings, and says for which version of the dataset it was made. */
  async copyLink() {
    const state = { ...this.store.state };
    if (state.view !== "devices") {
      try {
        const place = await findPlace(state);
        const { batch_size, shuffle, step } = place.state;
        Object.assign(state, { batch_size, shuffle, step, recipe: place.recipe.recipe, version: place.dataset.version });
      } catch {
        // What cannot be shown can still be linked to, as it is.
      }
    }
    await copyText(new URL(writeAddress(state), location.href).href);
    this.voice.say("Link copied: the same view, tomorrow and elsewhere.");
  }

  /** Several requests may learn at once that the dataset has changed; one look at its new version is enough. */
  #renew() {
    clearTimeout(this.#renewal);
    this.#renewal = setTimeout(() => {
      this.voice.say("The dataset has changed; this is its new version.");
      this.show(this.store.state);
    });
  }

  #keys() {
    const views = Object.fromEntries(VIEWS.map((view, at) => [String(at + 1), () => this.store.set({ view })]));
    return { ...views, l: this.actions.link, t: this.actions.theme, "?": this.actions.keys, ...this.#view?.keys };
  }

  /** Follows links within the page without loading it anew; modified clicks are the browser's. */
  #follow(event) {
    const link = event.target.closest?.("a[href]");
    if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || link.hasAttribute("download")) return;
    const url = new URL(link.href);
    if (url.origin !== location.origin || url.pathname !== at("/") || url.hash) return;
    event.preventDefault();
    this.store.goTo(url.search);
  }

  #skip(event) {
    event.preventDefault();
    this.main.focus();
  }
}

const noDatasets = () =>
  problemPanel(new Error("The service lists no dataset that can be shown."), [["Try again", () => location.reload()]]);

/** Fills in the dataset and the split that a link leaves open. */
function completed(state, datasets) {
  const dataset = state.dataset ?? datasets[0]?.name ?? null;
  const splits = Object.keys(datasets.find(({ name }) => name === dataset)?.splits ?? {});
  return { ...state, dataset, split: state.split ?? splits[0] ?? null };
}

new Page().start();
