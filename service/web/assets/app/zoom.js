// One image to look into: pixels stay squares, wheel and keys zoom, dragging moves, and pointing reads values.

import { h, icon, put } from "./dom.js";

const MOST = 32;
const PANNED = 40;
const FACTOR = 1.5;

export class ZoomView {
  #scale = 1;
  #offset = [0, 0];
  #drag = null;

  constructor(label) {
    this.canvas = h("canvas", { role: "img", "aria-label": label });
    this.readout = h("output", { class: "readout", "aria-live": "off" });
    const button = (name, title, act) => h("button", { type: "button", class: "quiet", "aria-label": title, title, onclick: act }, icon(name));
    this.viewport = h(
      "div",
      { class: "viewport waiting", tabindex: 0, role: "group", "aria-label": `${label}; plus and minus zoom, arrows move` },
      this.canvas,
    );
    this.tools = h(
      "div",
      { class: "zoom-tools" },
      this.readout,
      button("minus", "Zoom out", () => this.zoom(1 / FACTOR)),
      button("plus", "Zoom in", () => this.zoom(FACTOR)),
      button("fit", "Fit", () => this.fit()),
    );
    this.element = h("div", { class: "zoom" }, this.viewport, this.tools);
    this.#listen();
  }

  show(bitmap) {
    const isOther = bitmap.width !== this.canvas.width || bitmap.height !== this.canvas.height;
    this.canvas.width = bitmap.width;
    this.canvas.height = bitmap.height;
    this.canvas.getContext("2d", { alpha: false, willReadFrequently: true }).drawImage(bitmap, 0, 0);
    this.viewport.classList.remove("waiting");
    this.viewport.style.setProperty("--ratio", bitmap.width / bitmap.height);
    if (isOther) this.fit();
  }

  fit() {
    this.#scale = 1;
    this.#draw();
  }

  /** Zooms by a factor around a point of the viewport, its middle by default. */
  zoom(factor, point = this.#room.map((side) => side / 2)) {
    const scale = Math.min(MOST, Math.max(1, this.#scale * factor));
    const [left, top] = [this.canvas.offsetLeft, this.canvas.offsetTop];
    this.#offset = [point[0] - left, point[1] - top].map((at, axis) => at - ((at - this.#offset[axis]) * scale) / this.#scale);
    this.#scale = scale;
    this.#draw();
  }

  get #room() {
    return [this.viewport.clientWidth, this.viewport.clientHeight];
  }

  /** Keeps the image in the viewport: over all of it where it is large enough, else in its middle. */
  #held(offset, room, start, side) {
    const spare = room - side * this.#scale;
    return spare >= 0 ? spare / 2 - start : Math.min(-start, Math.max(spare - start, offset));
  }

  pan(x, y) {
    this.#offset = [this.#offset[0] + x, this.#offset[1] + y];
    this.#draw();
  }

  #draw() {
    const [{ canvas }, [width, height]] = [this, this.#room];
    this.#offset = [
      this.#held(this.#offset[0], width, canvas.offsetLeft, canvas.offsetWidth),
      this.#held(this.#offset[1], height, canvas.offsetTop, canvas.offsetHeight),
    ];
    this.canvas.style.transform = `translate(${this.#offset[0]}px, ${this.#offset[1]}px) scale(${this.#scale})`;
    this.viewport.classList.toggle("zoomed", this.#scale > 1);
    put(this.readout, `${this.#magnification()} %`);
  }

  #magnification = () => Math.round(((this.canvas.offsetWidth * this.#scale) / this.canvas.width) * 100);

  #listen() {
    const { viewport } = this;
    viewport.addEventListener("keydown", (event) => this.#onKey(event));
    viewport.addEventListener("wheel", (event) => this.#onWheel(event), { passive: false });
    viewport.addEventListener("dblclick", (event) => this.zoom(2, this.#point(event)));
    viewport.addEventListener("pointerdown", (event) => {
      this.#drag = [event.clientX, event.clientY];
      viewport.setPointerCapture(event.pointerId);
    });
    viewport.addEventListener("pointerup", () => (this.#drag = null));
    viewport.addEventListener("pointercancel", () => (this.#drag = null));
    viewport.addEventListener("pointerleave", () => this.#draw());
    viewport.addEventListener("pointermove", (event) => {
      if (this.#drag) {
        this.pan(event.clientX - this.#drag[0], event.clientY - this.#drag[1]);
        this.#drag = [event.clientX, event.clientY];
      } else this.#read(event);
    });
  }

  #onKey(event) {
    const act = {
      "+": () => this.zoom(FACTOR),
      "=": () => this.zoom(FACTOR),
      "-": () => this.zoom(1 / FACTOR),
      0: () => this.fit(),
      ...(this.#scale > 1 && !event.shiftKey
        ? {
            ArrowLeft: () => this.pan(PANNED, 0),
            ArrowRight: () => this.pan(-PANNED, 0),
            ArrowUp: () => this.pan(0, PANNED),
            ArrowDown: () => this.pan(0, -PANNED),
          }
        : {}),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  /** The wheel scrolls the page unless the image has the focus or Ctrl is held, as in maps. */
  #onWheel(event) {
    if (!event.ctrlKey && document.activeElement !== this.viewport) return;
    event.preventDefault();
    this.zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, this.#point(event));
  }

  #point(event) {
    const box = this.viewport.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  #read(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = Math.floor(((event.clientX - box.left) / box.width) * this.canvas.width);
    const y = Math.floor(((event.clientY - box.top) / box.height) * this.canvas.height);
    if (x < 0 || y < 0 || x >= this.canvas.width || y >= this.canvas.height) return;
    const [red, green, blue] = this.canvas.getContext("2d").getImageData(x, y, 1, 1).data;
    put(this.readout, `x ${x}  y ${y}  rgb ${red} ${green} ${blue}`);
  }
}
