// The service's HTTP API, as far as the page needs it. Everything shown comes from here.

import { at } from "./base.js";
import { pause } from "./pause.js";
import { queryOf } from "./text.js";

const TRIES = 4;
const LONGEST_PAUSE_SECONDS = 5;

/** A refusal or failure; `problem` is the RFC 9457 document where there is one. */
export class ApiError extends Error {
  constructor(message, status = 0, problem = null) {
    super(message);
    this.status = status;
    this.problem = problem;
  }
}

let token = "";

/** Keeps the bearer token for writes until the tab is closed or reloaded; nowhere else. */
export function setToken(value) {
  token = value;
}

/** Sends a request; throws ApiError for whatever is not a success, and AbortError once `signal` says so. */
export async function request(path, { method = "GET", body, signal, priority } = {}) {
  const headers = { Accept: "*/*" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "GET" && token) headers.Authorization = `Bearer ${token}`;
  let response;
  try {
    response = await send(path, { method, headers, signal, priority, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The service does not answer. Is it still running?", 0, { code: "no-answer" });
  }
  if (response.ok) return response;
  const problem = (response.headers.get("content-type") ?? "").includes("json") ? await response.json() : null;
  const error = new ApiError(problem?.detail ?? `The service answered ${response.status}.`, response.status, problem);
  if (isStale(error)) {
    forgetDatasets();
    document.dispatchEvent(new Event(STALE));
  }
  throw error;
}

/** Fetches; a service that is busy says when to come back, and is asked again then, unless that is too long to wait for. */
async function send(path, options, tries = TRIES) {
  const response = await fetch(path, options);
  const seconds = Number(response.headers.get("retry-after"));
  if (response.status !== 503 || !seconds || seconds > LONGEST_PAUSE_SECONDS || tries === 1 || options.method !== "GET") return response;
  await pause(1000 * seconds, options.signal);
  return send(path, options, tries - 1);
}

/** The event that tells that a dataset has changed since the page has read about it. */
export const STALE = "batchlens-stale";

/** Whether a request failed for just that: the page asks anew by itself. */
export const isStale = (error) => error.problem?.code === "version-gone";

export const getJson = async (path, options) => (await request(path, options)).json();

const unanswered = new Set();

/** Remembers the answer to each argument; failures and aborts are forgotten. */
function remembered(load) {
  const known = new Map();
  return (key) => {
    if (!known.has(key)) {
      const answer = load(key);
      const forget = () => known.get(key) === answer && known.delete(key);
      known.set(key, answer);
      unanswered.add(forget);
      answer.catch(forget).finally(() => unanswered.delete(forget));
    }
    return known.get(key);
  };
}

/** Forget the requests that are not answered yet, so that the next one is sent anew. */
export function forgetUnanswered() {
  for (const forget of unanswered) forget();
  unanswered.clear();
}

const encoded = encodeURIComponent;

export const getCatalogue = () => getJson(at("/datasets"));
export const getRecipes = remembered(() => getJson(at("/recipes")));
export const parseRecipe = remembered((recipe) => getJson(withQuery(at("/recipes/parse"), { recipe })));

let details = remembered((name) => getJson(at(`/datasets/${encoded(name)}`)));

/** A dataset's metadata, fetched once until `forgetDatasets`. */
export const getDataset = (name) => details(name);

export function forgetDatasets() {
  details = remembered((name) => getJson(at(`/datasets/${encoded(name)}`)));
}

/** The path of a split, below which its batches and samples are. */
export const splitPath = (dataset, split) => at(`/datasets/${encoded(dataset)}/splits/${encoded(split)}`);

/** Completes a path by a query; what is null or undefined is left out. */
export function withQuery(path, query) {
  const written = queryOf(Object.entries(query));
  return written ? `${path}?${written}` : path;
}
