// @ts-check
/** Families of look-alikes: one verdict for all that a family covers. */
import { get, send, withQuery } from "./api.js";
import { shotOf } from "./boxes.js";
import { cropOf } from "./crops.js";
import { element, part } from "./dom.js";
import { FamilySheet } from "./family_sheet.js";
import { count, plural, score } from "./format.js";
import { ImageDialog } from "./image_dialog.js";
import { progressText, watchJob } from "./job_words.js";
import { Reviewer } from "./reviewer.js";
import { addShortcuts } from "./shortcuts.js";
import { showFailure, showState } from "./states.js";
import { toast } from "./toast.js";
import { VERDICTS, verdictName } from "./verdicts.js";

/** @typedef {import("./verdicts.js").Verdict} Verdict */

const SHOWN_MEMBERS = 8;
const PAGE_SIZE = 100;
const LOAD_AHEAD = 10; // families before the last one that is loaded

class Families {
  constructor() {
    /** @type {any[]} */
    this.items = [];
    this.current = 0;
    /** Where the next page begins; null after the last one. @type {number | null} */
    this.next = null;
    this.isLoading = false;
    this.size = /** @type {HTMLSelectElement} */ (part("min-size"));
    this.reviewer = new Reviewer("families", (id, verdict) => this.onVerdict(id, verdict));
    this.dialog = new ImageDialog((image) => this.onVerdict(image.id, image.verdict));
    this.sheet = new FamilySheet({
      onVerdict: (images, verdict) => this.judge(images, verdict),
      onMove: (step) => this.openSheet(this.current + step),
      onOpen: (image) => this.dialog.open(image.id),
      onUndo: () => this.undo(),
    });
    this.listen();
  }

  listen() {
    part("undo").addEventListener("click", () => this.undo());
    this.size.addEventListener("change", () => this.start());
    part("show-all").addEventListener("click", () => {
      this.size.value = "1";
      this.start();
    });
    part("list").addEventListener("click", (event) => {
      const row = /** @type {HTMLElement} */ (event.target).closest("[data-index]");
      if (row instanceof HTMLElement) this.openSheet(Number(row.dataset.index));
    });
    new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) this.loadMore();
    }).observe(part("list-end"));
    for (const [verdict, { name, key }] of Object.entries(VERDICTS)) {
      const run = () => this.judgeCurrent(/** @type {Verdict} */ (verdict));
      addShortcuts({ key, does: `${name}: all images of the family`, run });
    }
    addShortcuts(
      { key: "ArrowDown", does: "Next family", run: () => this.choose(this.current + 1) },
      { key: "ArrowUp", does: "Previous family", run: () => this.choose(this.current - 1) },
      { key: "Enter", does: "Show all images of the family", run: () => this.openSheet(this.current) },
      { key: "z", does: "Undo", run: () => this.undo() },
    );
  }

  async start() {
    showState("loading");
    this.items = [];
    this.next = null;
    part("list").replaceChildren();
    try {
      await this.load(0);
    } catch (error) {
      part("summary").textContent = "";
      showFailure(error, () => this.start());
      return;
    }
    showState(this.items.length > 0 ? "list" : "empty");
    this.choose(0, false);
  }

  /** Load the families with numbers above one. @param {number} after */
  async load(after) {
    const size = this.size.value;
    const query = { min_size: size, num_members: SHOWN_MEMBERS, after_number: after, limit: PAGE_SIZE };
    const report = await get(withQuery("/families", query));
    if (size !== this.size.value) return; // others are asked for by now
    const start = this.items.length;
    this.report = report;
    this.next = report.next_after_number;
    this.items.push(...report.items.map((/** @type {any} */ family) => ({ ...family, isComplete: family.members.length >= family.size })));
    part("list").append(...this.items.slice(start).map((family, index) => this.row(family, start + index)));
    this.showSummary();
  }

  async loadMore() {
    if (this.next === null || this.isLoading) return;
    this.isLoading = true;
    try {
      await this.load(this.next);
    } catch {
      // a message or the offline line says why; the next step tries again
    } finally {
      this.isLoading = false;
    }
  }

  showSummary() {
    const { num_images: images, num_families: families, model_version: version } = this.report;
    const judged = this.items.reduce((sum, family) => sum + family.size - family.verdicts.none, 0);
    part("summary").textContent =
      `The ${count(images)} hardest images of ${version} show ${plural(families, "kind")} of things; ${count(judged)} judged`;
  }

  /** @param {any} family @param {number} index */
  row(family, index) {
    const crops = family.members.map((/** @type {any} */ { image, detection, max_score: maxScore }) => {
      const alt = `${image.file_name}, score ${score(maxScore)}`;
      return detection ? cropOf(image, detection.box, { alt }) : shotOf(image, [], { alt });
    });
    const row = element(
      "section",
      { class: "family", "data-index": index, "aria-label": `Family ${family.number}` },
      element("div", { class: "family-facts" }),
      element("div", { class: "family-crops" }, ...crops),
    );
    this.fillFacts(row, family);
    return row;
  }

  /** @param {Element} row @param {any} family */
  fillFacts(row, family) {
    const { verdicts, size } = family;
    row.classList.toggle("judged", verdicts.none === 0);
    const facts = row.querySelector(".family-facts");
    const hadFocus = facts?.contains(document.activeElement);
    facts?.replaceChildren(
      element("button", { class: "link", type: "button", text: plural(size, "image") }),
      element("span", { class: "muted small num", text: `Highest score ${score(family.max_score)}` }),
      ...lines(family).map((text) => element("span", { class: "muted small num", text })),
      ...badges(verdicts),
    );
    if (hadFocus) facts?.querySelector("button")?.focus();
  }

  /** @param {number} index @param {boolean} [focus] */
  choose(index, focus = true) {
    const rows = [...part("list").children];
    const row = rows[index];
    if (!row) return;
    this.current = index;
    for (const [at, other] of rows.entries()) other.setAttribute("aria-current", String(at === index));
    if (index >= rows.length - LOAD_AHEAD) this.loadMore();
    if (!focus) return;
    row.scrollIntoView({ block: "nearest" });
    row.querySelector("button")?.focus({ preventScroll: true });
  }

  /** @param {number} index */
  openSheet(index) {
    const family = this.items[index];
    if (!family) return;
    this.choose(index);
    this.sheet.open(family);
  }

  /** Judge a family whose images are all shown; of others show the sheet first. @param {Verdict} verdict */
  judgeCurrent(verdict) {
    const family = this.items[this.current];
    if (!family) return;
    if (family.isComplete) this.judge(family.members.map((/** @type {any} */ member) => member.image), verdict);
    else this.openSheet(this.current);
  }

  /** @param {any[]} images @param {Verdict} verdict */
  judge(images, verdict) {
    this.reviewer.judge(images, verdict);
    const name = verdictName(verdict).toLowerCase();
    toast(`${plural(images.length, "image")}: ${name}`, { action: { name: "Undo", run: () => this.undo() } });
    const next = this.items.findIndex((family, index) => index > this.current && family.verdicts.none > 0);
    if (next < 0) this.sheet.dialog.close();
    else if (this.sheet.isOpen) this.openSheet(next);
    else this.choose(next);
  }

  undo() {
    const [first] = this.reviewer.undo();
    const index = this.items.findIndex((family) => find(family, first));
    if (index < 0) return;
    if (this.sheet.isOpen) this.openSheet(index);
    else this.choose(index);
  }

  /** @param {number | undefined} id @param {Verdict} verdict */
  onVerdict(id, verdict) {
    this.items.forEach((family, index) => {
      const member = find(family, id);
      if (!member || member.image.verdict === verdict) return;
      family.verdicts[countName(member.image.verdict)] -= 1;
      family.verdicts[countName(verdict)] += 1;
      member.image.verdict = verdict;
      const row = part("list").children[index];
      if (row) this.fillFacts(row, family);
    });
    if (id) this.sheet.mark(id, verdict);
    if (this.report) this.showSummary();
  }
}

/** @param {any} family @param {number | undefined} id */
function find(family, id) {
  return family.members.find((/** @type {any} */ member) => member.image.id === id);
}

/** @param {Verdict} verdict */
function countName(verdict) {
  return verdict === null ? "none" : verdict.replace("-", "_");
}

/** Return the share of the sealed false detections, and how many images fooled the first and last version. @param {any} family */
function lines({ num_sealed_false_detections: sealed, sealed_share: share, trend }) {
  const found = [];
  if (sealed > 0) found.push(`${plural(sealed, "sealed false detection")} (${Math.round(100 * share)} %)`);
  const [first, last] = [trend[0], trend.at(-1)];
  if (first && last && first !== last) {
    found.push(`${first.model_version} erred on ${count(first.num_pool_errors)}, ${last.model_version} on ${count(last.num_pool_errors)}`);
  }
  return found;
}

/** @param {Record<string, number>} verdicts */
function badges(verdicts) {
  return Object.entries(VERDICTS)
    .map(([verdict, { name, badge }]) => ({ name, badge, number: verdicts[verdict.replace("-", "_")] ?? 0 }))
    .filter(({ number }) => number > 0)
    .map(({ name, badge, number }) => element("span", { class: `badge dot ${badge}`, text: `${name} ${count(number)}` }));
}

/** Group the hardest images, and load the page again when it is done. @param {SubmitEvent} event */
async function group(event) {
  event.preventDefault();
  const form = /** @type {HTMLFormElement} */ (event.target);
  const button = form.querySelector("button");
  const status = part("group-status");
  if (button) button.disabled = true;
  try {
    const numImages = Number(new FormData(form).get("num_images"));
    const body = { num_images: numImages, num_mapped: Math.max(1000, numImages) };
    const ended = await watchJob(await send("POST", "/families", body), (job) => (status.textContent = progressText(job)));
    if (ended.status === "done") location.reload();
    else status.textContent = ended.failure ?? `The grouping was ${ended.status}.`;
  } catch {
    status.textContent = ""; // a message on the page says why
  } finally {
    if (button) button.disabled = false;
  }
}

part("group-form").addEventListener("submit", (event) => group(/** @type {SubmitEvent} */ (event)));
if (document.querySelector("[data-sheet]")) new Families().start();
