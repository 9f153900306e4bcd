// The recipe bench: a draft beside the recipe in use, on the same samples with the same keys.

import { getRecipes, parseRecipe } from "../api.js";
import { recipeCode } from "../code.js";
import { CodePanel, copyText } from "../codepanel.js";
import { h, put, styled } from "../dom.js";
import { Editor, locate } from "../editor.js";
import { className } from "../facts.js";
import { Holder } from "../holder.js";
import { recipeText } from "../highlight.js";
import { Latest } from "../latest.js";
import { problemPanel } from "../notices.js";
import { overlayOf } from "../overlay.js";
import { pause } from "../pause.js";
import { fetchBatchOrSamples, fetchOriginals, tileSize } from "../pictures.js";
import { findPlace } from "../place.js";
import { StepList } from "../steplist.js";
import { why } from "../text.js";
import { Toolbar } from "../toolbar.js";
import { knownWays } from "../ways.js";

const TYPING_MILLISECONDS = 220;
const SHOWN = 192;
const ORIGINAL_PIXELS = 384;
const MEND = "CenterCrop(224) or Resize([224, 224]) at the end makes them equal.";
const FORMATS = ["png", "safetensors", "npz", "json"];

export class RecipeView {
  #now = new Latest();
  #pair = null;
  #originals = null;
  #isTyping = false;

  constructor({ store, say }) {
    this.store = store;
    this.say = say;
    this.toolbar = new Toolbar(store);
    this.editor = new Editor({ oninput: (text) => this.#typed(text) });
    this.steps = new StepList({ oninsert: (call) => this.editor.insert(call) });
    this.about = h("p", { class: "note about" });
    this.shapes = h("p", { class: "why shapes", role: "status" });
    this.use = h("button", { type: "button", onclick: () => store.set({ view: "batch", recipe: this.editor.text, draft: null }) }, "Use in Batch");
    this.copy = h("button", { type: "button", class: "quiet", onclick: () => this.#copyCode() }, "Copy as torchvision");
    this.reset = h("button", { type: "button", class: "quiet", onclick: () => store.set({ draft: null }) }, "Start over");
    this.current = h("div", { class: "recipe-line" });
    this.notice = h("div", { class: "notice-place" });
    this.pairs = h("div", { class: "pairs", role: "list", "aria-label": "Samples, now and with the draft" });
    this.caption = h("p", { class: "caption-line" });
    this.holder = new Holder(() => this.#pair && this.#draw());
    this.area = h("div", { class: "grid-area" }, h("div", { class: "above" }, this.caption, this.holder.button), this.notice, this.pairs);
    this.code = new CodePanel({ say });
    this.element = h(
      "section",
      { class: "view bench" },
      h("h1", { class: "offscreen" }, "Recipe"),
      this.toolbar.element,
      this.current,
      h(
        "div",
        { class: "board" },
        h("div", { class: "desk" }, this.editor.element, this.about, this.shapes, h("div", { class: "ways" }, this.use, this.copy, this.reset)),
        this.area,
        this.steps.element,
      ),
      this.code.element,
    );
    getRecipes().then(
      (listed) => this.steps.show(listed),
      () => {},
    );
  }

  get keys() {
    return {
      ArrowRight: () => this.toolbar.walk(1),
      ArrowLeft: () => this.toolbar.walk(-1),
      "Shift+ArrowRight": () => this.toolbar.leap(1),
      "Shift+ArrowLeft": () => this.toolbar.leap(-1),
      Home: () => this.toolbar.jump(0),
      End: () => this.toolbar.jump(-1),
      " ": () => this.toolbar.player.toggle(),
    };
  }

  get held() {
    return { o: this.holder.hold };
  }

  update(state) {
    return this.#now.run(
      (signal) => this.#load(state, signal),
      (error) => this.#fail(error),
    );
  }

  close() {
    this.toolbar.player.stop();
    this.#now.stop();
  }

  #typed(text) {
    this.#isTyping = true;
    this.store.set({ draft: text }, "step");
  }

  async #load(state, signal) {
    const isTyping = this.#isTyping;
    this.#isTyping = false;
    if (isTyping) await pause(TYPING_MILLISECONDS, signal);
    const place = await findPlace(state);
    signal.throwIfAborted();
    this.toolbar.show(place);
    put(this.current, h("span", { class: "name" }, "Now"), recipeText(place.recipe.recipe));
    this.editor.text = state.draft ?? place.recipe.recipe;
    const draft = await this.#parse(this.editor.text, signal);
    const other = draft && place.withRecipe(draft);
    const isSeen = !other && this.#pair?.place.batchUrl("json") === place.batchUrl("json");
    if (isSeen) return;
    this.#showCode(other ?? place);
    const [now, then] = await Promise.all([place, other].map((each) => each && fetchBatchOrSamples(each, tileSize(SHOWN, each.recipe.output_shape), signal)));
    signal.throwIfAborted();
    this.#pair = { now, then, place, other };
    if ((then ?? now).samples.some((row) => row.problem)) this.#showCode((other ?? place).masked());
    this.#tellShapes(draft, then);
    this.#originals = null;
    this.#draw();
    this.toolbar.player.seen();
    this.#originals = await fetchOriginals(place, ORIGINAL_PIXELS, signal);
    if (this.holder.isHeld) this.#draw();
  }

  #showCode(place) {
    this.code.show(
      recipeCode(place),
      FORMATS.map((format) => [format, place.batchUrl(format)]),
    );
  }

  /** Say whether the draft's samples stack to tensors: not where their size depends on the image or on chance. */
  #tellShapes(draft, picture) {
    const isFixed = !draft || draft.output_shape.every((each) => each !== null);
    const shape = picture?.provenance.shape;
    const here = shape ? `In this step all are [${shape.slice(1).join(", ")}], elsewhere they may differ. ` : "";
    put(this.shapes, isFixed ? "" : `Samples come out in sizes of their own, so batches of them do not stack to tensors; pictures do. ${here}${MEND}`);
  }

  /** Parses the draft; null where it does not, and the reason is shown. */
  async #parse(text, signal) {
    try {
      const draft = await parseRecipe(text || " ");
      signal.throwIfAborted();
      this.editor.refuse(null);
      const [channels, height, width] = draft.output_shape.map((each) => each ?? "?");
      put(this.about, `yields ${draft.dtype} [${channels}, ${height}, ${width}], ${draft.random ? "random" : "the same in every epoch"}`);
      this.#enable(true);
      return draft;
    } catch (error) {
      signal.throwIfAborted();
      if (error.problem?.code !== "invalid-recipe") throw error;
      this.editor.refuse(locate(error, text));
      put(this.about, this.#pair?.then ? "Shown is the last draft that could be read." : "");
      this.#enable(false);
      return null;
    }
  }

  #enable(isReadable) {
    this.use.disabled = !isReadable;
    this.copy.disabled = !isReadable;
    this.element.classList.toggle("stale", !isReadable);
  }

  #draw() {
    const { now, then, place, other } = this.#pair;
    put(this.notice);
    put(this.caption, h("strong", {}, `Epoch ${place.state.epoch}, step ${place.state.step}`), h("span", {}, "same samples, same keys"));
    put(
      this.pairs,
      now.samples.map((row, at) =>
        h(
          "div",
          { class: "pair-card", role: "listitem" },
          h(
            "div",
            { class: "halves" },
            this.#half(now, at, place.recipe.recipe, "now"),
            then ? this.#half(then, at, other.recipe.recipe, "draft") : unreadable(),
          ),
          h(
            "a",
            {
              class: "caption",
              href: this.store.link({ view: "sample", index: row.index, row: at }),
              title: `${row.class}\nposition ${place.positionOf(at)} in the order of epoch ${place.state.epoch}\nsample ${row.index}: ${row.file}`,
            },
            className(row.class, row.label),
            h("small", {}, `#${row.index}`),
          ),
        ),
      ),
    );
  }

  #half(picture, at, recipe, name) {
    const row = picture.samples[at];
    const canvas = h("canvas", { role: "img", "aria-label": `Sample ${row.index}, ${name}` });
    let face;
    if (row.problem) face = h("span", { class: "stage failed" }, h("span", { class: "why" }, why(row.problem)));
    else {
      const isOriginal = this.holder.isHeld && this.#originals && !this.#originals.samples[at].problem;
      (isOriginal ? this.#originals : picture).draw(canvas, at);
      face = styled(h("span", { class: "stage" }, canvas, isOriginal ? overlayOf(recipe, row) : null), { "--ratio": canvas.width / canvas.height });
    }
    return h("figure", { class: name }, h("span", { class: "face" }, face), h("figcaption", {}, name));
  }

  async #copyCode() {
    const { torchvision } = await parseRecipe(this.editor.text);
    await copyText(torchvision);
    this.say("Copied as torchvision code.");
  }

  #fail(error) {
    this.toolbar.player.stop();
    if (error.place) this.toolbar.show(error.place);
    put(this.pairs);
    this.#pair = null;
    put(
      this.notice,
      problemPanel(error, [
        ["Try again", () => this.update(this.store.state)],
        ["Start over", this.store.link({ draft: null, recipe: null })],
        ...knownWays(error, this.store),
      ]),
    );
  }
}

/** Stands where a draft's picture would be that does not parse. */
function unreadable() {
  return h(
    "figure",
    { class: "draft" },
    h("span", { class: "face" }, h("span", { class: "why note" }, "No picture: the draft does not parse.")),
    h("figcaption", {}, "draft"),
  );
}
