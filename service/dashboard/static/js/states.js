// @ts-check
/** The states of a page: `data-list`, `data-loading`, `data-empty` and `data-failed`, one at a time. */
import { Unreachable } from "./api.js";
import { part } from "./dom.js";

/** @param {"list" | "loading" | "empty" | "failed"} state */
export function showState(state) {
  for (const name of ["list", "loading", "empty", "failed"]) part(name).hidden = name !== state;
}

/**
 * Show why the page has nothing to show; its button calls `again`.
 *
 * @param {unknown} error
 * @param {() => void} again
 */
export function showFailure(error, again) {
  part("failed-reason").textContent =
    error instanceof Unreachable
      ? "The service does not answer. Is it running?"
      : String(/** @type {Error} */ (error).message);
  part("again").onclick = again;
  showState("failed");
}
