// @ts-check
/** Two versions, image by image and in curves, at one score or at each version's own threshold. */
import { get, withQuery } from "./api.js";
import { shotOf } from "./boxes.js";
import { ComparedCurves } from "./compared_curves.js";
import { element, part } from "./dom.js";
import { count, plural, score } from "./format.js";
import { PairViewer } from "./pair_viewer.js";

const PAGE_SIZE = 24;
const ASK_AFTER_MS = 150;
const root = document.querySelector("[data-compare]");

/** What the page shows; all of it is in its address. */
class Comparison {
  /** @param {HTMLElement} page */
  constructor(page) {
    this.page = page;
    this.before = page.dataset.before ?? "";
    this.now = page.dataset.now ?? "";
    const query = new URLSearchParams(location.search);
    this.split = query.get("split") === "pool" ? "pool" : "negative-test";
    this.change = query.get("change") ?? "stopped";
    const threshold = Number(query.get("threshold"));
    /** @type {number | null} one score for both; null: each at its operating threshold */
    this.threshold = threshold > 0 && threshold < 1 ? threshold : null;
    this.slider = /** @type {HTMLInputElement} */ (part("threshold"));
    this.curves = page.querySelector("[data-chart]") ? new ComparedCurves(page, this.before, this.now) : null;
    /** @type {any[]} what is shown, in order */
    this.items = [];
    this.viewer = new PairViewer(() => this.items);
    this.timer = 0;
    this.asked = 0;
  }

  get thresholds() {
    const { operatingBefore, operatingNow } = this.page.dataset;
    const own = [Number(operatingBefore), Number(operatingNow)];
    return own.map((value) => this.threshold ?? value);
  }

  start() {
    if (this.threshold) this.slider.value = String(this.threshold);
    this.slider.addEventListener("input", () => this.choose({ threshold: Number(this.slider.value) }));
    this.listen("mode", (mode) => this.choose({ threshold: mode === "one" ? Number(this.slider.value) : null }));
    this.listen("split", (split) => this.choose({ split }));
    this.listen("change", (change) => this.choose({ change }));
    part("again").addEventListener("click", () => this.ask());
    window.addEventListener("service-back", () => this.ask());
    const form = /** @type {HTMLFormElement} */ (part("pair-form"));
    form.addEventListener("change", () => form.submit());
    this.show();
    this.curves?.load(() => this.curves?.mark(this.thresholds));
    this.ask();
  }

  /** @param {string} name of the buttons' data attribute @param {(value: string) => void} act */
  listen(name, act) {
    for (const button of this.page.querySelectorAll(`button[data-${name}]`)) {
      button.addEventListener("click", () => act(button.getAttribute(`data-${name}`) ?? ""));
    }
  }

  /** @param {{split?: string, change?: string, threshold?: number | null}} choice */
  choose(choice) {
    Object.assign(this, choice);
    const { before, now, split, change, threshold } = this;
    const address = withQuery(location.pathname, { before, model_version: now, split, change, threshold });
    history.replaceState(null, "", address);
    this.show();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), ASK_AFTER_MS);
  }

  show() {
    this.press("mode", this.threshold === null ? "operating" : "one");
    this.press("split", this.split);
    this.press("change", this.change);
    const [before, now] = this.thresholds.map((value) => value.toFixed(2));
    part("threshold-value").textContent = this.threshold === null ? `${before} and ${now}` : `${now} for both`;
    this.curves?.mark(this.thresholds);
  }

  /** @param {string} name @param {string} value */
  press(name, value) {
    for (const button of this.page.querySelectorAll(`button[data-${name}]`)) {
      button.setAttribute("aria-pressed", String(button.getAttribute(`data-${name}`) === value));
    }
  }

  /** Ask the service for the images; the first page replaces those that are shown. */
  async ask(offset = 0) {
    this.asked += 1;
    const number = this.asked;
    const report = await get(this.address(offset), { quiet: true }).catch((error) => ({ error }));
    if (number !== this.asked) return; // a newer one is under way
    part("loading").hidden = true;
    part("failed").hidden = !report.error;
    if (report.error) {
      part("failed-reason").textContent = report.error.message;
      part("pairs").replaceChildren();
      part("none").hidden = true;
    } else this.showReport(report, offset);
  }

  /** @param {number} offset */
  address(offset) {
    return withQuery("/stats/firing", {
      before: this.before,
      model_version: this.now,
      split: this.split,
      change: this.change,
      threshold: this.threshold,
      threshold_before: this.threshold,
      offset,
      limit: PAGE_SIZE,
    });
  }

  /** @param {any} report @param {number} offset */
  showReport(report, offset) {
    for (const change of ["stopped", "started", "stayed"]) {
      this.page.querySelector(`[data-count="${change}"]`)?.replaceChildren(count(report[change]));
    }
    part("summary").textContent = summary(report);
    const unscored = report.num_unscored ? `; ${count(report.num_unscored)} left out, not scored by both or judged` : "";
    part("place").textContent = `${plural(report.num_images, "image")} scored by both${unscored}`;
    if (offset === 0) this.items = [];
    const pairs = report.items.map((/** @type {any} */ item, /** @type {number} */ at) => this.pairOf(report, item, offset + at));
    this.items.push(...report.items);
    if (offset === 0) part("pairs").replaceChildren(...pairs);
    else part("pairs").append(...pairs);
    this.showNone(report);
    const more = /** @type {HTMLButtonElement} */ (part("more"));
    more.hidden = report.next_offset === null;
    more.onclick = () => this.ask(report.next_offset);
  }

  /** @param {any} report */
  showNone(report) {
    part("none").hidden = report[this.change] > 0;
    const where = this.split === "pool" ? "of the pool" : "sealed";
    const titles = {
      stopped: `${this.now} still fires wherever ${this.before} did`,
      started: `${this.now} fires on no image on which ${this.before} did not`,
      stayed: "There is no image on which both fire",
    };
    part("none-title").textContent = titles[/** @type {keyof titles} */ (this.change)] ?? "";
    part("none-text").textContent = report.num_images
      ? `Among ${plural(report.num_images, "image")} ${where}. A lower score may show some.`
      : `Both have scored no image ${where} yet. ${this.split === "pool" ? "They do while they serve." : "Add sealed negatives, and train a version."}`;
  }

  /** @param {any} report @param {any} item @param {number} index */
  pairOf(report, { image, before, now, is_trained: isTrained }, index) {
    const open = () => this.viewer.open(report, index);
    const half = (/** @type {string} */ name, /** @type {any} */ by, /** @type {number} */ threshold) =>
      element(
        "figure",
        { class: "tile" },
        shot(image, by.detections, threshold, name, open),
        element("figcaption", {}, element("span", { text: name }), element("strong", { text: score(by.max_score) })),
      );
    const title = element(
      "p",
      { class: "row small" },
      element("button", { class: "link truncate", type: "button", text: image.file_name, onclick: open }),
    );
    if (isTrained) title.append(element("span", { class: "badge", text: "trained on" }));
    return element(
      "article",
      { class: "pair" },
      title,
      half(report.before, before, report.threshold_before),
      half(report.model_version, now, report.threshold),
    );
  }
}

/**
 * @param {any} image
 * @param {any[]} boxes
 * @param {number} threshold
 * @param {string} version
 * @param {() => void} open
 */
function shot(image, boxes, threshold, version, open) {
  const made = shotOf(image, boxes, { threshold, alt: `${image.file_name} by ${version}` });
  made.style.aspectRatio = `${image.width} / ${image.height}`; // so that the labels lie at their boxes
  made.addEventListener("click", open); // by keyboard, the name above opens it
  return made;
}

/** @param {any} report */
function summary({ split, num_images: images, stopped, started, stayed, before, model_version: now }) {
  const where = split === "pool" ? "images of the pool" : "sealed images";
  const fired = `${before} fires on ${count(stopped + stayed)}, ${now} on ${count(started + stayed)} of ${count(images)} ${where}`;
  return `${fired}: ${count(stopped)} stopped, ${count(started)} started.`;
}

if (root instanceof HTMLElement) new Comparison(root).start();
