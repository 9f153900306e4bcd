// The controls above a batch: what picks it. Every change goes into the state, and comes back from there.

import { Check, Player, Slider, Stepper } from "./controls.js";
import { dismissible } from "./disclosure.js";
import { h } from "./dom.js";
import { count, several } from "./text.js";

const PLAY_MILLISECONDS = 900;

export class Toolbar {
  #place = null;

  constructor(store) {
    const set = (name) => (value) => store.set({ [name]: value }, "step");
    const stepper = (label, name, title, least = 0) => new Stepper({ label, title, least, onset: set(name) });
    this.store = store;
    this.epoch = stepper("Epoch", "epoch", "Shift with left and right arrow");
    this.step = stepper("Step", "step", "Left and right arrow");
    this.seed = stepper("Seed", "seed", "Picks the order and the randomness");
    this.batchSize = new Stepper({ label: "Batch size", title: "Samples in a step", least: 1, onset: (size) => this.#resize(size) });
    this.rank = stepper("Rank", "rank", "This consumer, from 0");
    this.worldSize = new Stepper({ label: "Ranks", title: "Consumers that share each step", least: 1, onset: (size) => this.#share(size) });
    this.shuffle = new Check({ label: "shuffle", title: "Whether each epoch has an order of its own", onset: set("shuffle") });
    this.dropLast = new Check({ label: "drop last", title: "Whether an incomplete last step is left out", onset: set("drop_last") });
    this.slider = new Slider({ label: "Step in the epoch", onset: set("step") });
    this.player = new Player({ milliseconds: PLAY_MILLISECONDS, onstep: () => this.walk(1) });
    this.element = h(
      "div",
      { class: "toolbar", role: "group", "aria-label": "Batch" },
      h("div", { class: "walk" }, this.player.button, this.slider.element),
      h("div", { class: "steppers" }, this.epoch.element, this.step.element, this.seed.element, this.batchSize.element, this.#more()),
    );
  }

  show(place) {
    this.#place = place;
    const { state, steps } = place;
    this.epoch.show(state.epoch);
    this.step.show(state.step, Math.max(0, steps - 1), `of ${count(steps)}`);
    this.seed.show(state.seed);
    this.batchSize.show(state.batch_size, Math.min(place.split.size, place.split.max_batch_size));
    this.rank.show(state.rank, state.world_size - 1);
    this.worldSize.show(state.world_size, place.split.size);
    this.shuffle.show(state.shuffle);
    this.dropLast.show(state.drop_last);
    this.slider.show(state.step, Math.max(0, steps - 1), `step ${state.step} of ${several(steps, "step")}`);
  }

  /** Goes steps further, over the ends of epochs. */
  walk(steps) {
    const to = this.#place?.moved(steps);
    if (to) this.store.set({ epoch: to.state.epoch, step: to.state.step }, this.player.isPlaying ? "replace" : "step");
  }

  /** Goes epochs further. */
  leap(epochs) {
    const epoch = this.store.state.epoch + epochs;
    if (epoch >= 0) this.store.set({ epoch }, "step");
  }

  /** Goes to a step of this epoch; negative ones count from its end. */
  jump(step) {
    if (this.#place) this.store.set({ step: step < 0 ? this.#place.steps + step : step }, "step");
  }

  /** Keeps the first sample in sight when the size of the steps changes. */
  #resize(size) {
    const first = this.#place.state.step * this.#place.state.batch_size;
    this.store.set({ batch_size: size, step: Math.floor(first / size) }, "step");
  }

  #share(size) {
    this.store.set({ world_size: size, rank: Math.min(this.store.state.rank, size - 1) }, "step");
  }

  #more() {
    return dismissible(
      h(
        "details",
        { class: "more" },
        h("summary", {}, "More"),
        h("div", { class: "popover" }, this.shuffle.element, this.dropLast.element, this.worldSize.element, this.rank.element),
      ),
    );
  }
}
