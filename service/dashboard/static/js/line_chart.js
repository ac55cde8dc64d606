// @ts-check
/** Curves over numbers by uPlot, in the page's colours. The page loads uPlot first. */
import { colors } from "./chart.js";
import { element } from "./dom.js";

/**
 * @typedef {object} Line
 * @property {string} label
 * @property {"accent" | "warn" | "muted"} color
 * @property {boolean} [stepped] for a histogram: each value holds up to the next x
 *
 * @typedef {object} Axis
 * @property {(value: number) => string} format
 * @property {string} [label]
 * @property {number[]} [splits] where to draw the grid; by default uPlot decides
 * @property {[number, number]} [range]
 *
 * @typedef {{x: number, y?: number, color: Line["color"]}} Mark a vertical line at `x`, or a point
 */

const MOST_POINTS = 30; // longer curves are drawn without a dot for each value

export class LineChart {
  /**
   * @param {HTMLElement} place
   * @param {{lines: Line[], x: Axis, y: Axis, height?: number}} options
   */
  constructor(place, { lines, x, y, height = 220 }) {
    this.place = place;
    this.options = { lines, x, y, height };
    /** @type {(number | null)[][]} */
    this.data = [[], ...lines.map(() => [])];
    /** @type {Mark[]} */
    this.marks = [];
    /** @type {any} */
    this.plot = null;
    this.legend = element("p", { class: "chart-note legend" });
    place.after(this.legend);
    this.describe(lines.map(() => ""));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    new ResizeObserver(() => this.plot?.setSize({ width: place.clientWidth, height })).observe(place);
  }

  /** Show curves: x in ascending order, and the values of each line. @param {(number | null)[][]} data */
  set(data) {
    this.data = data;
    if (this.plot) this.plot.setData(data);
    else this.draw();
  }

  /** @param {Mark[]} marks */
  mark(marks) {
    this.marks = marks;
    this.plot?.redraw(false);
  }

  /** Say more of each line, in the order of the lines. @param {string[]} texts */
  describe(texts) {
    const items = this.options.lines.map(({ label, color }, index) =>
      element(
        "span",
        { class: "legend-item" },
        element("span", { class: `swatch ${color}`, "aria-hidden": "true" }),
        [label, texts[index]].filter(Boolean).join(": "),
      ),
    );
    this.legend.replaceChildren(...items);
  }

  draw() {
    this.plot?.destroy();
    const uPlot = /** @type {any} */ (window).uPlot;
    this.plot = new uPlot(this.settings(uPlot, colors(this.place)), this.data, this.place);
  }

  /** @param {any} uPlot @param {Record<string, string>} color */
  settings(uPlot, color) {
    const { lines, x, y, height } = this.options;
    const axis = (/** @type {Axis} */ { format, label, splits }, /** @type {object} */ more) => ({
      stroke: color.muted,
      grid: { stroke: color.line, width: 1 },
      ticks: { show: false },
      font: `12px ${getComputedStyle(this.place).fontFamily}`,
      labelFont: `12px ${getComputedStyle(this.place).fontFamily}`,
      ...(label ? { label, labelSize: 20 } : {}),
      ...(splits ? { splits: () => splits } : {}),
      values: (/** @type {any} */ _, /** @type {number[]} */ at) => at.map(format),
      ...more,
    });
    return {
      width: this.place.clientWidth,
      height,
      cursor: { show: false },
      legend: { show: false },
      scales: {
        x: { time: false, ...(x.range ? { range: x.range } : {}) },
        y: y.range ? { range: y.range } : {},
      },
      axes: [axis(x, { size: 30 }), axis(y, { size: 48 })],
      series: [{}, ...lines.map((line) => seriesOf(uPlot, line, color))],
      hooks: { draw: [(/** @type {any} */ plot) => this.drawMarks(plot, color)] },
    };
  }

  /** @param {any} plot @param {Record<string, string>} color */
  drawMarks(plot, color) {
    const { ctx, bbox } = plot;
    ctx.save();
    for (const { x, y, color: name } of this.marks) {
      const left = plot.valToPos(x, "x", true);
      ctx.strokeStyle = ctx.fillStyle = color[name];
      ctx.beginPath();
      if (y === undefined) {
        ctx.lineWidth = devicePixelRatio * 1.5;
        ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
        ctx.moveTo(left, bbox.top);
        ctx.lineTo(left, bbox.top + bbox.height);
        ctx.stroke();
      } else {
        ctx.arc(left, plot.valToPos(y, "y", true), 6 * devicePixelRatio, 0, 2 * Math.PI);
        ctx.fillStyle = color.raised;
        ctx.lineWidth = devicePixelRatio * 3;
        ctx.fill();
        ctx.stroke();
      }
    }
    ctx.restore();
  }
}

/** @param {any} uPlot @param {Line} line @param {Record<string, string>} color */
function seriesOf(uPlot, { color: name, stepped }, color) {
  const series = { stroke: color[name], width: 2, spanGaps: true };
  if (!stepped) return { ...series, points: { show: (/** @type {any} */ plot) => plot.data[0].length <= MOST_POINTS, size: 6, fill: color[name] } };
  return { ...series, fill: `${color[name]}22`, paths: uPlot.paths.stepped({ align: 1 }), points: { show: false } };
}
