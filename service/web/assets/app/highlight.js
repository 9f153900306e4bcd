// Recipe text in colours, and the underlined culprit of an error.

import { h } from "./dom.js";

const TOKEN = /([A-Za-z_]\w*)(?=\s*\()|([A-Za-z_]\w*)(?=\s*=)|("[^"]*"?|'[^']*'?)|([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|\b(True|False|None)\b|(\|)/g;
const KINDS = ["step", "argument", "string", "number", "word", "pipe"];

/** Gives nodes that read exactly like `text`; from `fault.start` to `fault.end` they are marked. */
export function highlight(text, fault = null) {
  const parts = [];
  let at = 0;
  for (const found of text.matchAll(TOKEN)) {
    const kind = KINDS[found.slice(1).findIndex((each) => each !== undefined)];
    parts.push([at, found.index, ""], [found.index, found.index + found[0].length, kind]);
    at = found.index + found[0].length;
  }
  parts.push([at, text.length, ""]);
  return parts.flatMap(([start, end, kind]) => split(start, end, fault).map(([from, to, isFault]) => paint(text.slice(from, to), kind, isFault)));
}

function split(start, end, fault) {
  if (!fault) return [[start, end, false]];
  const cuts = [...new Set([start, Math.min(end, Math.max(start, fault.start)), Math.max(start, Math.min(end, fault.end)), end])];
  return cuts.slice(0, -1).map((from, at) => [from, cuts[at + 1], from >= fault.start && from < fault.end]);
}

function paint(text, kind, isFault) {
  if (!text) return "";
  if (!kind && !isFault) return text;
  return h("span", { class: [kind && `token-${kind}`, isFault && "fault"].filter(Boolean).join(" ") }, text);
}

/** A recipe to read. */
export const recipeText = (text) => h("code", { class: "recipe" }, highlight(text));
