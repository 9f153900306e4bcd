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

/** Waits, unless `signal` says that nobody does any more. */
export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("No longer wanted", "AbortError"));
    });
  });
}

/** Does something regularly while the tab is seen, and at once when it is seen again. */
export class Poll {
  #timer = null;
  #look = () => (document.hidden ? clearTimeout(this.#timer) : this.now());

  constructor(milliseconds, work) {
    Object.assign(this, { milliseconds, work });
    document.addEventListener("visibilitychange", this.#look);
    this.first = this.now();
  }

  async now() {
    clearTimeout(this.#timer);
    const timer = setTimeout(() => {}, 0);
    this.#timer = timer;
    await this.work();
    if (this.#timer === timer && !document.hidden) this.#timer = setTimeout(() => this.now(), this.milliseconds);
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = null;
    document.removeEventListener("visibilitychange", this.#look);
  }
}
