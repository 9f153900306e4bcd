// Where the service lies: at the root of its host, or below the path prefix of a proxy. This module's own address tells it.

const ROOT = new URL("../../", import.meta.url).pathname.slice(0, -1);

/** The address of a path of the service, on this host. */
export const at = (path) => ROOT + path;

/** The service's own URL, as other tools need it. */
export const serviceUrl = () => location.origin + ROOT;
