// @ts-check
/**
 * Verdicts on their way to the service.
 *
 * A verdict counts as given at once; it is kept in the browser until the service has saved it, so
 * that neither a reload nor a service that is down loses one. The service is told which verdict the
 * reviewer saw: where somebody else has judged meanwhile, theirs stays and a conflict is reported.
 */
import { Problem, Unreachable, send } from "./api.js";
import { toast } from "./toast.js";

/** @typedef {"negative" | "contains-object" | "unsure" | null} Verdict */
/** @typedef {{imageId: number, expected: Verdict, verdict: Verdict}} Change */
/** @typedef {{imageId: number, mine: Verdict, theirs: Verdict}} Conflict */

const STORE = "hardneg-unsaved-verdicts";
const MAX_IMAGES = 500;
const RETRY_MS = 2000;

/** @type {Record<"negative" | "contains-object" | "unsure", {name: string, key: string, badge: string}>} */
export const VERDICTS = {
  negative: { name: "Negative", key: "n", badge: "good" },
  "contains-object": { name: "Contains object", key: "o", badge: "warn" },
  unsure: { name: "Unsure", key: "u", badge: "accent" },
};

/** Return a verdict in words. @param {Verdict} verdict */
export function verdictName(verdict) {
  return verdict ? VERDICTS[verdict].name : "No verdict";
}

export class VerdictQueue {
  /**
   * @param {{onSaved: (imageId: number, verdict: Verdict) => void, onConflict: (conflict: Conflict) => void, onWaiting: (count: number) => void}} listeners
   */
  constructor(listeners) {
    this.listeners = listeners;
    /** @type {Change[]} */
    this.waiting = JSON.parse(localStorage.getItem(STORE) ?? "[]");
    this.isSending = false;
    this.retryTimer = 0;
    window.addEventListener("service-back", () => this.flush());
    window.addEventListener("beforeunload", (event) => {
      if (this.waiting.length > 0) event.preventDefault();
    });
    this.flush();
  }

  /** Give verdicts, in order. @param {Change[]} changes */
  add(changes) {
    this.waiting.push(...changes);
    this.keep();
    this.flush();
  }

  keep() {
    localStorage.setItem(STORE, JSON.stringify(this.waiting));
    this.listeners.onWaiting(this.waiting.length);
  }

  /** Send what waits, one request after another. */
  async flush() {
    if (this.isSending) return;
    this.isSending = true;
    clearTimeout(this.retryTimer);
    try {
      while (this.waiting.length > 0) await this.sendNext();
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      this.retryTimer = setTimeout(() => this.flush(), RETRY_MS);
    } finally {
      this.isSending = false;
    }
  }

  /** Send the first changes that have the same verdict and are about different images. */
  async sendNext() {
    const batch = this.nextBatch();
    const [{ verdict }] = batch;
    const body = {
      verdict,
      image_ids: batch.map((change) => change.imageId),
      expected: Object.fromEntries(batch.map((change) => [change.imageId, change.expected])),
    };
    let report;
    try {
      report = await send("POST", "/verdicts", body, { quiet: true });
    } catch (error) {
      if (!(error instanceof Problem) || error.status >= 500) throw new Unreachable("try again", { cause: error });
      toast("Verdicts were refused", { text: error.message, kind: "bad" });
      report = { items: [] };
    }
    this.waiting.splice(0, batch.length);
    this.keep();
    for (const item of report.items) this.report(item, verdict);
  }

  /** @returns {[Change, ...Change[]]} */
  nextBatch() {
    const first = /** @type {Change} */ (this.waiting[0]);
    const seen = new Set();
    /** @type {[Change, ...Change[]]} */
    const batch = [first];
    seen.add(first.imageId);
    for (const change of this.waiting.slice(1, MAX_IMAGES)) {
      if (change.verdict !== first.verdict || seen.has(change.imageId)) break;
      seen.add(change.imageId);
      batch.push(change);
    }
    return batch;
  }

  /** @param {any} item @param {Verdict} verdict */
  report(item, verdict) {
    const isLatest = !this.waiting.some((change) => change.imageId === item.image_id);
    if (item.result === "conflict") {
      this.listeners.onConflict({ imageId: item.image_id, mine: verdict, theirs: item.verdict });
    } else if (item.result === "refused") {
      toast("A verdict was refused", { text: item.problem?.detail, kind: "bad" });
      this.listeners.onSaved(item.image_id, item.verdict);
    } else if (isLatest) this.listeners.onSaved(item.image_id, item.verdict);
  }
}
