// @ts-check
/** The gallery: thousands of ranked images with their boxes, and one image large. */
import { Unreachable, get, withQuery } from "./api.js";
import { redrawBoxes, shotOf } from "./boxes.js";
import { element, input, part } from "./dom.js";
import { count, plural, score } from "./format.js";
import { justify } from "./justified.js";
import { RankedList, filtersOfAddress, FILTERS, setAddress } from "./ranked_list.js";
import { addShortcuts } from "./shortcuts.js";
import { toast } from "./toast.js";
import { VERDICTS, VerdictQueue, verdictName } from "./verdicts.js";
import { Viewer } from "./viewer.js";
import { VirtualRows } from "./virtual_rows.js";

const FIRST_PAGE = 30; // what a large window shows
const NEXT_PAGES = 1000;
const LOADED_AHEAD = 10_000; // so that the counts are of all that a person may scroll through
const ROW_HEIGHT = 190;
const PHONE_ROW_HEIGHT = 130;
const GAP = 12;
const CAPTION = 30;
const THRESHOLD = 0.3;

/** @typedef {import("./justified.js").Row} Row */

class Gallery {
  constructor() {
    this.place = part("gallery");
    this.form = /** @type {HTMLFormElement} */ (part("filters"));
    this.slider = /** @type {HTMLInputElement} */ (part("threshold"));
    this.list = new RankedList({});
    /** @type {Row[]} */
    this.rows = [];
    this.rowsWidth = 0;
    this.current = 0;
    this.virtual = new VirtualRows(this.place, (index) => this.drawRow(index));
    this.viewer = new Viewer({
      versions: (this.place.dataset.versions ?? "").split("\n"),
      threshold: () => this.threshold,
      onMove: (step) => this.open(this.current + step),
      onBeside: (version) => setAddress({ beside: version }, { replace: true }),
      onClose: () => this.onViewerClosed(),
      onVerdict: (verdict) => this.judge(verdict),
    });
    this.verdicts = new VerdictQueue({
      onSaved: (id, verdict) => this.showVerdict(id, verdict),
      onConflict: ({ imageId, theirs }) => {
        toast("Somebody judged this image meanwhile", { text: `Their verdict stays: ${verdictName(theirs)}`, kind: "bad" });
        this.showVerdict(imageId, theirs);
      },
      onWaiting: () => {},
    });
    this.listen();
  }

  get threshold() {
    return Number(this.slider.value);
  }

  listen() {
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("change", (event) => {
      if (event.target === this.slider) setAddress({ threshold: this.slider.value }, { replace: true });
      else this.applyFilters();
    });
    this.slider.addEventListener("input", () => this.showThreshold());
    this.place.addEventListener("click", (event) => this.onClick(event));
    this.place.addEventListener("focusin", (event) => this.onFocus(event));
    part("clear").addEventListener("click", () => this.clearFilters());
    part("again").addEventListener("click", () => this.start());
    window.addEventListener("popstate", () => this.start());
    new ResizeObserver(() => this.layOut()).observe(this.place);
    addShortcuts(
      { key: "ArrowRight", does: "Next image", run: () => this.focus(this.current + 1) },
      { key: "ArrowLeft", does: "Previous image", run: () => this.focus(this.current - 1) },
      { key: "ArrowDown", does: "Row below", run: () => this.focusRow(1) },
      { key: "ArrowUp", does: "Row above", run: () => this.focusRow(-1) },
      { key: "Home", does: "Hardest image", run: () => this.focus(0) },
      { key: "[", does: "Lower threshold", run: () => this.moveThreshold(-0.05) },
      { key: "]", does: "Higher threshold", run: () => this.moveThreshold(0.05) },
    );
  }

  /** Read the address, and load the list that it describes. */
  async start() {
    const query = new URLSearchParams(location.search);
    const filters = filtersOfAddress();
    for (const name of FILTERS) input(this.form, name).value = filters[name] ?? "";
    this.slider.value = query.get("threshold") ?? String(THRESHOLD);
    this.list = new RankedList(filters);
    const { list } = this;
    this.rows = [];
    this.current = 0;
    this.virtual.setHeights([]);
    this.showThreshold();
    showState("loading");
    part("review").setAttribute("href", withQuery("/dashboard/review", filters));
    try {
      await list.load(FIRST_PAGE);
    } catch (error) {
      this.showFailure(error);
      return;
    }
    if (list !== this.list) return;
    this.onLoaded();
    await this.openFromAddress(query);
    await this.loadAhead(list);
  }

  /** Load further pages while the browser has nothing else to do. @param {RankedList} list */
  async loadAhead(list) {
    try {
      while (list === this.list && !list.isComplete && list.items.length < LOADED_AHEAD) {
        await new Promise((resolve) => requestIdleCallback(resolve, { timeout: 2000 }));
        await list.load(NEXT_PAGES);
        if (list === this.list) this.onLoaded();
      }
    } catch {
      // what is loaded stays; the page says why the rest is missing
    }
  }

  onLoaded() {
    this.layOut();
    const { items, pool, version, isComplete } = this.list;
    const scored = pool.scored < pool.images ? `, ${count(pool.scored)} of them scored so far` : "";
    part("summary").textContent =
      `${plural(pool.images, "image")} in the pool${scored}, ranked by ${version}, worst first`;
    showState(items.length === 0 && isComplete ? "empty" : "list");
    part("empty-reason").textContent =
      pool.scored < pool.images
        ? `${version} has scored ${count(pool.scored)} of ${plural(pool.images, "image")} so far.`
        : "Another verdict, class or source may have some.";
    this.showCounts();
    const sources = [...new Set(items.map((item) => item.image.source))].filter(Boolean).slice(0, 100);
    part("sources").replaceChildren(...sources.map((value) => element("option", { value })));
  }

  /** @param {unknown} error */
  showFailure(error) {
    showState("failed");
    part("summary").textContent = "";
    part("failed-reason").textContent =
      error instanceof Unreachable ? "The service does not answer. Is it running?" : String(/** @type {Error} */ (error).message);
  }

  layOut() {
    const width = this.place.clientWidth;
    if (width === 0) return;
    const height = width < 600 ? PHONE_ROW_HEIGHT : ROW_HEIGHT;
    const known = width === this.rowsWidth ? this.rows : [];
    this.rows = justify(this.list.items.map((item) => item.image), { width, height, gap: GAP }, known);
    this.rowsWidth = width;
    this.virtual.setHeights(
      this.rows.map((row) => row.height + CAPTION + GAP),
      Math.max(0, known.length - 1),
    );
  }

  /** @param {number} index */
  drawRow(index) {
    const row = /** @type {Row} */ (this.rows[index]);
    const cards = this.list.items
      .slice(row.start, row.end)
      .map((item, at) => this.drawCard(item, row.start + at, row.height));
    return element("div", { class: "gallery-row" }, ...cards);
  }

  /** @param {any} item @param {number} index @param {number} height */
  drawCard(item, index, height) {
    const { image } = item;
    const shot = shotOf(image, item.detections, { threshold: this.threshold, alt: image.file_name });
    shot.style.height = `${height}px`;
    shot.style.width = `${Math.min(Math.max(image.width / image.height, 0.5), 2.6) * height}px`;
    const mark = image.verdict
      ? element("span", { class: `badge dot ${/** @type {any} */ (VERDICTS)[image.verdict].badge}`, text: verdictName(image.verdict) })
      : item.held
        ? element("span", { class: "badge", text: "Held" })
        : "";
    return element(
      "a",
      {
        class: "card-link",
        href: withQuery(location.pathname, { ...this.list.filters, image: image.id }),
        "data-index": index,
        tabindex: index === this.current ? 0 : -1,
      },
      shot,
      element(
        "span",
        { class: "caption" },
        element("span", {}, element("strong", { text: `#${count(item.rank)}` }), ` ${score(item.max_score)}`),
        mark,
      ),
    );
  }

  showThreshold() {
    part("threshold-value").textContent = this.threshold.toFixed(2);
    for (const card of this.place.querySelectorAll("[data-index]")) {
      const item = this.list.items[Number(/** @type {HTMLElement} */ (card).dataset.index)];
      const shot = card.querySelector(".shot");
      if (item && shot) redrawBoxes(shot, item.image, item.detections, this.threshold);
    }
    this.showCounts();
    if (this.viewer.isOpen) this.viewer.draw();
  }

  showCounts() {
    const { items, isComplete } = this.list;
    let images = 0;
    let boxes = 0;
    for (const { detections } of items) {
      const shown = numberFrom(this.threshold, detections);
      boxes += shown;
      if (shown > 0) images += 1;
    }
    const among = isComplete ? count(items.length) : `the first ${count(items.length)}`;
    part("counts").textContent =
      items.length === 0 ? "" : `${plural(boxes, "box", "boxes")} on ${count(images)} of ${among} images`;
  }

  /** @param {number} step */
  moveThreshold(step) {
    this.slider.value = String(this.threshold + step);
    this.showThreshold();
    setAddress({ threshold: this.slider.value }, { replace: true });
  }

  applyFilters() {
    const values = FILTERS.map((name) => [name, input(this.form, name).value]);
    setAddress({ ...Object.fromEntries(values), image: null });
    this.start();
  }

  clearFilters() {
    setAddress({ ...Object.fromEntries(FILTERS.map((name) => [name, null])), image: null });
    this.start();
  }

  /** @param {number} index */
  focus(index) {
    if (index < 0 || index >= this.list.items.length) return;
    this.current = index;
    const row = this.rowOf(index);
    this.virtual.reveal(row);
    const card = this.place.querySelector(`[data-index="${index}"]`);
    if (card instanceof HTMLElement) card.focus({ preventScroll: true });
  }

  /** @param {number} step */
  focusRow(step) {
    const row = this.rows[this.rowOf(this.current)];
    const next = this.rows[this.rowOf(this.current) + step];
    if (!row || !next) return;
    this.focus(Math.min(next.start + this.current - row.start, next.end - 1));
  }

  /** @param {number} index */
  rowOf(index) {
    return this.rows.findIndex((row) => index < row.end);
  }

  /** @param {FocusEvent} event */
  onFocus(event) {
    const card = /** @type {HTMLElement} */ (event.target).closest("[data-index]");
    if (!(card instanceof HTMLElement)) return;
    for (const other of this.place.querySelectorAll('[tabindex="0"]')) other.setAttribute("tabindex", "-1");
    card.setAttribute("tabindex", "0");
    this.current = Number(card.dataset.index);
  }

  /** @param {MouseEvent} event */
  onClick(event) {
    const card = /** @type {HTMLElement} */ (event.target).closest("[data-index]");
    if (!(card instanceof HTMLElement) || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.open(Number(card.dataset.index));
  }

  /** @param {number} index */
  open(index) {
    const item = this.list.items[index];
    if (!item) return;
    this.current = index;
    setAddress({ image: item.image.id }, { replace: true });
    this.show(item, new URLSearchParams(location.search).get("beside") ?? "");
    for (const next of [index + 1, index - 1]) preload(this.list.items[next]?.image);
  }

  /** @param {any} item @param {string} beside */
  show(item, beside) {
    const { image, detections, max_score: maxScore, rank } = item;
    this.viewer.show({ image, detections, maxScore, rank, version: this.list.version }, beside);
  }

  /** Open the image that the address names, even if it is not among the first. @param {URLSearchParams} query */
  async openFromAddress(query) {
    const id = Number(query.get("image"));
    if (!id) return;
    const index = this.list.items.findIndex((item) => item.image.id === id);
    if (index >= 0) {
      this.open(index);
      return;
    }
    const image = await get(withQuery(`/images/${id}`, { model_version: this.list.version })).catch(() => null);
    if (image) this.show({ image, detections: image.detections, max_score: image.max_score }, query.get("beside") ?? "");
  }

  /** Judge the image that is shown large. @param {import("./verdicts.js").Verdict} verdict */
  judge(verdict) {
    const image = this.viewer.shown?.image;
    if (!image) return;
    this.verdicts.add([{ imageId: image.id, expected: image.verdict, verdict }]);
    image.verdict = verdict;
  }

  /** @param {number} id @param {import("./verdicts.js").Verdict} verdict */
  showVerdict(id, verdict) {
    const index = this.list.items.findIndex((item) => item.image.id === id);
    if (index >= 0) {
      this.list.items[index].image.verdict = verdict;
      this.virtual.redraw();
    }
    if (this.viewer.isOpen) this.viewer.draw();
  }

  onViewerClosed() {
    setAddress({ image: null }, { replace: true });
    this.focus(this.current);
  }
}

/**
 * Return how many detections have at least a score; there may be a million in the list.
 *
 * @param {number} threshold
 * @param {{score: number}[]} detections surest first
 */
function numberFrom(threshold, detections) {
  let [low, high] = [0, detections.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (/** @type {{score: number}} */ (detections[middle]).score >= threshold) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** @param {{links: {thumbnail: string}} | undefined} image */
function preload(image) {
  if (image) new Image().src = `${image.links.thumbnail}?max_side=1024`;
}

/** @param {"loading" | "list" | "empty" | "failed"} state */
function showState(state) {
  for (const name of ["loading", "empty", "failed"]) part(name).hidden = name !== state;
}

/** Let the person download the list with the filters of the page. */
function prepareExport() {
  const dialog = /** @type {HTMLDialogElement} */ (part("export-dialog"));
  part("export").addEventListener("click", () => {
    const fields = Object.entries(filtersOfAddress()).map(([name, value]) =>
      element("input", { type: "hidden", name, value }),
    );
    part("export-filters").replaceChildren(...fields);
    dialog.showModal();
  });
  part("export-form").addEventListener("submit", () => dialog.close());
  part("export-close").addEventListener("click", () => dialog.close());
}

if (document.querySelector("[data-gallery]")) {
  prepareExport();
  new Gallery().start();
}
