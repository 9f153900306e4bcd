// Bars and a live line. Each says in text what it draws.

import { h, styled, svg } from "./dom.js";
import { count } from "./text.js";

/** A share of a whole as a bar with its words. */
export function meter(label, value, most, text) {
  const share = most ? Math.min(1, value / most) : 0;
  return h(
    "div",
    { class: "meter" },
    h("span", { class: "name" }, label),
    h("span", { class: "value" }, text),
    styled(h("span", { class: "track", role: "img", "aria-label": `${label}: ${text}` }, h("i")), { "--share": share }),
  );
}

/**
 * The last values of something as a line; the scale follows the largest.
 *
 * @param {number[]} values oldest first. @param {number} room how many fit.
 */
export function spark(values, room, label) {
  const most = Math.max(1, ...values);
  const [width, height] = [240, 48];
  const x = (at) => width - ((values.length - 1 - at) / (room - 1)) * width;
  const y = (value) => height - 2 - (value / most) * (height - 6);
  const line = values.map((value, at) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  const last = values.at(-1) ?? 0;
  return svg(
    "svg",
    {
      viewBox: `0 0 ${width} ${height}`,
      class: "spark",
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": `${label}: now ${count(Math.round(last))}, at most ${count(Math.round(most))}`,
    },
    svg("line", { x1: 0, x2: width, y1: height - 2, y2: height - 2, class: "axis" }),
    values.length > 1
      ? [
          svg("polygon", { points: `${x(0).toFixed(1)},${height - 2} ${line} ${width},${height - 2}`, class: "area" }),
          svg("polyline", { points: line, class: "line", "vector-effect": "non-scaling-stroke" }),
        ]
      : [],
  );
}
