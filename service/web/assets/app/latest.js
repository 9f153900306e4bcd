// Of several tasks only the latest matters: a new one breaks the one before it off.

import { isStale } from "./api.js";

export class Latest {
  #controller = null;

  /**
   * Runs a task.
   *
   * @param {(signal: AbortSignal) => Promise<void>} task what to do.
   * @param {(error: Error) => void} onfail told of its failure, unless another task has begun by then, or will, for the dataset has changed.
   */
  async run(task, onfail) {
    this.stop();
    const controller = new AbortController();
    this.#controller = controller;
    try {
      await task(controller.signal);
    } catch (error) {
      if (this.#controller === controller && error.name !== "AbortError" && !isStale(error)) onfail?.(error);
    }
  }

  stop() {
    this.#controller?.abort();
    this.#controller = null;
  }
}

/** Does something regularly while the tab is seen, and at once when it is seen again. */
export class Poll {
  #timer = null;
  #round = 0;
  #look = () => (document.hidden ? clearTimeout(this.#timer) : this.now());

  constructor(milliseconds, work) {
    Object.assign(this, { milliseconds, work });
    document.addEventListener("visibilitychange", this.#look);
    this.first = this.now();
  }

  async now() {
    clearTimeout(this.#timer);
    const round = ++this.#round;
    await this.work();
    if (round === this.#round && !document.hidden) this.#timer = setTimeout(() => this.now(), this.milliseconds);
  }

  stop() {
    clearTimeout(this.#timer);
    this.#round += 1;
    document.removeEventListener("visibilitychange", this.#look);
  }
}
