// @ts-check
/** Jobs in words: their kinds, states and times. */
import { get } from "./api.js";
import { duration } from "./format.js";

/** @type {Record<string, string>} */
const KINDS = {
  import: "Import",
  retrain: "Retraining",
  measure: "Measuring",
  "hold-test": "Hold test",
  group: "Grouping",
  scan: "Scan",
};
/** @type {Record<string, {name: string, badge: string}>} */
export const STATES = {
  todo: { name: "Waiting", badge: "" },
  running: { name: "Running", badge: "accent" },
  done: { name: "Done", badge: "good" },
  failed: { name: "Failed", badge: "bad" },
  cancelled: { name: "Cancelled", badge: "warn" },
};

/** @param {{kind: string}} job */
export function kindName(job) {
  return KINDS[job.kind] ?? job.kind.replace(/[-_]/g, " ").replace(/^./, (letter) => letter.toUpperCase());
}

/** @param {{status: string}} job */
export function isOpen(job) {
  return job.status === "todo" || job.status === "running";
}

/** Return how long a job has taken so far. @param {any} job */
export function took(job) {
  if (!job.started_at) return "–";
  const end = job.finished_at ? new Date(job.finished_at) : new Date();
  return duration((end.getTime() - new Date(job.started_at).getTime()) / 1000);
}

/** Return how long the present stage will take, in words. @param {any} job */
export function remaining(job) {
  if (!job.progress.eta) return "";
  const seconds = (new Date(job.progress.eta).getTime() - Date.now()) / 1000;
  return seconds > 0 ? `about ${duration(seconds)} left` : "";
}

/** Return a moment as people say it: the time of today, else the day. @param {string} moment */
export function when(moment) {
  const date = new Date(moment);
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday
    ? date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })
    : date.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });
}

const WATCH_MS = 1000;

/**
 * Follow a job until it is over, and return it.
 *
 * @param {any} job
 * @param {(job: any) => void} onChange
 */
export async function watchJob(job, onChange) {
  let shown = job;
  onChange(shown);
  while (isOpen(shown)) {
    await new Promise((resolve) => setTimeout(resolve, WATCH_MS));
    shown = await get(job.links.self, { quiet: true }).catch(() => shown);
    onChange(shown);
  }
  return shown;
}

/** Return what a job does now, in one line. @param {any} job */
export function progressText(job) {
  if (job.status === "todo") return "Waiting for a worker";
  const { stage, done, total } = job.progress;
  const numbers = total ? ` ${done} of ${total}` : "";
  return `${stage ? stage.replace(/^./, (/** @type {string} */ letter) => letter.toUpperCase()) : "Running"}${numbers}`;
}
