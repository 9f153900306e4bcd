// Bars, a scatter and a live line. Each says in text what it draws.

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

const round = (value) => {
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((each) => each * unit).find((each) => each >= value);
};

/**
 * Widths and heights of images, a dot for each.
 *
 * @param {{width: number, height: number, label: number, index: number}[]} samples.
 * @param {(sample) => string} href where a dot leads. @param {(sample) => string} title what it is.
 */
export function scatter(samples, href, title) {
  const [width, height, left, bottom] = [420, 300, 44, 34];
  const most = Math.max(...samples.flatMap((each) => [each.width, each.height]));
  const step = round(most / 4);
  const top = step * Math.ceil((most * 1.02) / step);
  const x = (value) => left + (value / top) * (width - left - 18);
  const y = (value) => height - bottom - (value / top) * (height - bottom - 8);
  const ticks = Array.from({ length: Math.round(top / step) + 1 }, (_, at) => at * step);
  return svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, class: "scatter", role: "group", "aria-label": `Width and height of ${samples.length} images` },
    ticks.map((tick) => [
      svg("line", { x1: x(tick), x2: x(tick), y1: y(0), y2: y(top), class: "grid" }),
      svg("line", { x1: x(0), x2: x(top), y1: y(tick), y2: y(tick), class: "grid" }),
      svg("text", { x: x(tick), y: height - bottom + 16, "text-anchor": "middle" }, String(tick)),
      svg("text", { x: left - 7, y: y(tick) + 4, "text-anchor": "end" }, String(tick)),
    ]),
    svg("line", { x1: x(0), y1: y(0), x2: x(top), y2: y(top), class: "square" }),
    svg("text", { x: x(top / 2), y: height - 3, "text-anchor": "middle", class: "axis-name" }, "width in pixels"),
    svg("text", { x: left + 6, y: 18, class: "axis-name" }, "height"),
    samples.map((each) =>
      svg(
        "a",
        { href: href(each), tabindex: -1, "aria-hidden": "true" },
        svg("circle", { cx: x(each.width), cy: y(each.height), r: 4, class: `hue-${each.label % 8}` }, svg("title", {}, title(each))),
      ),
    ),
  );
}
