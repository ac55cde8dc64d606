// @ts-check
/** Images held back as likely true objects, beside the labelled boxes that they look like. */
import { get, send, withQuery } from "./api.js";
import { cropOf } from "./crops.js";
import { element, part } from "./dom.js";
import { count, plural, ratio, score } from "./format.js";
import { ImageDialog } from "./image_dialog.js";
import { progressText, watchJob } from "./job_words.js";
import { Reviewer, verdictButtons } from "./reviewer.js";
import { addShortcuts } from "./shortcuts.js";
import { Stage, StageView } from "./stage.js";
import { showFailure, showState } from "./states.js";
import { Strip } from "./strip.js";
import { toast } from "./toast.js";

/** @typedef {import("./verdicts.js").Verdict} Verdict */

const PAGE_SIZE = 200;
const LOAD_AHEAD = 50; // images before the last one that is loaded
const NUM_NEAREST = 3;
const NAMES = { "contains-object": "It is an object", negative: "No object", unsure: "Unsure" };
/** @type {Record<string, {noun: string, empty: string}>} */
const SPLITS = {
  pool: {
    noun: "image",
    empty: "No image of the pool that was tested looks as if it held an object.",
  },
  "negative-test": {
    noun: "sealed image",
    empty: "No sealed image that was tested looks as if it held an object.",
  },
};

class Held {
  constructor() {
    /** @type {any[]} */
    this.items = [];
    this.current = 0;
    this.numMore = 0;
    this.isComplete = false;
    this.isLoading = false;
    this.split = new URLSearchParams(location.search).get("split") === "negative-test" ? "negative-test" : "pool";
    this.stage = new Stage(part("stage"));
    this.view = new StageView([this.stage]);
    this.strip = new Strip(part("strip"), (index) => this.show(index));
    this.reviewer = new Reviewer("held", (id, verdict) => this.onVerdict(id, verdict));
    this.dialog = new ImageDialog((image) => this.onVerdict(image.id, image.verdict));
    this.listen();
  }

  listen() {
    part("verdicts").replaceChildren(...verdictButtons((verdict) => this.judge(verdict), NAMES));
    part("undo").addEventListener("click", () => this.undo());
    part("open").addEventListener("click", () => this.openBoxes());
    for (const button of document.querySelectorAll("[data-split]")) {
      if (button instanceof HTMLElement) button.addEventListener("click", () => this.showSplit(button.dataset.split ?? "pool"));
    }
    addShortcuts(
      { key: "o", does: "It is an object: keep the image out of training", run: () => this.judge("contains-object") },
      { key: "n", does: "No object: release the image", run: () => this.judge("negative") },
      { key: "u", does: "Unsure: it stays held", run: () => this.judge("unsure") },
      { key: "z", does: "Undo", run: () => this.undo() },
      { key: "b", does: "Judge the boxes one by one", run: () => this.openBoxes() },
      { key: "ArrowRight", does: "Next image", run: () => this.show(this.current + 1) },
      { key: "ArrowLeft", does: "Previous image", run: () => this.show(this.current - 1) },
      { key: "+", does: "Zoom in", run: () => this.view.onKey("+") },
      { key: "-", does: "Zoom out", run: () => this.view.onKey("-") },
      { key: "0", does: "Show the whole image", run: () => this.view.reset() },
    );
  }

  /** @param {string} split */
  showSplit(split) {
    this.split = split;
    history.replaceState(null, "", withQuery(location.pathname, { split: split === "pool" ? "" : split }));
    this.start();
  }

  async start() {
    for (const button of document.querySelectorAll("[data-split]")) {
      if (button instanceof HTMLElement) button.setAttribute("aria-pressed", String(button.dataset.split === this.split));
    }
    showState("loading");
    const { split } = this;
    this.items = [];
    this.strip.draw([]);
    try {
      await this.load();
    } catch (error) {
      part("summary").textContent = "";
      showFailure(error, () => this.start());
      return;
    }
    if (split !== this.split) return;
    part("empty-text").textContent = SPLITS[split]?.empty ?? "";
    showState(this.items.length > 0 ? "list" : "empty");
    this.showSummary();
    this.show(0);
  }

  /** Load the next images. Those that are judged by now are in the service's list no more. */
  async load() {
    const { split } = this;
    const known = new Set(this.items.map((item) => item.image.id));
    const offset = this.items.filter((item) => isHeld(item.image.verdict)).length;
    const query = { split, num_nearest: NUM_NEAREST, offset, limit: PAGE_SIZE };
    const page = await get(withQuery("/hold-test/held", query));
    if (split !== this.split) return;
    const found = page.items.filter((/** @type {any} */ item) => !known.has(item.image.id));
    this.items.push(...found);
    this.isComplete = page.next_offset === null;
    this.numMore = this.isComplete ? 0 : page.num_held - offset - page.items.length;
    this.strip.add(found.map((/** @type {any} */ item) => item.image));
  }

  /** Load the next images before the person is through with those that are there. */
  async loadAhead() {
    if (this.isComplete || this.isLoading || this.current < this.items.length - LOAD_AHEAD) return;
    this.isLoading = true;
    try {
      await this.load();
      this.showSummary();
    } catch {
      // a message or the offline line says why; the next step tries again
    } finally {
      this.isLoading = false;
    }
  }

  showSummary() {
    const left = this.items.filter((item) => isHeld(item.image.verdict)).length + this.numMore;
    const noun = plural(left, SPLITS[this.split]?.noun ?? "image");
    part("summary").textContent = this.items.length > 0 ? `${noun} may hold an object` : "";
    part(this.split === "pool" ? "count-pool" : "count-sealed").textContent = count(left);
  }

  /** @param {number} index */
  show(index) {
    const item = this.items[index];
    if (!item) return;
    this.current = index;
    this.strip.choose(index);
    const { image, detection, decision, nearest } = item;
    this.stage.show(image, detection ? [detection] : [], 0);
    this.stage.title.textContent = `${count(index + 1)} of ${count(this.items.length + this.numMore)}`;
    this.view.reset();
    const crops = nearest.map((/** @type {any} */ found) => figureOf(found.image, found.box, found.label, ratio(found.similarity), true));
    if (detection) crops.unshift(figureOf(image, detection.box, "This one", score(detection.score), false));
    part("crops").replaceChildren(...crops);
    part("facts").replaceChildren(
      ...rows([
        ["File", image.file_name],
        ["Source", image.source || "–"],
        ["Detected as", detection ? detection.label : "–"],
        ["Like an object by", decision.toFixed(1)],
      ]),
    );
    this.showVerdict();
    preload(this.items[index + 1]);
    this.loadAhead();
  }

  showVerdict() {
    const verdict = this.items[this.current]?.image.verdict ?? "";
    for (const button of part("verdicts").children) {
      if (button instanceof HTMLElement) button.setAttribute("aria-pressed", String(button.dataset.verdict === verdict));
    }
  }

  /** @param {Verdict} verdict */
  judge(verdict) {
    const item = this.items[this.current];
    if (!item) return;
    this.reviewer.judge([item.image], verdict);
    this.advance();
  }

  /** Go to the next image without a verdict; after the last one, say so. */
  advance() {
    const isOpen = (/** @type {any} */ item) => item.image.verdict === null;
    const next = this.items.findIndex((item, index) => index > this.current && isOpen(item));
    const index = next >= 0 ? next : this.items.findIndex(isOpen);
    if (index >= 0) this.show(index);
    else toast("All of these images are judged", { text: "Your verdicts join the next test." });
  }

  undo() {
    const [first] = this.reviewer.undo();
    const index = this.items.findIndex((item) => item.image.id === first);
    if (index >= 0) this.show(index);
  }

  /** @param {number} id @param {Verdict} verdict */
  onVerdict(id, verdict) {
    const index = this.items.findIndex((item) => item.image.id === id);
    if (index < 0) return;
    this.items[index].image.verdict = verdict;
    this.strip.mark(index, verdict);
    if (index === this.current) this.showVerdict();
    this.showSummary();
  }

  openBoxes() {
    const item = this.items[this.current];
    if (item) this.dialog.open(item.image.id);
  }
}

/** @param {any} image @param {any} box @param {string} name @param {string} note @param {boolean} isObject */
function figureOf(image, box, name, note, isObject) {
  return element(
    "figure",
    { class: "tile" },
    cropOf(image, box, { alt: `${name} on ${image.file_name}`, isObject, sharp: true }),
    element("figcaption", {}, element("span", { class: "truncate", text: name }), element("span", { text: note })),
  );
}

/** @param {[string, string][]} facts */
function rows(facts) {
  return facts.flatMap(([name, value]) => [element("dt", { text: name }), element("dd", { class: "truncate", text: value })]);
}

/** @param {any} item */
function preload(item) {
  if (item) new Image().src = `${item.image.links.thumbnail}?max_side=1024`;
}

/** @param {Verdict} verdict */
function isHeld(verdict) {
  return verdict === null || verdict === "unsure";
}

/** Start a test, and load the page again when it is over. */
async function test() {
  const button = /** @type {HTMLButtonElement} */ (part("test"));
  const status = part("test-status");
  button.disabled = true;
  try {
    const job = await send("POST", "/hold-test");
    const ended = await watchJob(job, (shown) => (status.textContent = progressText(shown)));
    if (ended.status === "done") location.reload();
    else status.textContent = ended.failure ?? `The test was ${ended.status}.`;
  } catch {
    status.textContent = ""; // a message on the page says why
  } finally {
    button.disabled = false;
  }
}

part("test").addEventListener("click", test);
if (document.querySelector("[data-list]")) new Held().start();
