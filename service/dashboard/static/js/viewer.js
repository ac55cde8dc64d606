// @ts-check
/** One image large: zoom, pan, its boxes in a list, and the same image by another version. */
import { get, withQuery } from "./api.js";
import { element, part } from "./dom.js";
import { count, score } from "./format.js";
import { Stage, StageView } from "./stage.js";
import { VERDICTS } from "./verdicts.js";

const KEYS_OF_THE_GALLERY = ["ArrowUp", "ArrowDown", "Home"]; // it must not move behind the viewer

/**
 * @typedef {object} Shown
 * @property {any} image as the API gives it
 * @property {any[]} detections by `version`
 * @property {string} version
 * @property {number | null} maxScore
 * @property {number} [rank]
 */

export class Viewer {
  /**
   * @param {{onMove: (step: number) => void, onClose: () => void, onBeside: (version: string) => void, onVerdict: (verdict: import("./verdicts.js").Verdict) => void, threshold: () => number, versions: string[]}} options
   */
  constructor(options) {
    this.options = options;
    this.dialog = /** @type {HTMLDialogElement} */ (part("viewer"));
    this.main = new Stage(part("stage"));
    this.other = new Stage(part("stage-beside"));
    this.beside = /** @type {HTMLSelectElement} */ (part("beside"));
    this.view = new StageView([this.main, this.other], (zoom) => {
      part("viewer-zoom").textContent = `${Math.round(zoom * 100)} %`;
    });
    /** @type {Shown | null} */
    this.shown = null;
    this.beside.append(...options.versions.map((name) => element("option", { value: name, text: name })));
    this.beside.addEventListener("change", () => {
      options.onBeside(this.beside.value);
      this.showBeside();
    });
    this.dialog.addEventListener("close", () => options.onClose());
    this.dialog.addEventListener("keydown", (event) => this.onKey(event));
    part("viewer-previous").addEventListener("click", () => options.onMove(-1));
    part("viewer-next").addEventListener("click", () => options.onMove(1));
    part("viewer-close").addEventListener("click", () => this.dialog.close());
    part("viewer-verdict").replaceChildren(...this.verdictButtons());
  }

  get isOpen() {
    return this.dialog.open;
  }

  /** Show an image. @param {Shown} shown @param {string} [beside] version to compare with */
  show(shown, beside) {
    const isOther = this.shown?.image.id !== shown.image.id;
    this.shown = shown;
    if (isOther) this.view.reset();
    if (beside !== undefined) this.beside.value = beside;
    if (!this.dialog.open) this.dialog.showModal();
    this.draw();
    this.showBeside();
  }

  /** Draw the boxes again, for instance at another threshold. */
  draw() {
    if (!this.shown) return;
    const { image, detections, version, maxScore, rank } = this.shown;
    this.main.show(image, detections, this.options.threshold());
    this.main.title.textContent = this.beside.value ? version : "";
    part("viewer-title").textContent = rank ? `#${count(rank)}  ${image.file_name}` : image.file_name;
    part("viewer-facts").replaceChildren(
      ...facts([
        ["Highest score", score(maxScore)],
        ["Size", `${count(image.width)} × ${count(image.height)}`],
        ["Source", image.source || "–"],
        ["Id", String(image.id)],
      ]),
    );
    for (const button of part("viewer-verdict").querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.dataset.verdict === image.verdict));
    }
    part("viewer-boxes").replaceChildren(...this.boxRows(detections));
    this.view.place();
  }

  verdictButtons() {
    return Object.entries(VERDICTS).map(([verdict, { name, key }]) =>
      element(
        "button",
        {
          class: "button",
          type: "button",
          "data-verdict": verdict,
          onclick: () => this.judge(/** @type {any} */ (verdict)),
        },
        name,
        element("kbd", { text: key.toUpperCase() }),
      ),
    );
  }

  /** Give a verdict, or take it back if the image has it. @param {import("./verdicts.js").Verdict} verdict */
  judge(verdict) {
    if (!this.shown) return;
    this.options.onVerdict(this.shown.image.verdict === verdict ? null : verdict);
    this.draw();
  }

  /** @param {any[]} detections */
  boxRows(detections) {
    if (detections.length === 0) {
      return [element("tr", {}, element("td", { class: "muted", colspan: 3, text: "No box above the floor" }))];
    }
    const threshold = this.options.threshold();
    return detections.map((found, index) => {
      const { x1, y1, x2, y2 } = found.box;
      const size = `${Math.round(x2 - x1)} × ${Math.round(y2 - y1)}`;
      const row = element(
        "tr",
        { class: found.score < threshold ? "muted" : null },
        element("td", { text: found.label }),
        element("td", { class: "num", text: score(found.score) }),
        element("td", { class: "num", text: size }),
      );
      row.addEventListener("mouseenter", () => this.mark(index));
      row.addEventListener("mouseleave", () => this.mark(-1));
      return row;
    });
  }

  /** Mark one box on the image. @param {number} index */
  mark(index) {
    const groups = [...this.main.inner.querySelectorAll(".boxes g")].reverse();
    for (const [at, group] of groups.entries()) group.classList.toggle("chosen", at === index);
  }

  async showBeside() {
    const version = this.beside.value;
    this.other.frame.hidden = !version;
    if (this.shown) this.main.title.textContent = version ? this.shown.version : "";
    this.view.place();
    if (!version || !this.shown) return;
    const { image } = this.shown;
    const other = await get(withQuery(`/images/${image.id}`, { model_version: version })).catch(() => null);
    if (!other || this.shown.image.id !== image.id) return;
    const found = other.model_version ? `highest score ${score(other.max_score)}` : "has not scored this image";
    this.other.title.textContent = `${version}: ${found}`;
    this.other.show(image, other.detections, this.options.threshold());
    this.view.place();
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (event.target instanceof HTMLSelectElement || event.ctrlKey || event.metaKey || event.altKey) return;
    const verdict = Object.entries(VERDICTS).find(([, { key }]) => key === event.key)?.[0];
    if (event.key === "ArrowRight") this.options.onMove(1);
    else if (event.key === "ArrowLeft") this.options.onMove(-1);
    else if (verdict) this.judge(/** @type {any} */ (verdict));
    else if (!this.view.onKey(event.key) && !KEYS_OF_THE_GALLERY.includes(event.key)) return;
    event.preventDefault();
  }
}

/** @param {[string, string][]} rows */
function facts(rows) {
  return rows.flatMap(([name, value]) => [
    element("dt", { text: name }),
    element("dd", { class: "num truncate", text: value, title: value }),
  ]);
}
