// Numbers and names as people read them.

const COUNT = new Intl.NumberFormat("en");

export const count = (value) => COUNT.format(value);

/** "1 sample", "2 samples". */
export const several = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

/** Bytes with a binary unit and at most three digits. */
export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let rest = value;
  let unit = 0;
  while (rest >= 1000 && unit < units.length - 1) {
    rest /= 1024;
    unit += 1;
  }
  return `${unit && rest < 100 ? rest.toPrecision(rest < 10 ? 2 : 3) : Math.round(rest)} ${units[unit]}`;
}

/** A number as short as it stays telling: 3 digits behind the point, none for integers. */
export const short = (value) => (Number.isInteger(value) ? String(value) : String(Number(value.toFixed(Math.abs(value) < 0.01 ? 5 : 3))));

/** Any JSON value in one line. */
export function plain(value) {
  if (typeof value === "number") return short(value);
  if (Array.isArray(value)) return value.length && typeof value[0] === "object" ? value.map(plain).join(", ") : `[${value.map(plain).join(", ")}]`;
  if (value && typeof value === "object") {
    return "op" in value
      ? `${value.op} ${short(value.magnitude)}`
      : Object.entries(value)
          .map(([name, each]) => `${name} ${plain(each)}`)
          .join(", ");
  }
  return String(value);
}

/** The last part of a path, and what stands before it. */
export function splitPath(path) {
  const cut = path.lastIndexOf("/") + 1;
  return [path.slice(0, cut), path.slice(cut)];
}

/** A query that stays readable: only what means something in a URL or a shell is written in percent. */
export function queryOf(entries) {
  const encode = (text) => encodeURIComponent(text).replaceAll("%20", "+").replaceAll("%2C", ",").replaceAll("'", "%27");
  return entries
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `${name}=${encode(String(value))}`)
    .join("&");
}

/** A failure of one sample as a sentence; which one it is stands beside it. */
export const why = (problem) => capitalized(problem.replace(/^Sample \d+ \(.*?\): /, ""));

const capitalized = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** A failure in words: what the service said, without long lists. */
export const reason = (error) => (error.problem?.detail ?? error.message).replace(/[.;]? Known are .*$/s, "");
