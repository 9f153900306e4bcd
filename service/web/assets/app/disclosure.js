// A disclosure that lies over the page: Escape and a click elsewhere close it.

/** Make a `details` element close on Escape, which gives the focus back to its summary, and on a click outside. */
export function dismissible(details) {
  let listening = null;
  details.addEventListener("toggle", () => {
    listening?.abort();
    if (!details.open) return;
    listening = new AbortController();
    const options = { signal: listening.signal };
    document.addEventListener("pointerdown", (event) => details.contains(event.target) || (details.open = false), options);
    document.addEventListener("keydown", (event) => event.key === "Escape" && close(event), options);
  });
  const close = (event) => {
    if (!details.isConnected) return listening.abort();
    event.preventDefault();
    details.open = false;
    return details.querySelector("summary").focus();
  };
  return details;
}
