// Originals in place: as long as a key is held, or until the button is pressed again.

import { h } from "./dom.js";

export class Holder {
  isHeld = false;

  /** @param {(isHeld: boolean) => void} onchange told when originals are wanted, and when no longer. */
  constructor(onchange) {
    this.onchange = onchange;
    this.button = h(
      "button",
      { type: "button", class: "quiet", title: "Hold O", "aria-pressed": "false", onclick: () => this.hold(!this.isHeld) },
      "Originals ",
      h("kbd", {}, "O"),
    );
  }

  hold = (isDown) => {
    if (this.isHeld === isDown) return;
    this.isHeld = isDown;
    this.button.setAttribute("aria-pressed", String(isDown));
    this.onchange(isDown);
  };
}
