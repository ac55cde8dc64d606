// @ts-check
/** FROC and score histogram of two versions, with marks at their thresholds. */
import { get, withQuery } from "./api.js";
import { ratio } from "./format.js";
import { LineChart } from "./line_chart.js";

const COUNTS = [0, 1, 10, 100, 1000, 10_000, 100_000];

/** Counts are drawn as log10(1 + n): most images lie in one bar, and the others matter. */
const height = (/** @type {number} */ images) => Math.log10(1 + images);

/** @typedef {{threshold: number, recall: number, fppi: number}} FrocPoint */

export class ComparedCurves {
  /** @param {HTMLElement} page @param {string} before @param {string} now */
  constructor(page, before, now) {
    this.names = [before, now];
    const place = (/** @type {string} */ name) =>
      /** @type {HTMLElement} */ (page.querySelector(`[data-chart="${name}"]`));
    /** @type {import("./line_chart.js").Line[]} */
    const lines = [
      { label: before, color: "muted" },
      { label: now, color: "accent" },
    ];
    this.froc = new LineChart(place("froc"), {
      lines,
      x: { format: (value) => value.toFixed(value < 1 ? 2 : 1), label: "False detections per image" },
      y: { format: ratio, range: [0, 1] },
    });
    this.histogram = new LineChart(place("histogram"), {
      lines: lines.map((line) => ({ ...line, stepped: true })),
      x: { format: (value) => value.toFixed(1), range: [0, 1], label: "Highest score" },
      y: { format: (value) => String(Math.round(10 ** value - 1)), splits: COUNTS.map(height) },
    });
    /** @type {any[]} */
    this.reports = [];
    this.thresholds = [0.5, 0.5];
  }

  /** Read both versions' curves, and draw them. @param {() => void} then */
  async load(then) {
    const asked = this.names.map((name) =>
      get(withQuery("/stats/false-detections", { model_version: name }), { quiet: true }),
    );
    try {
      this.reports = await Promise.all(asked);
    } catch (error) {
      const reason = error instanceof Error ? error.message : "";
      for (const chart of [this.froc, this.histogram]) chart.place.textContent = reason;
      return;
    }
    this.froc.set(joined(this.reports.map(({ froc }) => upperEnvelope(froc))));
    const [first] = this.reports;
    const edges = [...first.histogram.map((/** @type {any} */ bin) => bin.low), 1];
    const heights = this.reports.map(({ histogram }) => {
      const values = histogram.map((/** @type {any} */ bin) => height(bin.num_images));
      return [...values, values.at(-1)];
    });
    this.histogram.set([edges, ...heights]);
    then();
  }

  /** Mark the thresholds, before and now. @param {number[]} thresholds */
  mark(thresholds) {
    this.thresholds = thresholds;
    if (this.reports.length === 0) return;
    const colors = /** @type {const} */ (["muted", "accent"]);
    const points = this.reports.map(({ froc }, index) => pointAt(froc, thresholds[index] ?? 0.5));
    this.histogram.mark(thresholds.map((x, index) => ({ x, color: colors[index] ?? "accent" })));
    this.froc.mark(
      points.flatMap((point, index) =>
        point ? [{ x: point.fppi, y: point.recall, color: colors[index] ?? "accent" }] : [],
      ),
    );
    this.froc.describe(
      points.map((point) => (point ? `recall ${ratio(point.recall)}, ${point.fppi.toFixed(2)} false detections per image` : "finds nothing")),
    );
    this.histogram.describe(
      this.reports.map(({ histogram }, index) => `about ${imagesFrom(histogram, thresholds[index] ?? 0.5)} from ${(thresholds[index] ?? 0.5).toFixed(2)} up`),
    );
  }
}

/**
 * Return the highest recall for each number of false detections, as one curve.
 *
 * @param {FrocPoint[]} points from the highest threshold to the lowest
 * @returns {Map<number, number>}
 */
function upperEnvelope(points) {
  const best = new Map();
  for (const { fppi, recall } of points) best.set(fppi, Math.max(recall, best.get(fppi) ?? 0));
  return best;
}

/** Put curves with different x over one another. @param {Map<number, number>[]} curves */
function joined(curves) {
  const xs = [...new Set(curves.flatMap((curve) => [...curve.keys()]))].sort((a, b) => a - b);
  return [xs, ...curves.map((curve) => xs.map((x) => curve.get(x) ?? null))];
}

/** @param {FrocPoint[]} points @param {number} threshold */
function pointAt(points, threshold) {
  return points.filter((point) => point.threshold >= threshold).at(-1);
}

/** @param {any[]} bins @param {number} threshold */
function imagesFrom(bins, threshold) {
  return bins.filter(({ low }) => low >= threshold - 1e-9).reduce((sum, { num_images: images }) => sum + images, 0);
}
