// @ts-check
/** The jobs and their logs; the log of a running job is streamed. */
import { get, withQuery } from "./api.js";
import { cancelJob } from "./cancel_job.js";
import { element, part } from "./dom.js";
import { count, plural } from "./format.js";
import { STATES, isOpen, kindName, progressText, remaining, took, when } from "./job_words.js";
import { addShortcuts } from "./shortcuts.js";
import { showFailure, showState } from "./states.js";

const PAGE_SIZE = 50;
const WATCH_MS = 3000;
const HIDDEN = ["upload_key", "seed"];

class Jobs {
  constructor() {
    /** @type {any[]} */
    this.items = [];
    /** @type {number | null} */
    this.next = null;
    this.status = new URLSearchParams(location.search).get("status") ?? "";
    this.chosen = Number(new URLSearchParams(location.search).get("job")) || 0;
    /** @type {EventSource | null} */
    this.stream = null;
    this.listen();
  }

  listen() {
    part("status-filter").addEventListener("click", (event) => {
      const button = /** @type {HTMLElement} */ (event.target).closest("button");
      if (button) this.filter(button.value);
    });
    part("more").addEventListener("click", () => this.loadMore());
    part("cancel").addEventListener("click", () => this.cancel());
    part("rows").addEventListener("click", (event) => {
      const row = /** @type {HTMLElement} */ (event.target).closest("tr");
      if (row) this.choose(Number(row.dataset.job));
    });
    addShortcuts(
      { key: "ArrowDown", does: "Next job", run: () => this.step(1) },
      { key: "ArrowUp", does: "Job before", run: () => this.step(-1) },
    );
    setInterval(() => this.refresh(), WATCH_MS);
  }

  async start() {
    for (const button of part("status-filter").querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.value === this.status));
    }
    try {
      await this.load();
    } catch (error) {
      showFailure(error, () => this.start());
      return;
    }
    this.draw();
    const first = this.items.find((job) => job.id === this.chosen) ?? this.items[0];
    if (first || this.chosen) this.choose(this.chosen || first.id);
  }

  async load() {
    const page = await get(withQuery("/jobs", { status: this.status, limit: PAGE_SIZE }));
    this.items = page.items;
    this.next = page.next_before_id;
  }

  async loadMore() {
    const query = { status: this.status, limit: PAGE_SIZE, before_id: this.next };
    const page = await get(withQuery("/jobs", query)).catch(() => null);
    if (!page) return;
    this.items.push(...page.items);
    this.next = page.next_before_id;
    this.draw();
  }

  /** Take the newest states, and keep the older jobs that were loaded. */
  async refresh() {
    if (document.hidden || part("list").hidden) return;
    const page = await get(withQuery("/jobs", { status: this.status, limit: PAGE_SIZE }), { quiet: true }).catch(() => null);
    if (!page) return;
    const oldest = page.items.at(-1)?.id ?? Infinity;
    this.items = [...page.items, ...this.items.filter((job) => job.id < oldest && page.next_before_id)];
    this.draw();
  }

  draw() {
    part("empty-title").textContent = this.status ? `No job is ${STATES[this.status]?.name.toLowerCase()}` : "No job has run yet";
    showState(this.items.length > 0 ? "list" : "empty");
    part("more").hidden = this.next === null;
    const focused = document.activeElement?.closest("tr")?.dataset.job;
    part("rows").replaceChildren(...this.items.map((job) => this.row(job)));
    if (focused) this.button(Number(focused))?.focus();
  }

  /** @param {any} job */
  row(job) {
    const state = STATES[job.status];
    const { done, total } = job.progress;
    const bar =
      job.status === "running" && total
        ? element("progress", { max: total, value: done, "aria-label": `Progress of job ${job.id}` })
        : element("span", { class: "muted small", text: job.status === "failed" ? job.failure : summary(job) });
    return element(
      "tr",
      { "data-job": job.id, "aria-selected": String(job.id === this.chosen) },
      element("td", {}, element("button", { class: "link", type: "button", text: `${kindName(job)} ${job.id}` })),
      element("td", {}, element("span", { class: `badge dot ${state?.badge}`, text: state?.name })),
      element("td", { class: "cell-bar" }, bar),
      element("td", { class: "num", text: took(job) }),
      element("td", { class: "num muted", text: when(job.created_at) }),
    );
  }

  /** @param {number} id */
  button(id) {
    const found = part("rows").querySelector(`[data-job="${id}"] button`);
    return found instanceof HTMLElement ? found : null;
  }

  /** @param {string} status */
  filter(status) {
    this.status = status;
    this.chosen = 0;
    history.replaceState(null, "", withQuery(location.pathname, { status }));
    this.start();
  }

  /** @param {number} step */
  step(step) {
    const at = this.items.findIndex((job) => job.id === this.chosen);
    const next = this.items[at + step];
    if (next) this.choose(next.id).then(() => this.button(next.id)?.focus());
  }

  /** Show a job beside the list, and follow it while it is open. @param {number} id */
  async choose(id) {
    this.chosen = id;
    history.replaceState(null, "", withQuery(location.pathname, { status: this.status, job: id }));
    for (const row of part("rows").querySelectorAll("tr")) {
      row.setAttribute("aria-selected", String(row.dataset.job === String(id)));
    }
    this.stream?.close();
    const job = await get(`/jobs/${id}`).catch(() => null);
    if (!job || this.chosen !== id) return;
    part("log").replaceChildren(...job.events.map(logLine));
    this.show(job);
    scrollToEnd();
    if (isOpen(job)) this.follow(job);
  }

  /** @param {any} job */
  follow(job) {
    const last = job.events.at(-1)?.id ?? 0;
    const stream = new EventSource(job.links.events);
    this.stream = stream;
    const onLine = (/** @type {MessageEvent} */ event) => {
      const line = JSON.parse(event.data);
      if (line.id <= last) return; // the job came with these
      part("log").append(logLine(line));
      scrollToEnd();
    };
    stream.addEventListener("state", onLine);
    stream.addEventListener("log", onLine);
    stream.addEventListener("progress", (event) => this.show(JSON.parse(event.data)));
    stream.addEventListener("end", () => {
      stream.close();
      this.refresh();
    });
  }

  /** @param {any} job */
  show(job) {
    this.job = job;
    part("title").textContent = `${kindName(job)} ${job.id}`;
    const button = /** @type {HTMLButtonElement} */ (part("cancel"));
    button.hidden = !isOpen(job);
    button.disabled = job.cancel_requested;
    button.textContent = job.cancel_requested ? "Stopping…" : "Cancel this job";
    part("failure").hidden = !job.failure;
    part("failure").textContent = job.failure ?? "";
    part("progress").hidden = !isOpen(job);
    part("stage").textContent = progressText(job);
    part("eta").textContent = remaining(job);
    const bar = /** @type {HTMLProgressElement} */ (part("bar"));
    if (job.progress.total) {
      bar.max = job.progress.total;
      bar.value = job.progress.done;
    } else bar.removeAttribute("value");
    part("facts").replaceChildren(...rowsOf(timesOf(job)));
    showValues("request", job.params);
    showValues("result", job.result ?? {});
    showRefused(job.result);
  }

  async cancel() {
    const job = await cancelJob(this.chosen).catch(() => null);
    if (!job) return;
    await this.refresh();
    this.choose(this.chosen);
  }
}

/** @param {any} job */
function summary(job) {
  const { result } = job;
  if (job.status === "todo") return "Waits for a worker";
  if (job.kind === "import" && result) {
    return `${plural(result.stored, "image")} new, ${count(result.known)} known, ${count(result.num_refused)} refused`;
  }
  if (job.kind === "hold-test" && result) return `${count(result.num_held)} of ${count(result.num_tested)} held`;
  if (job.kind === "group" && result) return `${plural(result.num_families, "family", "families")} of ${count(result.num_grouped)} images`;
  const round = Array.isArray(result?.rounds) ? result.rounds.at(-1) : null;
  if (round) return `${round.decision.replace(/^./, (/** @type {string} */ letter) => letter.toUpperCase())}: ${round.reason}`;
  return job.status === "running" ? job.progress.stage : "";
}

/** @param {any} job @returns {[string, string][]} */
function timesOf(job) {
  /** @type {[string, string][]} */
  const times = [["Queued", new Date(job.created_at).toLocaleString("en-GB")]];
  if (job.started_at) times.push(["Took", took(job)]);
  if (job.num_failures > 0) times.push(["Failed attempts", `${job.num_failures} of ${job.max_failures}`]);
  return times;
}

/** @param {"request" | "result"} name @param {Record<string, unknown>} values */
function showValues(name, values) {
  const rows = entriesOf(values);
  part(name).hidden = rows.length === 0;
  part(`${name}-facts`).replaceChildren(...rowsOf(rows));
}

/** @param {[string, string][]} facts */
function rowsOf(facts) {
  return facts.flatMap(([name, value]) => [element("dt", { text: name }), element("dd", { text: value })]);
}

/** Return the plain values of parameters or of a result, with their names in words. @param {Record<string, unknown>} values @returns {[string, string][]} */
function entriesOf(values) {
  return Object.entries(values)
    .filter(([name, value]) => ["string", "number", "boolean"].includes(typeof value) && value !== "" && !HIDDEN.includes(name))
    .map(([name, value]) => [inWords(name), typeof value === "number" ? count(value) : String(value)]);
}

/** @param {string} name */
function inWords(name) {
  if (name.startsWith("num_")) return inWords(name.slice(4));
  return name.replace(/_/g, " ").replace(/^./, (letter) => letter.toUpperCase());
}

/** @param {any} result */
function showRefused(result) {
  const refused = Array.isArray(result?.refused) ? result.refused : [];
  part("refused").hidden = refused.length === 0;
  part("refused-title").textContent = `${plural(refused.length, "file")} refused`;
  part("refused-list").replaceChildren(
    ...refused.map((/** @type {any} */ file) => element("li", { text: `${file.file_name}: ${file.reason}` })),
  );
}

/** @param {any} line */
function logLine(line) {
  const time = new Date(line.created_at).toLocaleTimeString("en-GB");
  return element("span", { class: "log-line" }, element("time", { class: "muted", text: time }), ` ${line.message}\n`);
}

function scrollToEnd() {
  const log = part("log");
  log.scrollTop = log.scrollHeight;
}

new Jobs().start();
