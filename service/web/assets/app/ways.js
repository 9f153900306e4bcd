// The ways on from what cannot be shown: what exists instead.

import { ELSEWHERE } from "./header.js";

const MOST = 24;

/** What leads to a name that is known, by the code of the error that lists such names. */
const LEADS = {
  "unknown-dataset": (dataset) => ({ ...ELSEWHERE, dataset, split: null }),
  "dataset-unavailable": (dataset) => ({ ...ELSEWHERE, dataset, split: null }),
  "unknown-split": (split) => ({ ...ELSEWHERE, split }),
  "unknown-class": (name) => ({ class: name, offset: 0 }),
};

/**
 * Return links to what an error says is known, for `problemPanel`.
 *
 * @param {Store} store whose `datasets` are those that the service has listed, for errors that list none.
 */
export function knownWays(error, store) {
  const code = error.problem?.code;
  if (!Object.hasOwn(LEADS, code ?? "")) return [];
  const known = error.problem.known ?? store.datasets;
  return known.slice(0, MOST).map((name) => [name, store.link(LEADS[code](name))]);
}
