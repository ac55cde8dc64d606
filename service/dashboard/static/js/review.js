// @ts-check
/** Judging the ranked list: one key a verdict, and every verdict is saved as it is given. */
import { Unreachable } from "./api.js";
import { SMALL_SIDE } from "./boxes.js";
import { element, input, part } from "./dom.js";
import { count, plural, score } from "./format.js";
import { FILTERS, RankedList, filtersOfAddress, setAddress } from "./ranked_list.js";
import { addShortcuts } from "./shortcuts.js";
import { Stage, StageView } from "./stage.js";
import { toast } from "./toast.js";
import { UndoStack } from "./undo_stack.js";
import { VERDICTS, VerdictQueue, verdictName } from "./verdicts.js";

/** @typedef {import("./verdicts.js").Verdict} Verdict */

const SHOWN = 200;
const CONFIRMED_FROM = 20; // so many verdicts at once are asked for again
const OTHERS_MS = 8000; // how often other reviewers' verdicts are looked for, in a list of 200
const PRELOADED = 3;
const THRESHOLD = 0.3;

class Review {
  constructor() {
    this.stage = new Stage(part("stage"));
    this.view = new StageView([this.stage]);
    this.strip = part("strip");
    this.form = /** @type {HTMLFormElement} */ (part("filters"));
    this.list = new RankedList({});
    /** @type {any[]} */
    this.items = [];
    this.current = 0;
    /** The other end of the selection; null while only one image is chosen. @type {number | null} */
    this.anchor = null;
    /** All images without a verdict are chosen. */
    this.isAll = false;
    this.areBoxesShown = true;
    this.undoStack = new UndoStack("");
    this.verdicts = new VerdictQueue({
      onSaved: (id, verdict) => this.onSaved(id, verdict),
      onConflict: (conflict) => this.onConflict(conflict),
      onWaiting: (waiting) => showWaiting(waiting),
    });
    showWaiting(this.verdicts.waiting.length);
    this.listen();
  }

  listen() {
    part("verdicts").replaceChildren(
      ...Object.entries(VERDICTS).map(([verdict, { name, key }]) =>
        element(
          "button",
          {
            class: "button",
            type: "button",
            "data-verdict": verdict,
            onclick: () => this.judge(/** @type {Verdict} */ (verdict)),
          },
          name,
          element("kbd", { text: key.toUpperCase() }),
        ),
      ),
    );
    part("undo").addEventListener("click", () => this.undo());
    part("all").addEventListener("click", () => this.selectAll());
    part("again").addEventListener("click", () => this.start());
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("change", () => this.applyFilters());
    this.strip.addEventListener("click", (event) => this.onStripClick(event));
    window.addEventListener("popstate", () => this.start());
    setTimeout(() => this.watchOthers(), OTHERS_MS);
    addShortcuts(
      ...Object.entries(VERDICTS).map(([verdict, { name, key }]) => ({
        key,
        does: name,
        run: () => this.judge(/** @type {Verdict} */ (verdict)),
      })),
      { key: "x", does: "Take the verdict back", run: () => this.judge(null) },
      { key: "z", does: "Undo, as often as you like", run: () => this.undo() },
      { key: "ArrowRight", does: "Next image", run: () => this.go(this.current + 1) },
      { key: "ArrowLeft", does: "Previous image", run: () => this.go(this.current - 1) },
      { key: " ", does: "Next image without a verdict", run: () => this.go(this.nextOpen()) },
      { key: "Shift+ArrowRight", does: "Select the next image, too", run: () => this.extend(1) },
      { key: "Shift+ArrowLeft", does: "Select the previous image, too", run: () => this.extend(-1) },
      { key: "a", does: "Select all images without a verdict", run: () => this.selectAll() },
      { key: "Escape", does: "Select one image again", run: () => this.select(null) },
      { key: "b", does: "Hide or show the boxes", run: () => this.toggleBoxes() },
      { key: "+", does: "Zoom in", run: () => this.view.onKey("+") },
      { key: "-", does: "Zoom out", run: () => this.view.onKey("-") },
      { key: "0", does: "Show the whole image", run: () => this.view.reset() },
    );
  }

  /** Read the address, and load the list that it describes. */
  async start() {
    const query = new URLSearchParams(location.search);
    const filters = filtersOfAddress();
    for (const name of FILTERS) input(this.form, name).value = filters[name] ?? "";
    const n = Number(query.get("n")) || SHOWN;
    input(this.form, "n").value = String(n);
    showState("loading");
    // judged images stay in the list: they are the progress
    this.list = new RankedList({ verdict: "any", ...filters });
    const { list } = this;
    try {
      await list.load(Math.min(n, 1000));
    } catch (error) {
      showFailure(error);
      return;
    }
    if (list !== this.list) return;
    this.items = list.items;
    this.undoStack = new UndoStack(`${list.version} ${JSON.stringify(filters)}`);
    for (const change of this.verdicts.waiting) this.setVerdict(change.imageId, change.verdict);
    showState(this.items.length > 0 ? "body" : "empty");
    this.drawStrip();
    this.showProgress();
    const asked = this.items.findIndex((item) => String(item.image.id) === query.get("image"));
    this.current = asked >= 0 ? asked : this.nextOpen(-1);
    if (this.items.length > 0) this.go(this.current);
  }

  /** Return the next image without a verdict, from the start again after the end. */
  nextOpen(after = this.current) {
    const order = [...this.items.keys()];
    const found = [...order.slice(after + 1), ...order.slice(0, after + 1)];
    return found.find((index) => !this.items[index].image.verdict) ?? Math.min(after + 1, this.items.length - 1);
  }

  /** @param {number} index */
  go(index) {
    if (index < 0 || index >= this.items.length) return;
    this.current = index;
    this.select(null);
    this.view.reset();
    this.show();
  }

  /** @param {number} step */
  extend(step) {
    const next = this.current + step;
    if (next < 0 || next >= this.items.length) return;
    const anchor = this.anchor ?? this.current;
    this.current = next;
    this.select(anchor);
    this.show();
  }

  selectAll() {
    this.isAll = true;
    this.anchor = null;
    this.showSelection();
  }

  /** @param {number | null} anchor */
  select(anchor) {
    this.isAll = false;
    this.anchor = anchor;
    this.showSelection();
  }

  /** @returns {number[]} */
  selected() {
    if (this.isAll) return [...this.items.keys()].filter((index) => !this.items[index].image.verdict);
    const [first, last] = [this.current, this.anchor ?? this.current].sort((a, b) => a - b);
    return [...this.items.keys()].slice(first, /** @type {number} */ (last) + 1);
  }

  /** @param {Verdict} verdict */
  async judge(verdict) {
    const indices = this.selected().filter((index) => this.items[index].image.verdict !== verdict);
    if (indices.length >= CONFIRMED_FROM && !(await confirmed(verdict, indices.length))) return;
    const changes = indices.map((index) => {
      const { image } = this.items[index];
      return { imageId: image.id, expected: image.verdict, verdict };
    });
    if (changes.length > 0) {
      this.undoStack.push(changes);
      this.apply(changes);
    }
    const last = Math.max(this.current, ...this.selected());
    this.go(verdict === null ? this.current : this.nextOpen(last));
  }

  undo() {
    const changes = this.undoStack.pop();
    if (!changes) return;
    this.apply(changes);
    const index = this.indexOf(/** @type {number} */ (changes[0]?.imageId));
    if (index >= 0) this.go(index);
  }

  /** @param {import("./verdicts.js").Change[]} changes */
  apply(changes) {
    this.verdicts.add(changes);
    for (const change of changes) this.setVerdict(change.imageId, change.verdict);
    this.showProgress();
  }

  /** @param {number} id */
  indexOf(id) {
    return this.items.findIndex((item) => item.image.id === id);
  }

  /** @param {number} id @param {Verdict} verdict */
  setVerdict(id, verdict) {
    const index = this.indexOf(id);
    if (index < 0) return;
    this.items[index].image.verdict = verdict;
    this.showMark(index);
    if (index === this.current) this.showVerdict();
  }

  /** @param {number} id @param {Verdict} verdict */
  onSaved(id, verdict) {
    this.setVerdict(id, verdict);
    this.showProgress();
  }

  /** @param {import("./verdicts.js").Conflict} conflict */
  onConflict({ imageId, mine, theirs }) {
    this.undoStack.forget(imageId);
    this.onSaved(imageId, theirs);
    const index = this.indexOf(imageId);
    const name = index >= 0 ? `#${this.items[index].rank}` : `Image ${imageId}`;
    toast(`${name} was judged by somebody else meanwhile`, {
      text: `Theirs: ${verdictName(theirs)}. Yours: ${verdictName(mine)}. Theirs stays unless you replace it.`,
      kind: "bad",
      action: { name: "Use mine", run: () => this.apply([{ imageId, expected: theirs, verdict: mine }]) },
    });
  }

  /** Look for others' verdicts again and again, in a long list less often. */
  async watchOthers() {
    await this.lookForOthers();
    setTimeout(() => this.watchOthers(), OTHERS_MS * Math.max(1, this.items.length / SHOWN));
  }

  /** Show the verdicts that others gave since the list was loaded. */
  async lookForOthers() {
    if (document.hidden || this.items.length === 0) return;
    const list = new RankedList({ ...this.list.filters, model_version: this.list.version });
    await list.load(this.items.length).catch(() => 0);
    const unsaved = new Set(this.verdicts.waiting.map((change) => change.imageId));
    let changed = 0;
    for (const { image } of list.items) {
      const index = this.indexOf(image.id);
      if (index < 0 || unsaved.has(image.id) || this.items[index].image.verdict === image.verdict) continue;
      this.setVerdict(image.id, image.verdict);
      changed += 1;
    }
    if (changed > 0) {
      this.showProgress();
      toast(`Somebody else judged ${plural(changed, "image")}`);
    }
  }

  applyFilters() {
    const values = Object.fromEntries(FILTERS.map((name) => [name, input(this.form, name).value]));
    setAddress({ ...values, n: input(this.form, "n").value, image: null });
    this.start();
  }

  toggleBoxes() {
    this.areBoxesShown = !this.areBoxesShown;
    this.show();
  }

  show() {
    const item = this.items[this.current];
    const { image, detections } = item;
    setAddress({ image: image.id }, { replace: true });
    this.stage.show(image, this.areBoxesShown ? detections : [], shownFrom(detections));
    this.view.place();
    this.showVerdict();
    part("facts").replaceChildren(
      ...facts([
        ["Rank", `${count(item.rank)} of ${count(this.items.length)}`],
        ["Highest score", score(item.max_score)],
        ["File", image.file_name],
        ["Source", image.source || "–"],
        ["Looks like an object", item.held === null ? "not tested" : item.held ? "yes, held" : "no"],
      ]),
    );
    const rows = detections.slice(0, 8).map((/** @type {any} */ found) =>
      element(
        "tr",
        {},
        element("td", { text: found.label }),
        element("td", { class: "num", text: score(found.score) }),
      ),
    );
    part("boxes").replaceChildren(...rows);
    for (let step = 1; step <= PRELOADED; step += 1) preload(this.items[this.current + step]?.image);
  }

  showVerdict() {
    const verdict = this.items[this.current].image.verdict;
    for (const button of part("verdicts").querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.dataset.verdict === verdict));
    }
    this.stage.title.textContent = verdict ? verdictName(verdict) : "";
  }

  showProgress() {
    const judged = this.items.filter((item) => item.image.verdict).length;
    const left = this.items.length - judged;
    part("progress-text").textContent =
      left > 0 || judged === 0
        ? `${count(judged)} of ${count(this.items.length)} judged, ${count(left)} left`
        : `All ${count(judged)} judged`;
    const bar = /** @type {HTMLProgressElement} */ (part("progress"));
    bar.max = Math.max(1, this.items.length);
    bar.value = judged;
    /** @type {HTMLButtonElement} */ (part("undo")).disabled = this.undoStack.isEmpty;
  }

  drawStrip() {
    const tiles = this.items.map(({ image, rank }, index) =>
      element(
        "div",
        { class: "strip-tile", role: "option", id: `tile-${index}`, "data-index": index },
        element("img", {
          src: `${image.links.thumbnail}?max_side=${SMALL_SIDE}`,
          alt: `Rank ${rank}, ${image.file_name}`,
          loading: "lazy",
          decoding: "async",
        }),
        element("span", { class: "strip-mark", "aria-hidden": "true" }),
      ),
    );
    this.strip.replaceChildren(...tiles);
    for (const index of this.items.keys()) this.showMark(index);
  }

  /** @param {number} index */
  showMark(index) {
    const tile = this.strip.children[index];
    if (!(tile instanceof HTMLElement)) return;
    const { verdict } = this.items[index].image;
    tile.dataset.verdict = verdict ?? "";
    const mark = tile.querySelector(".strip-mark");
    if (mark) mark.textContent = verdict ? VERDICTS[/** @type {keyof VERDICTS} */ (verdict)].key.toUpperCase() : "";
  }

  showSelection() {
    const selected = new Set(this.selected());
    [...this.strip.children].forEach((tile, index) => {
      tile.setAttribute("aria-selected", String(selected.has(index)));
      tile.classList.toggle("current", index === this.current);
    });
    this.strip.setAttribute("aria-activedescendant", `tile-${this.current}`);
    const tile = this.strip.children[this.current];
    if (tile instanceof HTMLElement) {
      this.strip.scrollLeft = tile.offsetLeft - this.strip.clientWidth / 2 + tile.offsetWidth / 2;
    }
    const note = part("selection");
    note.hidden = selected.size < 2 && !this.isAll;
    note.textContent = `The next verdict is for ${plural(selected.size, "image")}. Esc selects one again.`;
  }

  /** @param {MouseEvent} event */
  onStripClick(event) {
    const tile = /** @type {HTMLElement} */ (event.target).closest("[data-index]");
    if (!(tile instanceof HTMLElement)) return;
    const index = Number(tile.dataset.index);
    if (!event.shiftKey) {
      this.go(index);
      return;
    }
    const anchor = this.anchor ?? this.current;
    this.current = index;
    this.select(anchor);
    this.show();
  }
}

/** Ask before many images get a verdict. @param {Verdict} verdict @param {number} images */
function confirmed(verdict, images) {
  const dialog = /** @type {HTMLDialogElement} */ (part("confirm"));
  part("confirm-title").textContent = `“${verdictName(verdict)}” for ${plural(images, "image")}?`;
  dialog.showModal();
  return new Promise((resolve) => {
    part("confirm-yes").onclick = () => dialog.close("yes");
    part("confirm-no").onclick = () => dialog.close("no");
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    dialog.returnValue = "no";
  });
}

/**
 * Return the score from which boxes are drawn: the usual one, or the best if all are below.
 *
 * @param {{score: number}[]} detections best first
 */
function shownFrom(detections) {
  return Math.min(THRESHOLD, detections[0]?.score ?? 0);
}

/** @param {number} waiting */
function showWaiting(waiting) {
  const badge = part("saved");
  badge.textContent = waiting === 0 ? "All saved" : `${plural(waiting, "verdict")} not saved yet`;
  badge.classList.toggle("good", waiting === 0);
  badge.classList.toggle("warn", waiting > 0);
}

/** @param {{links: {thumbnail: string}} | undefined} image */
function preload(image) {
  if (image) new Image().src = `${image.links.thumbnail}?max_side=1024`;
}

/** @param {[string, string][]} rows */
function facts(rows) {
  return rows.flatMap(([name, value]) => [
    element("dt", { text: name }),
    element("dd", { class: "num truncate", text: value, title: value }),
  ]);
}

/** @param {"loading" | "body" | "empty" | "failed"} state */
function showState(state) {
  for (const name of ["loading", "body", "empty", "failed"]) part(name).hidden = name !== state;
}

/** @param {unknown} error */
function showFailure(error) {
  showState("failed");
  part("progress-text").textContent = "";
  part("failed-reason").textContent =
    error instanceof Unreachable
      ? "The service does not answer. Is it running?"
      : String(/** @type {Error} */ (error).message);
}

if (document.querySelector("[data-review-page]")) new Review().start();
