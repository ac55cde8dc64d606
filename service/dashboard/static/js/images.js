// @ts-check
/** Adding images, and the sources of those that are stored. */
import { get, withQuery } from "./api.js";
import { element, input, part } from "./dom.js";
import { chosenFiles, droppedFiles } from "./dropped.js";
import { count, plural, size } from "./format.js";
import { isOpen as isJobOpen, progressText, watchJob, when } from "./job_words.js";
import { showFailure, showState } from "./states.js";
import { isLabelled, labelledProblem, queued, sendAll } from "./upload_queue.js";

/** @typedef {import("./upload_queue.js").QueuedFile} QueuedFile */

const SHOWN_FILES = 200;
const MAX_SOURCES = 1000;
/** @type {Record<string, string>} */
const SPLITS = { pool: "the pool", "negative-test": "the sealed images", train: "train", val: "val" };
/** @type {Record<QueuedFile["state"], {name: string, badge: string}>} */
const STATES = {
  waiting: { name: "Waiting", badge: "" },
  sending: { name: "Sending", badge: "accent" },
  queued: { name: "Unpacking", badge: "accent" },
  stored: { name: "Stored", badge: "good" },
  known: { name: "Known already", badge: "" },
  refused: { name: "Refused", badge: "bad" },
  skipped: { name: "Left out", badge: "warn" },
};

class Uploads {
  constructor() {
    this.form = /** @type {HTMLFormElement} */ (part("upload-form"));
    /** @type {QueuedFile[]} */
    this.items = [];
    this.isSending = false;
    this.isDrawing = false;
    this.listen();
    this.onSplit();
  }

  get split() {
    return String(new FormData(this.form).get("split"));
  }

  listen() {
    for (const kind of ["file", "folder"]) {
      const chooser = /** @type {HTMLInputElement} */ (part(`${kind}-input`));
      part(kind === "file" ? "choose-files" : "choose-folder").addEventListener("click", () => chooser.click());
      chooser.addEventListener("change", () => {
        this.add(chosenFiles(chooser.files));
        chooser.value = "";
      });
    }
    part("clear").addEventListener("click", () => {
      this.items = [];
      this.draw();
    });
    this.form.addEventListener("change", () => this.onSplit());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    this.listenToDrops();
    window.addEventListener("beforeunload", (event) => {
      if (this.isSending) event.preventDefault();
    });
  }

  listenToDrops() {
    const cover = part("drop-cover");
    let depth = 0;
    const show = (/** @type {number} */ change) => {
      depth = Math.max(0, depth + change);
      cover.hidden = depth === 0;
    };
    window.addEventListener("dragenter", () => show(1));
    window.addEventListener("dragleave", () => show(-1));
    window.addEventListener("dragover", (event) => event.preventDefault());
    window.addEventListener("drop", async (event) => {
      event.preventDefault();
      show(-depth);
      if (event.dataTransfer) this.add(await droppedFiles(event.dataTransfer));
    });
  }

  onSplit() {
    const labelled = isLabelled(this.split);
    part("drop-title").textContent = labelled
      ? "Drop a zip, or images with their COCO JSON"
      : "Drop images, folders or zips here";
    part("drop-note").textContent = labelled
      ? "An image without boxes in the JSON counts as one without objects."
      : this.split === "pool"
        ? "An image with an object would teach the detector to miss it; hardneg tests for that before it trains."
        : "Never trained on: they tell whether a version is better. The split of an image never changes.";
    this.draw();
  }

  /** @param {{file: File, path: string}[]} found */
  add(found) {
    const isOpen = (/** @type {QueuedFile} */ { state }) => state === "waiting" || state === "sending";
    const added = new Set(found.map(({ path }) => path));
    this.items = this.items.filter((item) => isOpen(item) || !added.has(item.path));
    const open = new Set(this.items.map((item) => item.path));
    this.items.push(...found.filter(({ path }) => !open.has(path)).map(queued));
    this.draw();
  }

  async send() {
    const problem = this.problem();
    if (this.isSending || problem) return;
    this.isSending = true;
    const destination = { split: this.split, source: input(this.form, "source").value };
    try {
      await sendAll(this.items, destination, () => this.draw());
    } catch {
      // those that were not sent wait, and the page says why
    } finally {
      this.isSending = false;
      this.draw();
    }
    await Promise.all(this.items.filter((item) => item.state === "queued").map((item) => this.unpack(item)));
    await showSources();
  }

  /** Follow the job that unpacks an archive. @param {QueuedFile} item */
  async unpack(item) {
    const job = await watchJob(item.job, (shown) => {
      item.job = shown;
      this.draw();
    });
    item.state = job.status === "done" ? "stored" : "refused";
    const { result } = job;
    const refused = result?.num_refused ? `, ${count(result.num_refused)} refused (${result.refused[0].file_name}: ${result.refused[0].reason})` : "";
    item.reason = result ? `${plural(result.stored, "image")} new, ${count(result.known)} known${refused}` : (job.failure ?? job.status);
    this.draw();
  }

  problem() {
    const waiting = this.items.filter((item) => item.state === "waiting");
    return waiting.length > 0 && isLabelled(this.split) ? labelledProblem(waiting) : "";
  }

  /** Draw at the next frame, however often it is called. */
  draw() {
    if (this.isDrawing) return;
    this.isDrawing = true;
    requestAnimationFrame(() => {
      this.isDrawing = false;
      this.drawNow();
    });
  }

  drawNow() {
    const waiting = this.items.filter((item) => item.state === "waiting");
    const button = /** @type {HTMLButtonElement} */ (part("upload"));
    const problem = this.problem();
    button.disabled = this.isSending || waiting.length === 0 || problem !== "";
    button.textContent =
      waiting.length > 0 ? `Upload ${plural(waiting.length, "file")} to ${SPLITS[this.split]}` : "Upload";
    part("clear").hidden = this.isSending || this.items.length === 0;
    part("files-card").hidden = this.items.length === 0;
    part("upload-problem").hidden = problem === "";
    part("upload-problem").textContent = problem;
    this.drawProgress();
    this.drawFiles();
  }

  drawProgress() {
    const all = this.items.reduce((sum, item) => sum + item.file.size, 0);
    const sent = this.items.reduce((sum, item) => sum + item.file.size * (item.state === "waiting" ? 0 : item.state === "sending" ? item.share : 1), 0);
    /** @type {HTMLProgressElement} */ (part("upload-bar")).value = all > 0 ? sent / all : 0;
    part("upload-status").textContent = Object.entries(STATES)
      .map(([state, { name }]) => [this.items.filter((item) => item.state === state).length, name.toLowerCase()])
      .filter(([number]) => Number(number) > 0)
      .map(([number, name]) => `${count(Number(number))} ${name}`)
      .join(", ");
  }

  drawFiles() {
    const order = ["refused", "skipped", "sending", "queued", "waiting", "stored", "known"];
    const sorted = [...this.items].sort((first, second) => order.indexOf(first.state) - order.indexOf(second.state));
    part("files").replaceChildren(...sorted.slice(0, SHOWN_FILES).map(fileRow));
    part("files-note").hidden = sorted.length <= SHOWN_FILES;
    part("files-note").textContent = `and ${count(sorted.length - SHOWN_FILES)} more`;
  }
}

/** @param {QueuedFile} item */
function fileRow(item) {
  const { name, badge } = STATES[item.state];
  const bar =
    item.state === "sending"
      ? element("progress", { max: 1, value: item.share, "aria-label": `Sent of ${item.path}` })
      : item.job && isJobOpen(item.job)
        ? element("a", { href: withQuery("/dashboard/jobs", { job: item.job.id }), class: "small", text: progressText(item.job) })
        : element("span", { class: "muted small", text: item.reason });
  return element(
    "tr",
    {},
    element("td", { class: "cell-name", text: item.path }),
    element("td", { class: "num muted", text: size(item.file.size) }),
    element("td", { class: "cell-bar" }, element("span", { class: "row" }, element("span", { class: `badge dot ${badge}`, text: name }), bar)),
  );
}

async function showSources() {
  let page;
  try {
    page = await get(withQuery("/sources", { limit: MAX_SOURCES }));
  } catch (error) {
    showFailure(error, showSources);
    return;
  }
  const total = page.items.reduce((/** @type {number} */ sum, /** @type {any} */ item) => sum + item.num_images, 0);
  part("totals").textContent = total > 0 ? plural(total, "image") : "";
  part("sources").replaceChildren(...page.items.map(sourceRow));
  const names = page.items.map((/** @type {any} */ item) => item.source).filter(Boolean);
  part("source-names").replaceChildren(...names.map((/** @type {string} */ value) => element("option", { value })));
  part("sources-note").hidden = page.next_after === null;
  part("sources-note").textContent = `The first ${count(MAX_SOURCES)} sources are shown.`;
  showState(page.items.length > 0 ? "list" : "empty");
}

/** @param {any} item */
function sourceRow(item) {
  const { pool, negative_test: sealed, train, val } = item.splits;
  const name = item.source || "No source";
  const href = withQuery("/dashboard/hard-negatives", { source: item.source });
  const cell = (/** @type {number} */ value) => element("td", { class: "num", text: value ? count(value) : "–" });
  return element(
    "tr",
    {},
    element("td", {}, pool > 0 && item.source ? element("a", { href, text: name }) : name),
    ...[pool, sealed, train, val, item.num_judged].map(cell),
    element("td", { class: "num muted", text: when(item.newest_at) }),
  );
}

new Uploads();
showSources();
