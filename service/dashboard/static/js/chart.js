// @ts-check
/** Curves by uPlot in the page's colours. The page loads `vendor/uplot/uPlot.iife.min.js` first. */
import { element } from "./dom.js";

/** @typedef {{label: string, color: "accent" | "warn" | "muted", values: (number | null)[], low?: (number | null)[], high?: (number | null)[]}} Curve */

/**
 * Draw curves over named points, such as versions, and a line below with the numbers of the point
 * under the mouse, else of the last one. They are drawn again in another colour scheme or width.
 *
 * @param {HTMLElement} place
 * @param {{names: string[], curves: Curve[], format: (value: number) => string, height?: number}} options
 */
export function drawCurves(place, { names, curves, format, height = 200 }) {
  /** @type {any} */
  let plot = null;
  const note = element("p", { class: "chart-note" });
  place.after(note);
  const describe = (/** @type {number | null | undefined} */ at) => {
    note.textContent = pointText(names, curves, format, at ?? names.length - 1);
  };
  describe(null);
  const draw = () => {
    plot?.destroy();
    const options = optionsOf(place, { names, curves, format, height });
    options.hooks = { setCursor: [(/** @type {any} */ of) => describe(of.cursor.idx)] };
    plot = new /** @type {any} */ (window).uPlot(options, dataOf(names, curves), place);
  };
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  new ResizeObserver(() => plot?.setSize({ width: place.clientWidth, height })).observe(place);
}

/**
 * @param {string[]} names
 * @param {Curve[]} curves
 * @param {(value: number) => string} format
 * @param {number} at
 */
function pointText(names, curves, format, at) {
  const parts = curves.map(({ label, values, low, high }) => {
    const value = values[at];
    if (value === null || value === undefined) return `${label} not measured`;
    const [from, to] = [low?.[at] ?? null, high?.[at] ?? null];
    const interval = from === null || to === null ? "" : ` (95 %: ${format(from)} to ${format(to)})`;
    return `${label} ${format(value)}${interval}`;
  });
  return `${names[at]}: ${parts.join("; ")}`;
}

/** @param {string[]} names @param {Curve[]} curves */
function dataOf(names, curves) {
  const lines = curves.flatMap(({ values, low, high }) => (low && high ? [values, low, high] : [values]));
  return [names.map((_, index) => index), ...lines];
}

/**
 * @param {HTMLElement} place
 * @param {{names: string[], curves: Curve[], format: (value: number) => string, height: number}} options
 */
function optionsOf(place, { names, curves, format, height }) {
  const color = colors(place);
  const axis = {
    stroke: color.muted,
    grid: { stroke: color.line, width: 1 },
    ticks: { show: false },
    font: `12px ${getComputedStyle(place).fontFamily}`,
  };
  const points = names.map((_, index) => index);
  return {
    width: place.clientWidth,
    height,
    cursor: { y: false, points: { size: 9 } },
    legend: { show: false },
    padding: [6, 12, 0, 0],
    /** @type {any} */
    hooks: {},
    scales: { x: { time: false, range: [-0.25, names.length - 0.75] }, y: { range: yRange } },
    axes: [
      { ...axis, grid: { show: false }, size: 30, splits: () => points, values: () => names.map(shortened) },
      { ...axis, size: 52, values: (/** @type {any} */ _, /** @type {number[]} */ at) => at.map(format) },
    ],
    series: [
      {},
      ...curves.flatMap((curve) => seriesOf(curve, color)),
    ],
    bands: bandsOf(curves, color),
  };
}

/** @param {string} name */
function shortened(name) {
  return name.length > 12 ? `${name.slice(0, 11)}…` : name;
}

/** @param {any} _ @param {number} low @param {number} high */
function yRange(_, low, high) {
  const margin = Math.max((high - low) * 0.15, high * 0.02, 1e-6);
  return [Math.max(0, low - margin), high + margin];
}

/** @param {Curve} curve @param {Record<string, string>} color */
function seriesOf(curve, color) {
  const stroke = color[curve.color];
  const line = { stroke, width: 2, points: { show: true, size: 7, fill: stroke } };
  const bound = { stroke: "transparent", width: 0, points: { show: false } };
  return curve.low ? [line, bound, bound] : [line];
}

/** @param {Curve[]} curves @param {Record<string, string>} color */
function bandsOf(curves, color) {
  const bands = [];
  let series = 1;
  for (const curve of curves) {
    if (curve.low) bands.push({ series: [series + 2, series + 1], fill: `${color[curve.color]}1f` });
    series += curve.low ? 3 : 1;
  }
  return bands;
}

/**
 * Return the page's colours as #rrggbb, which canvas understands.
 *
 * @param {HTMLElement} place
 */
export function colors(place) {
  /** @type {Record<string, string>} */
  const found = {};
  const probe = document.createElement("span");
  place.append(probe);
  for (const name of ["accent", "warn", "muted", "line", "text", "raised"]) {
    probe.style.color = `var(--${name})`;
    const [red, green, blue] = getComputedStyle(probe).color.match(/[\d.]+/g)?.map(Number) ?? [];
    found[name] = `#${[red, green, blue].map((part) => (part ?? 0).toString(16).padStart(2, "0")).join("")}`;
  }
  probe.remove();
  return found;
}
