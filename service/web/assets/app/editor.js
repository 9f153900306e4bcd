// A field for recipes: text in colours, the culprit of an error underlined, and the reason below.

import { attribute, h, put } from "./dom.js";
import { highlight } from "./highlight.js";
import { reason } from "./text.js";

const TAIL_CALL = /^(ToTensor|ToDtype|ConvertImageDtype|Normalize|ToImage|PILToTensor)\(/;
const TAIL = /\|?\s*(ToTensor|ToDtype|ConvertImageDtype|Normalize)\([^|]*(\|\s*(ToTensor|ToDtype|ConvertImageDtype|Normalize)\([^|]*)*$/;

export class Editor {
  constructor({ oninput }) {
    this.marks = h("pre", { class: "marks", "aria-hidden": "true" });
    this.field = h("textarea", {
      id: "draft",
      rows: 6,
      spellcheck: "false",
      autocapitalize: "off",
      autocomplete: "off",
      "aria-describedby": "draft-fault",
      oninput: () => {
        this.#draw(null);
        oninput(this.field.value);
      },
      onscroll: () => (this.marks.scrollTop = this.field.scrollTop),
      onkeydown: (event) => event.key === "Escape" && this.field.blur(),
    });
    this.fault = h("p", { id: "draft-fault", class: "fault-text", role: "alert" });
    this.element = h("div", { class: "editor" }, h("label", { for: "draft" }, "Draft"), h("div", { class: "field" }, this.marks, this.field), this.fault);
  }

  get text() {
    return this.field.value;
  }

  set text(value) {
    if (this.field.value === value) return;
    this.field.value = value;
    this.#draw(null);
  }

  /** Shows where and why the text is refused; null for a text that is not. */
  refuse(fault) {
    this.#draw(fault);
    put(this.fault, fault ? fault.reason : "");
    attribute(this.field, "aria-invalid", fault ? "true" : null);
  }

  /** Writes a call at the cursor, with pipes where they are needed; where the cursor is at the end, before the tail, where most steps belong. */
  insert(call) {
    const { selectionStart, selectionEnd, value } = this.field;
    const tail = selectionStart >= value.trimEnd().length && !TAIL_CALL.test(call) ? value.search(TAIL) : -1;
    const [start, end] = tail < 0 ? [selectionStart, selectionEnd] : [tail, tail];
    const [before, after] = [value.slice(0, start).trimEnd(), value.slice(end).trimStart()];
    const head = before && !/[|([,]$/.test(before) ? `${before} | ` : before && `${before} `;
    const rest = after && !/^[|)\],]/.test(after) ? ` | ${after}` : after && ` ${after}`;
    this.field.focus();
    this.field.value = head + call + rest;
    this.field.setSelectionRange(head.length, head.length + call.length);
    this.field.dispatchEvent(new Event("input"));
  }

  #draw(fault) {
    put(this.marks, highlight(this.field.value, fault), "\n");
    this.marks.scrollTop = this.field.scrollTop;
  }
}

/** Where an error lies, from the problem document: the quoted culprit, or a whole text that nothing more is known about. */
export function locate(error, text) {
  const { problem } = error;
  const start = problem.position;
  if (start === null || start === undefined) return { start: 0, end: 0, reason: reason(error) };
  const culprit = (problem.culprit ?? "").replace(/\.\.\.$/, "");
  return { start, end: Math.max(start + 1, Math.min(text.length, start + culprit.length)), reason: reason(error) };
}
