// Which part of the original a sample shows: the drawn steps, walked from the original on, as one 3 x 3 matrix from output to original pixels.
// The formulas are those of torchvision.transforms.v2.functional (0.29): affine from _get_inverse_affine_matrix, perspective from its coefficients.

import { argument, parseCalls } from "./calls.js";

const IDENTITY = [1, 0, 0, 0, 1, 0, 0, 0, 1];
const radians = (degrees) => (degrees * Math.PI) / 180;
const sides = (size) => (Array.isArray(size) ? [size[0], size.at(-1)] : [size, size]);
const shift = (x, y) => [1, 0, x, 0, 1, y, 0, 0, 1];

function times(a, b) {
  return Array.from({ length: 9 }, (_, at) => [0, 1, 2].reduce((sum, k) => sum + a[3 * Math.floor(at / 3) + k] * b[3 * k + (at % 3)], 0));
}

function map(matrix, x, y) {
  const [u, v, w] = [0, 3, 6].map((row) => matrix[row] * x + matrix[row + 1] * y + matrix[row + 2]);
  return [u / w, v / w];
}

/** The size that `Resize` gives, [height, width]. */
export function resizedSize(height, width, size, longest = null) {
  if (Array.isArray(size) && size.length === 2) return size;
  const wanted = Array.isArray(size) ? size[0] : size;
  const [low, high] = [Math.min(height, width), Math.max(height, width)];
  let [newLow, newHigh] = wanted === null ? [Math.trunc((longest * low) / high), longest] : [wanted, Math.trunc((wanted * high) / low)];
  if (wanted !== null && longest !== null && newHigh > longest) [newLow, newHigh] = [Math.trunc((longest * newLow) / newHigh), longest];
  return width <= height ? [newHigh, newLow] : [newLow, newHigh];
}

function affine(frame, angle, [moveX, moveY], scale, [shearX, shearY], center) {
  const [rotation, sx, sy] = [angle, shearX, shearY].map(radians);
  const a = Math.cos(rotation - sy) / Math.cos(sy);
  const b = (-Math.cos(rotation - sy) * Math.tan(sx)) / Math.cos(sy) - Math.sin(rotation);
  const c = Math.sin(rotation - sy) / Math.cos(sy);
  const d = (-Math.sin(rotation - sy) * Math.tan(sx)) / Math.cos(sy) + Math.cos(rotation);
  const inverse = [d / scale, -b / scale, 0, -c / scale, a / scale, 0, 0, 0, 1];
  const [x, y] = center ?? [frame.width / 2, frame.height / 2];
  return times(times(shift(x, y), inverse), shift(-x - moveX, -y - moveY));
}

function cut(frame, top, left, height, width) {
  return { matrix: shift(left, top), height, width };
}

function resize(frame, [height, width]) {
  return { matrix: [frame.width / width, 0, 0, 0, frame.height / height, 0, 0, 0, 1], height, width };
}

function pad(frame, padding) {
  const all = Array.isArray(padding) ? padding : [padding];
  const [left, top, right, bottom] = all.length === 4 ? all : [all[0], all.at(-1), all[0], all.at(-1)];
  return { matrix: shift(-left, -top), height: frame.height + top + bottom, width: frame.width + left + right };
}

/** Python's round: halves go to the even neighbour. */
const round = (value) => (value % 1 === 0.5 ? 2 * Math.round(value / 2) : Math.round(value));

function centerCrop(frame, call) {
  const [height, width] = sides(argument(call, "size", 0));
  const [high, wide] = [Math.max(0, height - frame.height), Math.max(0, width - frame.width)];
  const padded = pad(frame, [Math.floor(wide / 2), Math.floor(high / 2), Math.floor((wide + 1) / 2), Math.floor((high + 1) / 2)]);
  const inner = cut(padded, round((padded.height - height) / 2), round((padded.width - width) / 2), height, width);
  return { ...inner, matrix: times(padded.matrix, inner.matrix) };
}

function resizedCrop(frame, call, params) {
  const crop = cut(frame, params.top, params.left, params.height, params.width);
  const whole = resize(crop, sides(argument(call, "size", 0)));
  return { ...whole, matrix: times(crop.matrix, whole.matrix) };
}

function randomCrop(frame, call, params) {
  const padded = pad(frame, params.padding);
  const crop = cut(padded, params.top, params.left, params.height, params.width);
  return { ...crop, matrix: times(padded.matrix, crop.matrix) };
}

const drawnSize = (frame, call, params) => resize(frame, resizedSize(frame.height, frame.width, params.size));

/** What each step does to the frame; gives the matrix from its output to its input, and the new size where that changes. */
const STEPS = {
  Resize: (frame, call) => resize(frame, resizedSize(frame.height, frame.width, argument(call, "size", 0), argument(call, "max_size", 2))),
  CenterCrop: centerCrop,
  RandomCrop: randomCrop,
  RandomResizedCrop: resizedCrop,
  RandomResize: drawnSize,
  RandomShortestSize: drawnSize,
  ScaleJitter: drawnSize,
  RandomZoomOut: (frame, call, params) => pad(frame, params.padding),
  Pad: (frame, call) => pad(frame, argument(call, "padding", 0)),
  RandomHorizontalFlip: (frame) => ({ matrix: [-1, 0, frame.width, 0, 1, 0, 0, 0, 1] }),
  RandomVerticalFlip: (frame) => ({ matrix: [1, 0, 0, 0, -1, frame.height, 0, 0, 1] }),
  RandomRotation: (frame, call, params) =>
    argument(call, "expand", 2) ? null : { matrix: affine(frame, -params.angle, [0, 0], 1, [0, 0], argument(call, "center", 3)) },
  RandomAffine: (frame, call, params) => ({
    matrix: affine(frame, params.angle, params.translate, params.scale, params.shear, argument(call, "center", 6)),
  }),
  RandomPerspective: (frame, call, params) => ({ matrix: [...params.coefficients, 1] }),
  ElasticTransform: () => null,
};

const MOVING = /^(Rotate|Shear|Translate)/;

function walk(frame, calls, applied) {
  applied.forEach((done, position) => {
    const call = calls[position];
    if (!done.applied || !call) return;
    if (Array.isArray(done.params.steps)) {
      const nested = call.list[0];
      const order = done.params.order ?? ("index" in done.params ? [done.params.index] : nested.map((_, at) => at));
      walk(
        frame,
        order.map((at) => nested[at]),
        done.params.steps,
      );
      return;
    }
    const change = STEPS[call.name]?.(frame, call, done.params);
    if (change) Object.assign(frame, { ...change, matrix: times(frame.matrix, change.matrix) });
    const ops = [done.params.ops ?? [], (done.params.chains ?? []).map((chain) => chain.ops)].flat(2);
    if (change === null || ops.some(({ op, magnitude }) => MOVING.test(op) && magnitude)) frame.beyond.push(call.name);
  });
}

/**
 * Tells what part of the original comes out.
 *
 * @param {string} recipe canonical text.
 * @param {{step: string, applied: boolean, params: object}[]} applied as provenance tells it.
 * @param {number} width of the original in pixels; likewise height.
 * @returns {{corners: number[][], beyond: string[]}} the output's corners (top left, top right, bottom right, bottom left) as [x, y] in the original, and the
 *   names of steps that moved pixels in ways that a frame cannot show.
 */
export function findFrame(recipe, applied, width, height) {
  const frame = { matrix: IDENTITY, width, height, beyond: [] };
  walk(frame, parseCalls(recipe), applied);
  const corners = [
    [0, 0],
    [frame.width, 0],
    [frame.width, frame.height],
    [0, frame.height],
  ];
  return { corners: corners.map(([x, y]) => map(frame.matrix, x, y)), size: [frame.height, frame.width], beyond: frame.beyond };
}
