// While the service does not answer, what is shown is old: it is dimmed, and a line says so.

import { h, put } from "./dom.js";

const PATIENCE_MILLISECONDS = 1200;
const TICK_MILLISECONDS = 300;

export class LateNotice {
  #waiting = new Map();
  #timer = null;

  /**
   * @param {HTMLElement} area what is dimmed: it gets the class `late`. @param {() => boolean} hasOld whether something is shown there that may be old.
   * @param {() => void} onretry asks again.
   */
  constructor(area, { hasOld, onretry }) {
    Object.assign(this, { area, hasOld });
    this.text = h("span", { role: "status" });
    this.seconds = h("span", { class: "seconds", "aria-hidden": "true" });
    const retry = h("button", { type: "button", class: "quiet", onclick: onretry }, "Ask again");
    this.element = h("div", { class: "late-note", hidden: true }, this.text, this.seconds, retry);
  }

  /** Watch an answer until it is there; of several with one name only the last counts, and time runs from the first that is missing. */
  watch(name, answer) {
    const entry = { since: this.#waiting.get(name)?.since ?? performance.now() };
    this.#waiting.set(name, entry);
    const finish = () => {
      if (this.#waiting.get(name) === entry) this.#waiting.delete(name);
      this.#draw();
    };
    answer.then(finish, finish);
    this.#timer ??= setInterval(() => this.#draw(), TICK_MILLISECONDS);
  }

  /** Forget what is waited for: it is no longer shown. */
  clear() {
    this.#waiting.clear();
    this.#draw();
  }

  #draw() {
    const longest = Math.max(0, ...[...this.#waiting.values()].map(({ since }) => performance.now() - since));
    const isLate = longest >= PATIENCE_MILLISECONDS;
    this.area.classList.toggle("late", isLate);
    this.element.hidden = !isLate;
    const text = this.hasOld() ? "The service has not answered yet: what is dimmed is from before." : "Waiting for the service.";
    if (isLate && this.text.textContent !== text) put(this.text, text);
    if (!isLate) put(this.text);
    put(this.seconds, isLate ? `${Math.floor(longest / 1000)} s` : "");
    if (this.#waiting.size) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }
}
