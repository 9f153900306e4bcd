// The frame that a sample shows, drawn on its original.

import { svg } from "./dom.js";
import { findFrame } from "./frame.js";

const LEAST_SCALE = 0.45;

const points = (corners) => corners.map((corner) => corner.map((each) => each.toFixed(2)).join(",")).join(" ");

/**
 * Draws frames over an original. The first is the one looked at: what lies outside it is dimmed, and a dot marks the corner that comes out top left.
 *
 * @param {number} width of the original in pixels; likewise height.
 * @param {number[][][]} frames corners of each, see `findFrame`.
 */
export function overlay(width, height, frames) {
  const [first, ...others] = frames;
  const outside = `M0 0H${width}V${height}H0ZM${points(first).replaceAll(" ", "L")}Z`;
  const unit = Math.max(width, height) / 100;
  return svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, class: "overlay", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("path", { d: outside, class: "outside", "fill-rule": "evenodd" }),
    others.map((each) => svg("polygon", { points: points(each), class: "frame other", "vector-effect": "non-scaling-stroke" })),
    svg("polygon", { points: points(first), class: "frame halo", "vector-effect": "non-scaling-stroke" }),
    svg("polygon", { points: points(first), class: "frame", "vector-effect": "non-scaling-stroke" }),
    svg("circle", { cx: first[0][0], cy: first[0][1], r: 1.6 * unit, class: "corner" }),
  );
}

/** The overlay of one row of a batch. */
export function overlayOf(recipe, row) {
  return overlay(row.width, row.height, [findFrame(recipe, row.applied, row.width, row.height).corners]);
}

/**
 * The CSS transform that shrinks and moves an original in the middle of a square, so that frames which reach beyond it are seen, too.
 *
 * @param {number[][][]} frames corners of each. What would make the original tiny stays cut off.
 */
export function makeRoom(width, height, frames) {
  const [xs, ys] = [0, 1].map((axis) => [0, axis ? height : width, ...frames.flat().map((corner) => corner[axis])]);
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const side = Math.max(width, height);
  const scale = Math.max(LEAST_SCALE, Math.min(1, side / (right - left), side / (bottom - top)));
  return scale === 1 ? "none" : `scale(${scale}) translate(${(50 * (width - left - right)) / width}%, ${(50 * (height - top - bottom)) / height}%)`;
}

/** How much of the original's area a frame covers, in percent; what lies outside the original does not count. */
export function coverage(corners, width, height) {
  const inside = [([x]) => x, ([x]) => width - x, ([, y]) => y, ([, y]) => height - y].reduce((polygon, distance) => clip(polygon, distance), corners);
  const area = inside.reduce((sum, [x, y], at) => {
    const [nextX, nextY] = inside[(at + 1) % inside.length];
    return sum + x * nextY - nextX * y;
  }, 0);
  return (Math.abs(area) / 2 / (width * height)) * 100;
}

/** Cuts a convex polygon along a line (Sutherland and Hodgman, 1974); what has a distance of at least 0 stays. */
function clip(polygon, distance) {
  return polygon.flatMap((point, at) => {
    const next = polygon[(at + 1) % polygon.length];
    const [here, there] = [distance(point), distance(next)];
    const crossing = point.map((value, axis) => value + ((next[axis] - value) * here) / (here - there));
    return [...(here >= 0 ? [point] : []), ...(here >= 0 !== there >= 0 ? [crossing] : [])];
  });
}
