// The one place that holds what is shown. Whoever changes it calls `set`; history and views follow.

import { readAddress, writeAddress } from "./address.js";

const COALESCED_MILLISECONDS = 900;

/** Steps in quick succession make one entry of the history, so that "back" leads to the place before them. */
export class Store {
  #state;
  #listeners = new Set();
  #last = { names: "", time: -Infinity };

  constructor() {
    const { state, faults } = readAddress(location.search);
    this.#state = state;
    this.faults = faults;
    addEventListener("popstate", () => {
      this.#state = this.#read(location.search);
      this.#last = { names: "", time: -Infinity };
      this.#tell();
    });
  }

  #complete = (state) => state;

  /** The names of all datasets that can be shown. */
  datasets = [];

  get state() {
    return this.#state;
  }

  /** Says how to fill in what a query leaves open; this leaves no mark in the URL. */
  settle(complete) {
    this.#complete = complete;
    this.#state = complete(this.#state);
  }

  /**
   * Changes the state.
   *
   * @param {object} patch what changes.
   * @param {"push"|"replace"|"step"} kind a new entry of the history, none, or one for a run of equal steps.
   */
  set(patch, kind = "push") {
    const next = { ...this.#state, ...patch };
    const changed = Object.keys(next).filter((name) => next[name] !== this.#state[name]);
    if (!changed.length) return;
    this.#state = next;
    const url = writeAddress(next);
    const now = performance.now();
    const names = changed.join();
    const isRun = kind === "step" && names === this.#last.names && now - this.#last.time < COALESCED_MILLISECONDS;
    if (kind === "replace" || isRun) history.replaceState(null, "", url);
    else history.pushState(null, "", url);
    this.#last = { names: kind === "step" ? names : "", time: now };
    this.#tell();
  }

  /** Change what only the link holds: the URL follows, without an entry of the history, and views do not. */
  note(patch) {
    this.#state = { ...this.#state, ...patch };
    history.replaceState(null, "", writeAddress(this.#state));
    this.#tell(true);
  }

  /** Goes to the state that a query names. */
  goTo(search) {
    this.set(this.#read(search));
  }

  #read(search) {
    return this.#complete(readAddress(search).state);
  }

  /** Where a state that differs by `patch` is found. */
  link(patch) {
    return writeAddress({ ...this.#state, ...patch });
  }

  subscribe(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tell(isNoted = false) {
    for (const listener of this.#listeners) listener(this.#state, isNoted);
  }
}
