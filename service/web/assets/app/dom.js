// Making elements without markup in strings: text is always text, so no name, however hostile, becomes a tag.

const SVG = "http://www.w3.org/2000/svg";

/** Makes an element. Functions named `on...` listen, `true` is an empty attribute, null and false are none; children are nodes, texts, or lists of them. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Makes an SVG element. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((each) => each !== null && each !== undefined && each !== false));
  return element;
}

/** Puts other children into an element. */
export function put(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((each) => each !== null && each !== undefined && each !== false));
  return element;
}

/** Sets properties of an element's style; a policy without inline styles allows this, and not the attribute. */
export function styled(element, properties) {
  for (const [name, value] of Object.entries(properties)) element.style.setProperty(name, value);
  return element;
}

/** Sets an attribute, or takes it away for null and false. */
export function attribute(element, name, value) {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? "" : String(value));
}

const ICONS = {
  play: "M8 5.5v13l10.5-6.5z",
  pause: "M7 5.5h3.5v13H7zM13.5 5.5H17v13h-3.5z",
  minus: "M6 11h12v2H6z",
  plus: "M11 6h2v5h5v2h-5v5h-2v-5H6v-2h5z",
  link: "M10.6 13.4a1 1 0 0 1 0-1.4 4 4 0 0 0 0-5.7l-1-1a4 4 0 0 0-5.6 5.7l1.7 1.7a1 1 0 1 1-1.4 1.4l-1.7-1.7A6 6 0 1 1 11 3.9l1 1a6 6 0 0 1 0 8.5 1 1 0 0 1-1.4 0zm2.8-2.8a1 1 0 0 1 0 1.4 4 4 0 0 0 0 5.7l1 1a4 4 0 0 0 5.6-5.7l-1.7-1.7a1 1 0 1 1 1.4-1.4l1.7 1.7a6 6 0 1 1-8.4 8.5l-1-1a6 6 0 0 1 0-8.5 1 1 0 0 1 1.4 0z",
  theme: "M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18v-2a7 7 0 0 0 0-14z",
  keys: "M12 2a10 10 0 1 1 0 20 10 10 0 0 1 0-20zm0 2a8 8 0 1 0 0 16 8 8 0 0 0 0-16zm-1 11.5h2v2h-2zm1-9a3.5 3.5 0 0 1 1.9 6.5c-.7.5-.9.8-.9 1.5h-2c0-1.500.7-2.300 1.800-3.100A1.500 1.500 0 1 0 10.500 10h-2A3.500 3.500 0 0 1 12 6.500z",
  copy: "M8 3h11a2 2 0 0 1 2 2v11h-2V5H8zM5 7h9a2 2 0 0 1 2 2v10a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2V9a2 2 0 0 1 2-2z",
  fit: "M4 4h6v2H6v4H4zM14 4h6v6h-2V6h-4zM4 14h2v4h4v2H4zM18 14h2v6h-6v-2h4z",
};

/** Draws an icon; it says nothing to a screen reader. */
export function icon(name) {
  return svg("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true", focusable: "false" }, svg("path", { d: ICONS[name] }));
}
