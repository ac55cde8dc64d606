// @ts-check
/** The overview: curves over versions, live progress, and the steps of a first run. */
import { get, send } from "./api.js";
import { drawCurves } from "./chart.js";
import { input, part } from "./dom.js";
import { count, plural, ratio } from "./format.js";
import { queued, sendAll } from "./upload_queue.js";

const THRESHOLD = 0.5;
const WATCH_MS = 3000;

const page = part("overview");
let isUploading = false;

async function drawVersions() {
  const falseDetections = page.querySelector('[data-chart="false-detections"]');
  const ap = page.querySelector('[data-chart="ap"]');
  if (!(falseDetections instanceof HTMLElement) || !(ap instanceof HTMLElement)) return;
  const { items } = await get("/stats/iterations?limit=1000");
  const measured = items.filter((/** @type {any} */ item) => item.figures);
  const names = measured.map((/** @type {any} */ item) => item.model_version);
  const found = measured.map(
    (/** @type {any} */ item) =>
      item.figures.false_detections.find((/** @type {any} */ at) => at.threshold === THRESHOLD)
        ?.false_detections,
  );
  const precision = measured.map((/** @type {any} */ item) => item.figures.ap50_95);
  drawCurves(falseDetections, {
    names,
    curves: [curve("False detections", "accent", found)],
    format: (value) => count(Math.round(value)),
  });
  drawCurves(ap, { names, curves: [curve("AP", "accent", precision)], format: ratio });
}

/**
 * @param {string} label
 * @param {"accent"} color
 * @param {({value: number | null, low: number | null, high: number | null} | null | undefined)[]} intervals
 */
function curve(label, color, intervals) {
  const bound = (/** @type {"value" | "low" | "high"} */ name) =>
    intervals.map((interval) => interval?.[name] ?? null);
  return { label, color, values: bound("value"), low: bound("low"), high: bound("high") };
}

/** Load the page anew when something that it shows has ended or begun. */
async function watch() {
  if (document.hidden) return;
  const running = await get("/jobs?limit=20", { quiet: true }).catch(() => null);
  if (!running) return;
  const open = running.items.filter((/** @type {any} */ job) => ["todo", "running"].includes(job.status));
  for (const job of open) showJob(job);
  if (String(open.length) !== page.dataset.numJobs) location.reload();
  if (page.dataset.isScoring === "true") await showScoring();
}

/** @param {any} job */
function showJob(job) {
  const row = page.querySelector(`[data-job="${job.id}"]`);
  const bar = row?.querySelector("progress");
  const badge = row?.querySelector(".badge");
  if (bar && job.progress.total) {
    bar.max = job.progress.total;
    bar.value = job.progress.done;
  }
  if (badge) badge.textContent = job.status === "todo" ? "waiting" : job.progress.stage || "running";
}

async function showScoring() {
  const { pool } = await get("/hard-negatives?n=1", { quiet: true }).catch(() => ({ pool: null }));
  if (!pool) return;
  if (pool.scored >= pool.images) location.reload();
  part("scoring-count").textContent = `${count(pool.scored)} of ${count(pool.images)}`;
  /** @type {HTMLProgressElement} */ (part("scoring-bar")).value = (100 * pool.scored) / pool.images;
}

function prepareFirstRun() {
  const detector = page.querySelector("[data-detector-form]");
  if (detector instanceof HTMLFormElement) onSubmit(detector, addDetector);
  const images = page.querySelector("[data-images-form]");
  if (images instanceof HTMLFormElement) onSubmit(images, uploadImages);
  setInterval(page.dataset.serving ? openFirstList : waitForDetector, WATCH_MS);
}

/** @param {HTMLFormElement} form @param {(form: HTMLFormElement) => Promise<void>} act */
function onSubmit(form, act) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    if (button) button.disabled = true;
    try {
      await act(form);
    } catch {
      // the reason is on the page as a toast, or as the offline line
    } finally {
      if (button) button.disabled = false;
    }
  });
}

/** @param {HTMLFormElement} form */
async function addDetector(form) {
  const status = part("detector-status");
  status.textContent = "Reading the file, and trying the detector on a few images…";
  const body = new FormData();
  body.append("checkpoint", input(form, "checkpoint").files?.[0] ?? "");
  if (input(form, "name").value) body.append("name", input(form, "name").value);
  try {
    const version = await send("POST", "/model-versions", body);
    status.textContent = `Loading ${version.name}…`;
    await send("POST", `/model-versions/${version.id}/activate`);
  } catch (error) {
    status.textContent = "";
    throw error;
  }
  location.reload();
}

/** @param {HTMLFormElement} form */
async function uploadImages(form) {
  const items = [...(input(form, "files").files ?? [])].map((file) => queued({ file, path: file.name }));
  const bar = /** @type {HTMLProgressElement} */ (part("upload-bar"));
  const status = part("upload-status");
  bar.hidden = false;
  bar.max = items.length;
  const showProgress = () => {
    const done = items.filter(({ state }) => state === "stored" || state === "known").length;
    bar.value = items.reduce((sum, { share, state }) => sum + (state === "refused" ? 1 : share), 0);
    status.textContent = `${count(done)} of ${plural(items.length, "image")} stored`;
  };
  isUploading = true;
  try {
    await sendAll(items, { split: "pool", source: input(form, "source").value }, showProgress);
  } finally {
    isUploading = false;
  }
  const [refused, ...others] = items.filter(({ state }) => state === "refused" || state === "skipped");
  if (refused) {
    const more = others.length > 0 ? ` (and ${others.length} more)` : "";
    status.textContent += `; refused: ${refused.file.name}: ${refused.reason}${more}`;
  }
  await openFirstList();
}

/** Load the page anew when a detector serves that was added elsewhere. */
async function waitForDetector() {
  const versions = await get("/model-versions", { quiet: true }).catch(() => []);
  if (versions.some((/** @type {any} */ version) => version.is_serving)) location.reload();
}

async function openFirstList() {
  if (!page.dataset.serving || isUploading) return; // to leave the page would end the upload
  const list = await get("/hard-negatives?n=1", { quiet: true }).catch(() => null);
  if (!list) return;
  const { images, scored } = list.pool;
  if (images > 0) part("list-status").textContent = `${count(scored)} of ${plural(images, "image")} scored…`;
  if (list.items.length > 0 && scored >= images) location.assign("/dashboard/hard-negatives");
}

if (page.dataset.isNew === "true") prepareFirstRun();
else {
  drawVersions();
  setInterval(watch, WATCH_MS);
}
