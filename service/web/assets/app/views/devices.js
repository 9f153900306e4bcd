// Devices and loaders: what renders, how much it has done, and how to move it. Asks the service again and again while the tab is seen.

import { ApiError, getJson, request, setToken } from "../api.js";
import { at } from "../base.js";
import { meter, spark } from "../charts.js";
import { deviceCode } from "../code.js";
import { CodePanel } from "../codepanel.js";
import { h, put } from "../dom.js";
import { facts } from "../facts.js";
import { Poll } from "../latest.js";
import { problemPanel } from "../notices.js";
import { bytes, count, reason, several } from "../text.js";

const POLL_MILLISECONDS = 1500;
const ROOM = 60;

export class DevicesView {
  #rates = new Map();
  #current = null;
  #waiting = null;

  constructor({ say, watch }) {
    this.say = say;
    this.notice = h("div", { class: "notice-place" });
    this.devices = h("div", { class: "cards" });
    this.loaders = h("div", { class: "cards" });
    this.cuda = h("p", { class: "note" });
    this.field = h("input", { id: "device", list: "known-devices", autocomplete: "off", spellcheck: "false", required: true, placeholder: "cuda:0" });
    this.known = h("datalist", { id: "known-devices" });
    this.answer = h("div", { class: "answer", role: "status" });
    this.token = h("input", { id: "token", type: "password", autocomplete: "off" });
    this.asking = h(
      "form",
      { class: "asking", hidden: true, onsubmit: (event) => this.#authorize(event) },
      h("label", { for: "token" }, "Bearer token"),
      this.token,
      h("button", {}, "Go on"),
      h("small", {}, "Kept in this page until it is closed, nowhere else."),
    );
    this.form = h(
      "form",
      { class: "move", onsubmit: (event) => this.#choose(event) },
      h("label", { for: "device" }, "Render on"),
      this.field,
      this.known,
      h("button", {}, "Move"),
    );
    this.code = new CodePanel({ say });
    this.element = h(
      "section",
      { class: "view devices" },
      h("div", { class: "toolbar" }, h("h1", {}, "Devices"), this.form),
      this.asking,
      this.answer,
      this.notice,
      this.cuda,
      this.devices,
      h("h2", { class: "row-title" }, "Loaders"),
      this.loaders,
      this.code.element,
    );
    this.poll = new Poll(POLL_MILLISECONDS, () => {
      const answer = this.#refresh();
      watch("devices", answer);
      return answer;
    });
  }

  get keys() {
    return {};
  }

  update() {
    return this.poll.first;
  }

  close() {
    this.poll.stop();
  }

  async #refresh() {
    try {
      const [devices, { loaders }] = await Promise.all([getJson(at("/devices")), getJson(at("/loaders"))]);
      put(this.notice);
      this.element.classList.remove("old");
      this.#showDevices(devices);
      this.#showLoaders(loaders);
    } catch (error) {
      this.element.classList.add("old");
      put(this.notice, problemPanel(error, [["Try again", () => this.poll.now()]]), this.#current ? h("p", { class: "note" }, "What is dimmed is from before.") : null);
    }
  }

  #showDevices({ current, cuda, devices }) {
    if (current !== this.#current) {
      this.#current = current;
      this.code.show(deviceCode(current), [
        ["devices.json", at("/devices")],
        ["loaders.json", at("/loaders")],
      ]);
    }
    put(
      this.known,
      devices.map(({ id }) => h("option", { value: id })),
    );
    put(
      this.cuda,
      cuda.available
        ? `CUDA ${cuda.version}, driver ${cuda.driver ?? "unknown"}, ${cuda.device_count} visible.`
        : `No CUDA device is usable here; torch was built ${cuda.version ? `for CUDA ${cuda.version}` : "without CUDA"}.`,
    );
    replaceKeeping(
      this.devices,
      devices,
      ({ id }) => id,
      (device) => this.#deviceCard(device, device.id === current),
    );
  }

  #deviceCard(device, isCurrent) {
    const { total_bytes: total, free_bytes: free } = device.memory;
    return h(
      "article",
      { class: isCurrent ? "card current" : "card", "data-key": device.id },
      h(
        "header",
        {},
        h("h3", {}, h("code", {}, device.id)),
        isCurrent ? h("span", { class: "badge" }, "renders") : h("button", { type: "button", onclick: () => this.#move(device.id) }, "Render here"),
      ),
      h("p", { class: "note" }, device.name),
      total === null || free === null ? null : meter("memory", total - free, total, `${bytes(total - free)} of ${bytes(total)}`),
      device.utilization_percent === null ? null : meter("busy", device.utilization_percent, 100, `${device.utilization_percent} %`),
      facts([
        ["processors", device.processors ?? null],
        ["temperature", device.temperature_celsius === null ? null : `${device.temperature_celsius} °C`],
        ["capability", device.capability],
        ["uuid", device.uuid && h("code", {}, device.uuid)],
      ]),
    );
  }

  #showLoaders(loaders) {
    if (!loaders.length) {
      put(this.loaders, h("p", { class: "hint" }, "No loader is open yet: the first batch of a split opens its own."));
      return;
    }
    for (const each of loaders) this.#measure(each);
    replaceKeeping(this.loaders, loaders, keyOf, (each) => this.#loaderCard(each));
  }

  /** Images per second since the last look, from a count that only grows. */
  #measure(loader) {
    const now = performance.now();
    const seen = this.#rates.get(keyOf(loader)) ?? { values: [], images: loader.images, time: now };
    const seconds = (now - seen.time) / 1000;
    const values = seconds > 0 ? [...seen.values, Math.max(0, loader.images - seen.images) / seconds].slice(-ROOM) : seen.values;
    this.#rates.set(keyOf(loader), { values, images: loader.images, time: now });
  }

  #loaderCard(loader) {
    const { values } = this.#rates.get(keyOf(loader));
    const { slab, arena } = loader;
    return h(
      "article",
      { class: "card", "data-key": keyOf(loader) },
      h(
        "header",
        {},
        h("h3", {}, keyOf(loader)),
        h(
          "button",
          { type: "button", class: "quiet", "aria-label": `Close the loader of ${keyOf(loader)}`, onclick: () => this.#closeLoader(loader) },
          "Close",
        ),
      ),
      h("div", { class: "states" }, h("span", { class: "badge" }, loader.state), h("span", { class: "note" }, `on ${loader.device}`)),
      h(
        "div",
        { class: "throughput" },
        h("strong", {}, count(Math.round(values.at(-1) ?? 0))),
        h("span", {}, "images a second"),
        spark(values, ROOM, "Images a second"),
      ),
      meter("batches in memory", slab.used_bytes, slab.size_bytes, `${bytes(slab.used_bytes)} of ${bytes(slab.size_bytes)}, ${slab.kept} kept`),
      arena
        ? meter(
            "decoded photos",
            arena.used_bytes,
            arena.size_bytes,
            `${bytes(arena.used_bytes)} of ${bytes(arena.size_bytes)}, ${several(arena.samples, "photo")}`,
          )
        : null,
      facts([
        ["served", several(loader.served, "batch", "batches")],
        ["rendered", `${several(loader.rendered, "batch", "batches")}, ${several(loader.images, "image")}`],
        ["reused", count(loader.reused)],
        ["queue", `${loader.queued} waiting, ${loader.rendering} under way`],
        ["refused", count(loader.refused)],
        ["restarts", count(loader.restarts)],
        ["workers", loader.pids.length ? loader.pids.join(", ") : "in the server itself"],
      ]),
    );
  }

  #choose(event) {
    event.preventDefault();
    this.#move(this.field.value.trim());
  }

  #move(device) {
    return this.#write(`Rendering on ${device}.`, () => request(at("/devices/current"), { method: "PUT", body: { device } }));
  }

  #closeLoader({ dataset, split }) {
    const path = at(`/loaders/${encodeURIComponent(dataset)}/${encodeURIComponent(split)}`);
    return this.#write(`The loader of ${dataset} ${split} is closed.`, () => request(path, { method: "DELETE" }));
  }

  /** Writes, and where the service wants to know who asks, asks for the token and tries again. */
  async #write(success, work) {
    put(this.answer);
    try {
      await work();
      this.asking.hidden = true;
      put(this.answer, h("p", { class: "good" }, success));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const isAsking = error.status === 401;
      this.asking.hidden = !isAsking;
      this.#waiting = isAsking ? () => this.#write(success, work) : null;
      put(this.answer, h("p", { class: "why" }, isAsking ? "The service wants its token for this." : reason(error)));
      if (isAsking) this.token.focus();
    }
    this.poll.now();
  }

  #authorize(event) {
    event.preventDefault();
    setToken(this.token.value);
    this.token.value = "";
    this.#waiting?.();
  }
}

const keyOf = ({ dataset, split }) => `${dataset} / ${split}`;

/** Draws cards anew, and gives the focus back to the button that had it. */
function replaceKeeping(list, items, key, draw) {
  const focused = document.activeElement?.closest?.("[data-key]")?.dataset.key;
  const label = document.activeElement?.textContent;
  put(list, items.map(draw));
  if (!focused || !items.some((each) => key(each) === focused)) return;
  const card = [...list.children].find((each) => each.dataset.key === focused);
  [...card.querySelectorAll("button")].find((each) => each.textContent === label)?.focus();
}
