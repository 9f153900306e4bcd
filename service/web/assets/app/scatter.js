// Widths and heights of images, a dot for each, with counts where dots lie on each other. A few huge images do not press all others into a corner.

import { svg } from "./dom.js";

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [420, 320, 44, 26, 18, 36];
const CELL = 9; // Dots that are nearer than about this lie on each other.
const LABEL = [30, 12]; // What a count takes up.
const MOST_COUNTS = 24;

const quantile = (sorted, share) => sorted[Math.floor(share * (sorted.length - 1))];

/** The next round number: 1, 2, 2.5 or 5 times a power of ten. */
function roundUp(value) {
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((each) => each * unit).find((each) => each >= value);
}

/**
 * Return the longest side that the axes have to show: sides that lie far out (beyond three times the interquartile range above the upper quartile, Tukey,
 * Exploratory Data Analysis, 1977) are left out, unless they are less than twice as long as most.
 */
export function longestShown(samples) {
  const sides = samples.map((each) => Math.max(each.width, each.height)).sort((a, b) => a - b);
  const [low, high] = [quantile(sides, 0.25), quantile(sides, 0.75)];
  const fence = Math.max(high + 3 * (high - low), 2 * high);
  return sides.findLast((side) => side <= fence);
}

/**
 * Draw widths and heights.
 *
 * @param {{width: number, height: number, label: number, index: number}[]} samples at least one.
 * @param {(sample) => string} href where a dot leads. @param {(sample) => string} title what it is.
 * @returns {{element: SVGElement, beyond: object[]}} the plot, and the samples that lie beyond its axes: they are drawn at their edge.
 */
export function scatter(samples, href, title) {
  const longest = longestShown(samples);
  const step = roundUp(longest / 4);
  const top = step * Math.ceil((longest * 1.02) / step);
  const x = (value) => LEFT + (Math.min(value, top) / top) * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - (Math.min(value, top) / top) * (HEIGHT - BOTTOM - TOP);
  const beyond = samples.filter((each) => each.width > top || each.height > top);
  const dots = samples.map((each) => ({ each, at: [x(each.width), y(each.height)], isBeyond: each.width > top || each.height > top }));
  const element = svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "scatter", role: "group", "aria-label": `Width and height of ${samples.length} images` },
    axes(x, y, top, step),
    dots.map(({ each, at, isBeyond }) =>
      svg(
        "a",
        { href: href(each), tabindex: -1, "aria-hidden": "true" },
        svg("circle", { cx: at[0], cy: at[1], r: 4, class: `hue-${each.label % 8}${isBeyond ? " beyond" : ""}` }, svg("title", {}, title(each))),
      ),
    ),
    counts(dots),
  );
  return { element, beyond };
}

function axes(x, y, top, step) {
  const ticks = Array.from({ length: Math.round(top / step) + 1 }, (_, at) => at * step);
  return [
    ticks.map((tick) => [
      svg("line", { x1: x(tick), x2: x(tick), y1: y(0), y2: y(top), class: "grid" }),
      svg("line", { x1: x(0), x2: x(top), y1: y(tick), y2: y(tick), class: "grid" }),
      svg("text", { x: x(tick), y: HEIGHT - BOTTOM + 16, "text-anchor": "middle" }, String(tick)),
      svg("text", { x: LEFT - 7, y: y(tick) + 4, "text-anchor": "end" }, String(tick)),
    ]),
    svg("line", { x1: x(0), y1: y(0), x2: x(top), y2: y(top), class: "square" }),
    svg("text", { x: x(top / 2), y: HEIGHT - 3, "text-anchor": "middle", class: "axis-name" }, "width in pixels"),
    svg("text", { x: LEFT - 7, y: 9, class: "axis-name" }, "height in pixels"),
  ];
}

/** How many dots lie on each other, beside them: the largest numbers first, and none where another stands already. */
function counts(dots) {
  const cells = new Map();
  for (const { at } of dots) {
    const key = at.map((each) => Math.round(each / CELL)).join();
    cells.set(key, { at, count: (cells.get(key)?.count ?? 0) + 1 });
  }
  const placed = [];
  for (const cell of [...cells.values()].sort((a, b) => b.count - a.count)) {
    const isFree = placed.every(({ at }) => at.some((each, axis) => Math.abs(each - cell.at[axis]) >= LABEL[axis]));
    if (cell.count > 1 && isFree) placed.push(cell);
  }
  return placed.slice(0, MOST_COUNTS).map(({ at, count }) => svg("text", { x: at[0] + 6, y: at[1] - 5, class: "count" }, `×${count}`));
}
