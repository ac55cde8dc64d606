// @ts-check
/** A training's job on the page: stage, time left, curves, log, and the button that cancels it. */
import { cancelJob } from "./cancel_job.js";
import { part } from "./dom.js";
import { duration } from "./format.js";
import { followJob } from "./job_events.js";
import { curvesIn } from "./training_curves.js";

/** @param {HTMLElement} card with `data-job` and `data-is-live` */
export function watchTraining(card) {
  const jobId = card.dataset.job ?? "";
  const isLive = card.dataset.isLive === "true";
  const curves = card.querySelector("[data-curves]") ? curvesIn(card) : null;
  const log = part("log", card);
  followJob(jobId, {
    onLine(line) {
      const follows = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
      log.append(`${time(line.created_at)}  ${line.message}\n`);
      if (follows) log.scrollTop = log.scrollHeight;
      if (line.data.epoch) curves?.add(line.data);
    },
    onProgress: isLive ? (job) => showProgress(card, job) : undefined,
    onEnd: isLive ? () => location.assign(`${location.pathname}?job=${jobId}`) : undefined,
  });
  if (isLive) prepareCancel(card, jobId);
}

/** @param {HTMLElement} card @param {any} job */
function showProgress(card, { status, progress, cancel_requested: isEnding }) {
  const { stage, done, total, eta } = progress;
  const bar = /** @type {HTMLProgressElement} */ (part("bar", card));
  part("job-status", card).textContent = isEnding ? "stopping" : status === "todo" ? "waiting" : status;
  part("job-status", card).classList.toggle("accent", status === "running");
  const words = stage || (status === "todo" ? "waiting for a worker" : "starting");
  part("stage", card).textContent = words[0]?.toUpperCase() + words.slice(1);
  if (total) {
    bar.max = total;
    bar.value = done;
  } else bar.removeAttribute("value"); // the browser shows that something is under way
  const left = eta ? (new Date(eta).getTime() - Date.now()) / 1000 : 0;
  const counts = total ? `${done} of ${total}` : "";
  part("eta", card).textContent = [counts, left > 0 ? `${duration(left)} left` : ""].filter(Boolean).join(", ");
}

/** @param {HTMLElement} card @param {string} jobId */
function prepareCancel(card, jobId) {
  const button = /** @type {HTMLButtonElement} */ (part("cancel", card));
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await cancelJob(jobId);
    } catch {
      button.disabled = false; // the reason is on the page as a toast, or as the offline line
    }
  });
}

/** @param {string} moment */
function time(moment) {
  return new Date(moment).toLocaleTimeString("en-GB");
}
