// Tabs with the code of what is shown, and its downloads.

import { attribute, h, icon, put } from "./dom.js";

let chosen = "curl"; // The tab stays the same from view to view.

export class CodePanel {
  #code = {};
  #tabs = [];

  constructor({ say }) {
    this.say = say;
    this.list = h("div", { class: "tabs", role: "tablist", "aria-label": "This view as code", onkeydown: (event) => this.#onKey(event) });
    this.text = h("code");
    this.body = h("pre", { id: "code", role: "tabpanel", tabindex: 0 }, this.text);
    this.copy = h("button", { type: "button", class: "quiet", onclick: () => this.#copy() }, icon("copy"), "Copy");
    this.downloads = h("div", { class: "downloads" });
    this.element = h(
      "section",
      { class: "code-panel", "aria-label": "This view elsewhere" },
      h("div", { class: "head" }, this.list, this.copy, this.downloads),
      this.body,
    );
  }

  /** @param {Record<string, string>} code by tab. @param {[string, string][]} downloads name and URL of each. */
  show(code, downloads = []) {
    this.#code = code;
    this.#tabs = Object.keys(code).map((name) =>
      h("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "code", onclick: () => this.#choose(name) }, name),
    );
    put(this.list, this.#tabs);
    put(
      this.downloads,
      downloads.length ? h("span", { class: "name" }, "Download") : null,
      downloads.map(([name, url]) => h("a", { href: url, download: "" }, name)),
    );
    this.#draw();
  }

  #choose(name) {
    chosen = name;
    this.#draw();
  }

  #draw() {
    const name = chosen in this.#code ? chosen : Object.keys(this.#code)[0];
    for (const tab of this.#tabs) {
      const is = tab.textContent === name;
      tab.setAttribute("aria-selected", String(is));
      attribute(tab, "tabindex", is ? 0 : -1);
    }
    this.body.setAttribute("aria-labelledby", `tab-${name}`);
    this.text.textContent = this.#code[name] ?? "";
  }

  #onKey(event) {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!move) return;
    event.preventDefault();
    event.stopPropagation();
    const at = this.#tabs.findIndex((tab) => tab.tabIndex === 0);
    const next = this.#tabs[(at + move + this.#tabs.length) % this.#tabs.length];
    this.#choose(next.textContent);
    next.focus();
  }

  async #copy() {
    await copyText(this.text.textContent);
    this.say("Code copied.");
  }
}

/** Copies a text; also where the page came over plain HTTP from another machine, where browsers offer no clipboard. */
export async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = h("textarea", { class: "offscreen", readonly: true, "aria-hidden": "true" });
  const before = document.activeElement;
  field.value = text;
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
  before?.focus?.();
  return undefined;
}
