// @ts-check
/** The ranked list in pages, as `GET /hard-negatives` gives it, and its filters in the address. */
import { get, withQuery } from "./api.js";

export const FILTERS = [
  "model_version",
  "label",
  "source",
  "verdict",
  "trained",
  "held",
  "min_score",
  "max_score",
];

/** Return the filters that the page's address has. @returns {Record<string, string>} */
export function filtersOfAddress() {
  const query = new URLSearchParams(location.search);
  const named = FILTERS.map((name) => [name, query.get(name) ?? ""]);
  return Object.fromEntries(named.filter(([, value]) => value));
}

/**
 * Put parameters into the page's address; an empty one is taken out.
 *
 * @param {Record<string, string | number | null>} parameters
 * @param {{replace?: boolean}} [options]
 */
export function setAddress(parameters, { replace = false } = {}) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(parameters)) {
    if (value === null || value === "") query.delete(name);
    else query.set(name, String(value));
  }
  const address = withQuery(location.pathname, query);
  if (replace) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
}

export class RankedList {
  /** @param {Record<string, string>} filters */
  constructor(filters) {
    this.filters = filters;
    /** @type {any[]} */
    this.items = [];
    this.isComplete = false;
    this.version = "";
    /** @type {{images: number, scored: number}} */
    this.pool = { images: 0, scored: 0 };
    /** @type {any} */
    this.holdTest = null;
    /** @type {string | null} */
    this.cursor = null;
    /** @type {Promise<number> | null} */
    this.loading = null;
  }

  /** Load the next images, and return how many came. @param {number} n @returns {Promise<number>} */
  load(n) {
    this.loading ??= this.loadPage(n).finally(() => {
      this.loading = null;
    });
    return this.loading;
  }

  /** @param {number} n */
  async loadPage(n) {
    if (this.isComplete) return 0;
    // the cursor pins the version, even if another one begins to serve meanwhile
    const page = await get(withQuery("/hard-negatives", { ...this.filters, n, cursor: this.cursor }));
    this.version = page.model_version;
    this.pool = page.pool;
    this.holdTest = page.hold_test;
    this.cursor = page.next_cursor;
    this.isComplete = page.next_cursor === null;
    this.items.push(...page.items);
    return page.items.length;
  }
}
