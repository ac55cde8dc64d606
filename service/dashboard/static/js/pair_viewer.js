// @ts-check
/** One image large, twice: with the boxes of the version before and of the version now. */
import { element } from "./dom.js";
import { count, score } from "./format.js";
import { Stage, StageView } from "./stage.js";

export class PairViewer {
  /** @param {() => any[]} items that are shown on the page, as `GET /stats/firing` gives them */
  constructor(items) {
    this.items = items;
    this.index = 0;
    /** @type {any} */
    this.report = null;
    this.title = element("h2", { class: "truncate", id: "pair-title" });
    this.place = element("p", { class: "muted small num" });
    this.verdict = element("p", { class: "muted" });
    const frames = [element("div", { class: "stage" }), element("div", { class: "stage" })];
    this.dialog = this.build(frames);
    this.stages = frames.map((frame) => new Stage(frame));
    this.view = new StageView(this.stages);
  }

  /** @param {HTMLElement[]} frames */
  build(frames) {
    const button = (/** @type {string} */ name, /** @type {string} */ key, /** @type {() => void} */ run) =>
      element("button", { class: "button", type: "button", onclick: run }, `${name} `, element("kbd", { text: key }));
    const dialog = element(
      "dialog",
      { class: "viewer", "aria-labelledby": "pair-title" },
      element("div", { class: "viewer-stages" }, ...frames),
      element(
        "aside",
        { class: "viewer-side" },
        this.title,
        this.place,
        element("div", { class: "row" }, button("Previous", "←", () => this.move(-1)), button("Next", "→", () => this.move(1))),
        this.verdict,
        element("p", { class: "muted small", text: "Wheel, + and - zoom both; drag, H, J, K and L pan them; 0 shows all." }),
        button("Close", "Esc", () => dialog.close()),
      ),
    );
    dialog.addEventListener("keydown", (event) => this.onKey(event));
    document.body.append(dialog);
    return dialog;
  }

  /** @param {any} report @param {number} index of the item on the page */
  open(report, index) {
    this.report = report;
    this.index = index;
    if (!this.dialog.open) this.dialog.showModal();
    this.draw();
  }

  /** @param {number} step */
  move(step) {
    const index = this.index + step;
    if (index < 0 || index >= this.items().length) return;
    this.index = index;
    this.draw();
  }

  draw() {
    const items = this.items();
    const { image, before, now, is_trained: isTrained } = items[this.index];
    const { report } = this;
    this.title.textContent = image.file_name;
    this.place.textContent = `${count(this.index + 1)} of ${count(items.length)} that are shown`;
    this.verdict.textContent = isTrained ? `${report.model_version} or an ancestor was trained on it.` : "";
    const halves = [
      { name: report.before, found: before, threshold: report.threshold_before },
      { name: report.model_version, found: now, threshold: report.threshold },
    ];
    for (const [at, { name, found, threshold }] of halves.entries()) {
      const stage = /** @type {Stage} */ (this.stages[at]);
      stage.show(image, found.detections, threshold);
      stage.title.textContent = `${name}: highest score ${score(found.max_score)}, boxes from ${threshold.toFixed(2)}`;
    }
    this.view.reset();
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "ArrowRight") this.move(1);
    else if (event.key === "ArrowLeft") this.move(-1);
    else if (!this.view.onKey(event.key)) return;
    event.preventDefault();
  }
}
