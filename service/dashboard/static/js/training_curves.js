// @ts-check
/** The loss and the AP of a training, epoch by epoch. */
import { part } from "./dom.js";
import { ratio } from "./format.js";
import { LineChart } from "./line_chart.js";

/** @typedef {{epoch: number, losses: Record<string, number | null>, ap50_95: number | null}} Epoch */

export class TrainingCurves {
  /** @param {ParentNode} page with `data-chart="loss"` and `data-chart="ap"` */
  constructor(page) {
    const place = (/** @type {string} */ name) =>
      /** @type {HTMLElement} */ (page.querySelector(`[data-chart="${name}"]`));
    /** @type {import("./line_chart.js").Axis} */
    const x = { format: wholeNumber };
    this.loss = new LineChart(place("loss"), {
      lines: [{ label: "Loss", color: "accent" }],
      x,
      y: { format: (value) => value.toFixed(value < 1 ? 2 : 1) },
      height: 200,
    });
    this.ap = new LineChart(place("ap"), {
      lines: [{ label: "AP", color: "accent" }],
      x,
      y: { format: ratio },
      height: 200,
    });
    /** @type {Epoch[]} */
    this.epochs = [];
  }

  /** @param {...Epoch} epochs of all rounds, in order */
  add(...epochs) {
    this.epochs.push(...epochs);
    const numbers = this.epochs.map((_, index) => index + 1);
    const losses = this.epochs.map(({ losses: parts }) => sum(Object.values(parts)));
    const precision = this.epochs.map((epoch) => epoch.ap50_95);
    this.loss.set([numbers, losses]);
    this.ap.set([numbers, precision]);
    this.loss.describe([losses.at(-1)?.toFixed(3) ?? ""]);
    this.ap.describe([precision.at(-1) === null ? "not measured without val" : ratio(precision.at(-1))]);
  }
}

/** Show the curves within an element that is hidden until there are some. */
export function curvesIn(/** @type {ParentNode} */ page) {
  const frame = part("curves", page);
  /** @type {TrainingCurves | null} */
  let curves = null;
  return {
    /** @param {Epoch} epoch */
    add(epoch) {
      frame.hidden = false;
      curves ??= new TrainingCurves(frame);
      curves.add(epoch);
    },
  };
}

/** @param {(number | null)[]} values */
function sum(values) {
  return values.every((value) => value !== null) ? values.reduce((total, value) => total + (value ?? 0), 0) : null;
}

/** @param {number} value */
function wholeNumber(value) {
  return Number.isInteger(value) ? String(value) : "";
}
