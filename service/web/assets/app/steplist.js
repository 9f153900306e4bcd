// Every step that a recipe may use, to find, read about and insert.

import { h, put } from "./dom.js";
import { recipeText } from "./highlight.js";

export class StepList {
  #steps = [];

  constructor({ oninsert }) {
    this.oninsert = oninsert;
    this.search = h("input", { type: "search", placeholder: "Find a step", "aria-label": "Find a step", oninput: () => this.#draw() });
    this.list = h("ul");
    this.named = h("div", { class: "named" });
    this.element = h("div", { class: "steps" }, h("h2", {}, "Steps"), this.search, this.list, this.named);
  }

  show({ steps, recipes }) {
    this.#steps = steps;
    this.#draw();
    put(
      this.named,
      h("h2", {}, "Named recipes"),
      Object.entries(recipes).map(([name, { recipe }]) => h("p", {}, h("strong", {}, name), recipeText(recipe))),
    );
  }

  #draw() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = this.#steps.filter(({ name, doc }) => words.every((word) => `${name} ${doc}`.toLowerCase().includes(word)));
    const isNamed = ({ name }) => words.some((word) => name.toLowerCase().includes(word));
    found.sort((a, b) => isNamed(b) - isNamed(a));
    put(
      this.list,
      found.map((step) => this.#item(step)),
      found.length ? null : h("li", { class: "hint" }, "No step is called or described like this."),
    );
  }

  #item({ name, doc, example, parameters }) {
    const insert = h("button", { type: "button", class: "quiet", "aria-label": `Insert ${name}`, onclick: () => this.oninsert(example) }, "Insert");
    const details = parameters.length
      ? h(
          "dl",
          {},
          parameters.map((each) =>
            h("div", {}, h("dt", {}, h("code", {}, each.name)), h("dd", {}, each.allowed, each.required ? ", needed" : ` (${JSON.stringify(each.default)})`)),
          ),
        )
      : h("p", {}, "It takes no arguments.");
    return h(
      "li",
      {},
      h(
        "details",
        {},
        h("summary", {}, h("code", {}, name), h("span", {}, doc.replaceAll("`", ""))),
        details,
        h("p", { class: "example" }, recipeText(example)),
      ),
      insert,
    );
  }
}
