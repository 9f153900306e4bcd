// The sample view: one image, what is left of it in this epoch, and in the next ones.

import { getJson } from "../api.js";
import { sampleCode } from "../code.js";
import { CodePanel } from "../codepanel.js";
import { Stepper } from "../controls.js";
import { h, put, styled } from "../dom.js";
import { appliedList, className, facts, fileName, frameNote } from "../facts.js";
import { findFrame } from "../frame.js";
import { recipeText } from "../highlight.js";
import { Latest } from "../latest.js";
import { problemPanel } from "../notices.js";
import { makeRoom, overlay } from "../overlay.js";
import { pause } from "../pause.js";
import { fetchBitmap, fetchOriginals, originalRecipe } from "../pictures.js";
import { findPlace } from "../place.js";
import { bytes, count } from "../text.js";
import { knownWays } from "../ways.js";
import { ZoomView } from "../zoom.js";

const EPOCHS = 8;
const LARGEST_ORIGINAL = 1024;
const RAPID_MILLISECONDS = 60;

export class SampleView {
  #now = new Latest();
  #frames = [];
  #size = null;

  constructor({ store, say }) {
    this.store = store;
    const step = (name) => (value) => store.set({ [name]: value }, "step");
    this.sample = new Stepper({ label: "Sample", title: "Left and right arrow", onset: step("index") });
    this.epoch = new Stepper({ label: "Epoch", title: "Shift with left and right arrow", onset: step("epoch") });
    this.seed = new Stepper({ label: "Seed", title: "Picks the randomness", onset: step("seed") });
    this.heading = h("h1", { class: "sample-name" }, "Sample");
    this.recipe = h("div", { class: "recipe-line" });
    this.notice = h("div", { class: "notice-place" });
    this.original = h("div", { class: "original-place" }, h("span", { class: "stage waiting" }));
    this.zoom = new ZoomView("As the model sees it");
    this.seen = h("figcaption");
    this.epochs = h("div", { class: "epochs", role: "list", "aria-label": "The same sample in the next epochs" });
    this.facts = h("aside", { class: "inspector", "aria-label": "About the sample" });
    this.code = new CodePanel({ say });
    this.body = h(
      "div",
      { class: "board" },
      h(
        "div",
        { class: "grid-area" },
        h(
          "div",
          { class: "pair" },
          h(
            "figure",
            {},
            this.original,
            h("figcaption", {}, "Original: what is left of it in this epoch, dashed in the next ones. The dot comes out top left."),
          ),
          h("figure", {}, this.zoom.element, this.seen),
        ),
        h("h2", { class: "row-title" }, "The next epochs"),
        this.epochs,
      ),
      this.facts,
    );
    const back = h("a", { href: store.link({ view: "batch" }), class: "back" }, "← Batch");
    this.element = h(
      "section",
      { class: "view sample" },
      h(
        "div",
        { class: "toolbar", role: "group", "aria-label": "Sample" },
        h("div", { class: "title" }, back, this.heading),
        h("div", { class: "steppers" }, this.sample.element, this.epoch.element, this.seed.element),
      ),
      this.recipe,
      this.notice,
      this.body,
      this.code.element,
    );
  }

  get keys() {
    const { store } = this;
    const move = (by) => () => {
      const index = (store.state.index ?? 0) + by;
      if (index >= 0 && (!this.#size || index < this.#size)) store.set({ index }, "step");
    };
    const leap = (by) => () => store.state.epoch + by >= 0 && store.set({ epoch: store.state.epoch + by }, "step");
    return {
      ArrowLeft: move(-1),
      ArrowRight: move(1),
      "Shift+ArrowLeft": leap(-1),
      "Shift+ArrowRight": leap(1),
      "+": () => this.zoom.zoom(1.5),
      "-": () => this.zoom.zoom(1 / 1.5),
      0: () => this.zoom.fit(),
      Escape: () => store.set({ view: "batch" }),
    };
  }

  update(state) {
    return this.#now.run(
      (signal) => this.#load(state, signal),
      (error) => this.#fail(error),
    );
  }

  close() {
    this.#now.stop();
  }

  async #load(state, signal) {
    await pause(RAPID_MILLISECONDS, signal);
    const place = await findPlace(state);
    signal.throwIfAborted();
    if (state.index === null) {
      const { samples } = await fetchOriginals(place, 64, signal);
      this.store.set({ index: samples[0]?.index ?? 0 }, "replace");
      return;
    }
    this.#describe(place, state);
    const details = await getJson(place.sampleUrl(state.index), { signal });
    const isLarge = Math.max(details.width ?? 0, details.height ?? 0) > LARGEST_ORIGINAL;
    const originalText = isLarge ? originalRecipe(LARGEST_ORIGINAL) : "ToImage()";
    const one = { epochs: 1, original: false, labels: false };
    const original = fetchBitmap(place.viewsUrl(state.index, "png", { ...one, recipe: originalText, epoch: 0, seed: 0 }), { signal });
    const told = await Promise.all([
      original,
      getJson(place.viewsUrl(state.index, "json", { epochs: EPOCHS }), { signal }),
      fetchBitmap(place.viewsUrl(state.index, "png", one), { signal }),
      fetchBitmap(place.viewsUrl(state.index, "png", { ...one, epochs: EPOCHS, columns: EPOCHS, tile: 256 }), { signal }),
    ]).catch(async (error) => {
      if (!signal.aborted) this.#showOriginalAlone(details, await original.catch(() => null));
      throw error;
    });
    signal.throwIfAborted();
    this.#show(place, details, told);
  }

  #describe(place, state) {
    this.#size = place.split.size;
    this.sample.show(state.index, place.split.size - 1, `of ${count(place.split.size)}`);
    this.epoch.show(state.epoch);
    this.seed.show(state.seed);
    this.element.querySelector(".back").href = this.store.link({ view: "batch" });
    put(
      this.recipe,
      h("span", { class: "name" }, "Recipe"),
      recipeText(place.recipe.recipe),
      h("span", { class: "ways" }, h("a", { href: this.store.link({ view: "recipe", draft: place.recipe.recipe }) }, "Edit")),
    );
    this.code.show(sampleCode(place, state.index, EPOCHS), [
      ["views.png", place.viewsUrl(state.index, "png", { epochs: EPOCHS })],
      ["views.json", place.viewsUrl(state.index, "json", { epochs: EPOCHS })],
      ["original", place.sampleUrl(state.index, "/image")],
    ]);
  }

  #show(place, details, [original, told, seen, strip]) {
    this.body.hidden = false;
    put(this.notice);
    put(this.heading, className(details.class, details.label), h("small", {}, `sample ${details.index}`));
    this.#frames = told.views.map((view) => findFrame(told.recipe, view.applied, told.width, told.height).corners);
    this.#showOriginal(original.bitmap, told);
    this.zoom.show(seen.bitmap);
    const [view] = told.views;
    put(this.seen, `Epoch ${view.epoch}, as the model sees it: ${view.shape[2]} × ${view.shape[1]}, every pixel`);
    this.#showEpochs(told, strip.bitmap);
    this.#tell(place, details, told);
  }

  #showOriginal(bitmap, told) {
    const canvas = h("canvas", { role: "img", "aria-label": `Original of sample ${told.index}` });
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
    canvas.getContext("2d", { alpha: false }).drawImage(bitmap, 0, 0);
    const frames = this.#frames;
    const draw = (at) => overlay(told.width, told.height, [frames[at], ...frames.filter((_, other) => other !== at)]);
    const stage = h("span", { class: "stage" }, canvas, frames.length ? draw(0) : null);
    put(this.original, styled(stage, { "--ratio": bitmap.width / bitmap.height, transform: makeRoom(told.width, told.height, frames) }));
    this.redraw = (at) => stage.querySelector(".overlay").replaceWith(draw(at));
  }

  #showEpochs(told, bitmap) {
    const [width, height] = [(bitmap.width - 2) / EPOCHS - 2, bitmap.height - 4];
    put(
      this.epochs,
      told.views.map((view, at) => {
        const canvas = h("canvas", { role: "img", "aria-label": `Epoch ${view.epoch}` });
        canvas.width = width;
        canvas.height = height;
        canvas.getContext("2d", { alpha: false }).drawImage(bitmap, 2 + at * (width + 2), 2, width, height, 0, 0, width, height);
        const look = () => this.redraw(at);
        const unlook = () => this.redraw(0);
        return h(
          "div",
          { role: "listitem" },
          h(
            "a",
            {
              class: "tile",
              href: this.store.link({ epoch: view.epoch }),
              "aria-current": at === 0 ? "true" : null,
              onpointerenter: look,
              onfocus: look,
              onpointerleave: unlook,
              onblur: unlook,
            },
            h("span", { class: "face" }, styled(h("span", { class: "stage" }, canvas), { "--ratio": width / height })),
            h("span", { class: "caption" }, `epoch ${view.epoch}`),
          ),
        );
      }),
    );
  }

  #tell(place, details, told) {
    const [view] = told.views;
    const [channels, height, width] = view.shape;
    put(
      this.facts,
      h("h2", {}, "What was done"),
      h("p", { class: "note" }, frameNote(told.recipe, { ...view, width: told.width, height: told.height })),
      appliedList(view.applied),
      told.tail ? h("p", { class: "note" }, "Then only numbers are rescaled: ", h("code", {}, told.tail)) : null,
      h("h2", {}, "Sample"),
      facts([
        ["file", fileName(details.file)],
        ["label", `${details.label} (${details.class})`],
        ["original", `${details.width ?? told.width} × ${details.height ?? told.height}, ${bytes(details.bytes)}`],
        ...(details.reduced_width ? [["reduced to", `${told.width} × ${told.height}`]] : []),
        ["tensor", h("code", {}, `${told.dtype} [${channels}, ${height}, ${width}]`)],
        ["key", h("code", {}, view.key)],
        ["", h("a", { href: place.sampleUrl(details.index, "/image") }, "Original file")],
      ]),
    );
  }

  #showOriginalAlone(details, original) {
    this.#frames = [];
    put(this.heading, className(details.class, details.label), h("small", {}, `sample ${details.index}`));
    put(this.epochs);
    put(
      this.facts,
      facts([
        ["file", fileName(details.file)],
        ["label", `${details.label} (${details.class})`],
        ["size", bytes(details.bytes)],
      ]),
    );
    if (original) this.#showOriginal(original.bitmap, details);
  }

  #fail(error) {
    if (error.place && this.store.state.index !== null) this.#describe(error.place, this.store.state);
    this.body.hidden = !["step-failed"].includes(error.problem?.code);
    const { recipe } = this.store.state;
    const ways = [
      ["First sample", this.store.link({ index: 0 })],
      ["Batch", this.store.link({ view: "batch" })],
    ];
    if (recipe) ways.push(["Use the split's own recipe", this.store.link({ recipe: null })]);
    put(this.notice, problemPanel(error, [...ways, ...knownWays(error, this.store)]));
  }
}
