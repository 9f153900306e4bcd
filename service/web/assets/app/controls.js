// Steppers, the slider over an epoch, play and pause: what walks through batches.

import { attribute, h, icon, put } from "./dom.js";

const LARGEST = Number.MAX_SAFE_INTEGER;

/**
 * A number with a button on either side.
 *
 * @param {(value: number) => void} onset called with what the user chose, always within the range.
 */
export class Stepper {
  constructor({ label, title, least = 0, onset }) {
    this.least = least;
    this.most = LARGEST;
    this.input = h("input", { type: "text", inputmode: "numeric", autocomplete: "off", "aria-label": label, onchange: () => this.#typed(onset) });
    this.less = h("button", { type: "button", "aria-label": `Less: ${label}`, onclick: () => onset(this.value - 1) }, icon("minus"));
    this.more = h("button", { type: "button", "aria-label": `More: ${label}`, onclick: () => onset(this.value + 1) }, icon("plus"));
    this.after = h("span", { class: "of" });
    this.element = h(
      "div",
      { class: "stepper", role: "group", "aria-label": label, title },
      h("span", { class: "name", "aria-hidden": "true" }, label),
      h("span", { class: "box" }, this.less, this.input, this.more),
      this.after,
    );
  }

  show(value, most = LARGEST, after = "") {
    this.value = value;
    this.most = most;
    this.input.value = String(value);
    styleWidth(this.input, value);
    attribute(this.less, "disabled", value <= this.least);
    attribute(this.more, "disabled", value >= most);
    this.after.textContent = after;
  }

  #typed(onset) {
    const typed = Number(this.input.value.replaceAll(/[\s,_]/g, ""));
    if (Number.isInteger(typed)) onset(Math.min(this.most, Math.max(this.least, typed)));
    this.input.value = String(this.value);
  }
}

const styleWidth = (input, value) => input.style.setProperty("--digits", Math.max(3, String(value).length));

/** The step's place in its epoch, to drag. */
export class Slider {
  constructor({ label, onset }) {
    this.input = h("input", { type: "range", min: 0, step: 1, "aria-label": label, oninput: () => onset(this.input.valueAsNumber) });
    this.element = h("div", { class: "slider" }, this.input);
  }

  show(value, most, text) {
    this.input.max = String(most);
    this.input.value = String(value);
    this.input.disabled = most === 0;
    this.input.setAttribute("aria-valuetext", text);
    this.input.style.setProperty("--done", most ? value / most : 0);
  }
}

/** Walks on by itself: a step each interval, but never before the last one is seen. */
export class Player {
  #timer = null;

  constructor({ milliseconds, onstep }) {
    this.milliseconds = milliseconds;
    this.onstep = onstep;
    this.button = h("button", { type: "button", class: "play", "aria-pressed": "false", title: "Play or pause (Space)", onclick: () => this.toggle() });
    this.#draw();
  }

  isPlaying = false;

  toggle() {
    this.isPlaying = !this.isPlaying;
    this.#draw();
    if (this.isPlaying) this.onstep();
    else clearTimeout(this.#timer);
  }

  stop() {
    if (this.isPlaying) this.toggle();
  }

  /** Says that the last step is on the screen. */
  seen() {
    clearTimeout(this.#timer);
    if (this.isPlaying) this.#timer = setTimeout(() => this.onstep(), this.milliseconds);
  }

  #draw() {
    put(this.button, icon(this.isPlaying ? "pause" : "play"));
    this.button.setAttribute("aria-label", this.isPlaying ? "Pause" : "Play");
    this.button.setAttribute("aria-pressed", String(this.isPlaying));
  }
}

/** A checkbox with its name. */
export class Check {
  constructor({ label, title, onset }) {
    this.input = h("input", { type: "checkbox", onchange: () => onset(this.input.checked) });
    this.element = h("label", { class: "check", title }, this.input, label);
  }

  show(value) {
    this.input.checked = value;
  }
}
