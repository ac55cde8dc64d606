// @ts-check
/** Points on a plane, drawn on a canvas: zoom, pan, a lasso, and the point under the mouse. */

/** @typedef {{x: number, y: number}} Place */
/** @typedef {{color: string, isHollow: boolean, isFaint: boolean}} Look */

const MARGIN = 0.06; // of the canvas, around all points
const STEP = 1.25;
const MAX_ZOOM = 60;
const REACH_PX = 12;
const MANY = 5000; // more points are drawn as small squares, which takes a third of the time

export class MapCanvas {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {{onSelect: (indices: number[], adds: boolean) => void, onHover: (index: number, at: Place) => void, lookOf: (index: number) => Look}} options
   */
  constructor(canvas, options) {
    this.canvas = canvas;
    this.options = options;
    this.context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    // the places of all points, in shares of the map
    this.xs = new Float32Array(0);
    this.ys = new Float32Array(0);
    /** @type {{look: Look, indices: number[]}[]} points that look the same, drawn as one path */
    this.groups = [];
    this.extent = { x: 1, y: 1 }; // of all points, in shares of the map
    /** @type {Set<number>} */
    this.selected = new Set();
    this.view = { zoom: 1, x: 0.5, y: 0.5 }; // the point of the map in the middle of the canvas
    this.isLasso = false;
    /** @type {Place[]} */
    this.lasso = [];
    this.hovered = -1;
    this.isDrawing = false;
    this.isStale = false;
    this.listen();
  }

  /** Show other points; their places may have any unit. @param {Place[]} places */
  setPoints(places) {
    const [left, right] = rangeOf(places.map(({ x }) => x));
    const [top, bottom] = rangeOf(places.map(({ y }) => y));
    const span = Math.max(right - left, bottom - top) || 1;
    const middle = { x: (left + right) / 2, y: (top + bottom) / 2 };
    this.extent = { x: Math.max((right - left) / span, 0.1), y: Math.max((bottom - top) / span, 0.1) };
    this.xs = Float32Array.from(places, ({ x }) => 0.5 + (x - middle.x) / span);
    this.ys = Float32Array.from(places, ({ y }) => 0.5 + (y - middle.y) / span);
    this.restyle();
  }

  /** Draw, and ask again how each point looks. */
  restyle() {
    this.isStale = true;
    this.draw();
  }

  gather() {
    this.isStale = false;
    /** @type {Map<string, {look: Look, indices: number[]}>} */
    const groups = new Map();
    for (let index = 0; index < this.xs.length; index += 1) {
      const look = this.options.lookOf(index);
      const key = `${look.color} ${look.isHollow} ${look.isFaint}`;
      const group = groups.get(key);
      if (group) group.indices.push(index);
      else groups.set(key, { look, indices: [index] });
    }
    // faint ones first, below the others
    this.groups = [...groups.values()].sort((first, second) => Number(second.look.isFaint) - Number(first.look.isFaint));
  }

  listen() {
    const { canvas } = this;
    new ResizeObserver(() => this.resize()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? STEP : 1 / STEP, placeOf(event));
    });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.lasso = this.isLasso || event.shiftKey ? [placeOf(event)] : [];
    });
    canvas.addEventListener("pointermove", (event) => this.onMove(event));
    canvas.addEventListener("pointerup", (event) => this.onUp(event));
    canvas.addEventListener("pointercancel", () => this.dropLasso());
    canvas.addEventListener("pointerleave", () => this.hover(-1, { x: 0, y: 0 }));
    canvas.addEventListener("keydown", (event) => this.onKey(event));
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(this.canvas.clientWidth * ratio);
    this.canvas.height = Math.round(this.canvas.clientHeight * ratio);
    this.draw();
  }

  /** Return pixels per share of the map, and the pixel of its corner. Read it once for many points. */
  transform() {
    const { clientWidth, clientHeight } = this.canvas;
    const side = Math.min(clientWidth / this.extent.x, clientHeight / this.extent.y);
    const scale = side * (1 - 2 * MARGIN) * this.view.zoom;
    const [left, top] = [clientWidth / 2 - this.view.x * scale, clientHeight / 2 - this.view.y * scale];
    return { scale, left, top, width: clientWidth, height: clientHeight };
  }

  /** @param {Place} at in pixels @returns {Place} on the map */
  toMap({ x, y }) {
    const { scale, left, top } = this.transform();
    return { x: (x - left) / scale, y: (y - top) / scale };
  }

  /** @param {number} factor @param {Place} [at] place that stays, in pixels */
  zoom(factor, at = { x: this.canvas.clientWidth / 2, y: this.canvas.clientHeight / 2 }) {
    const kept = this.toMap(at);
    this.view.zoom = Math.min(Math.max(this.view.zoom * factor, 1), MAX_ZOOM);
    const now = this.toMap(at);
    this.move(this.view.x + kept.x - now.x, this.view.y + kept.y - now.y);
  }

  /** @param {number} x @param {number} y */
  move(x, y) {
    const isWhole = this.view.zoom === 1;
    this.view.x = isWhole ? 0.5 : Math.min(Math.max(x, 0), 1);
    this.view.y = isWhole ? 0.5 : Math.min(Math.max(y, 0), 1);
    this.draw();
  }

  /** @param {PointerEvent} event */
  onMove(event) {
    const at = placeOf(event);
    if (!this.canvas.hasPointerCapture(event.pointerId)) {
      this.hover(this.pointAt(at), at);
    } else if (this.lasso.length > 0) {
      this.lasso.push(at);
      this.draw();
    } else {
      const { scale } = this.transform();
      this.move(this.view.x - event.movementX / scale, this.view.y - event.movementY / scale);
    }
  }

  /** Select what the lasso holds, or the point that was clicked. @param {PointerEvent} event */
  onUp(event) {
    const { lasso } = this;
    this.dropLasso();
    const adds = event.ctrlKey || event.metaKey;
    if (lasso.length > 2) this.options.onSelect(this.inside(lasso), adds);
    else if (this.hovered >= 0) this.options.onSelect([this.hovered], adds);
  }

  dropLasso() {
    this.lasso = [];
    this.draw();
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const step = 60 / this.transform().scale;
    const { x, y } = this.view;
    /** @type {Record<string, () => void>} */
    const keys = {
      "+": () => this.zoom(STEP),
      "=": () => this.zoom(STEP),
      "-": () => this.zoom(1 / STEP),
      0: () => this.zoom(1 / MAX_ZOOM),
      ArrowLeft: () => this.move(x - step, y),
      ArrowRight: () => this.move(x + step, y),
      ArrowUp: () => this.move(x, y - step),
      ArrowDown: () => this.move(x, y + step),
      Enter: () => this.options.onSelect(this.inView(), false),
    };
    const act = keys[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  }

  inView() {
    const { width, height } = this.transform();
    return this.indices((x, y) => x >= 0 && y >= 0 && x <= width && y <= height);
  }

  /** @param {Place[]} polygon */
  inside(polygon) {
    const [left, right] = rangeOf(polygon.map(({ x }) => x));
    const [top, bottom] = rangeOf(polygon.map(({ y }) => y));
    return this.indices((x, y) => x >= left && x <= right && y >= top && y <= bottom && isInside({ x, y }, polygon));
  }

  /** @param {(x: number, y: number) => boolean} holds in pixels */
  indices(holds) {
    const { scale, left, top } = this.transform();
    const found = [];
    for (let index = 0; index < this.xs.length; index += 1) {
      if (holds(left + this.xAt(index) * scale, top + this.yAt(index) * scale)) found.push(index);
    }
    return found;
  }

  /** @param {number} index */
  xAt(index) {
    return /** @type {number} */ (this.xs[index]);
  }

  /** @param {number} index */
  yAt(index) {
    return /** @type {number} */ (this.ys[index]);
  }

  /** Return the point next to a place, or -1. @param {Place} at */
  pointAt(at) {
    const { scale, left, top } = this.transform();
    let [found, nearest] = [-1, REACH_PX ** 2];
    for (let index = 0; index < this.xs.length; index += 1) {
      const distance = (left + this.xAt(index) * scale - at.x) ** 2 + (top + this.yAt(index) * scale - at.y) ** 2;
      if (distance < nearest) [found, nearest] = [index, distance];
    }
    return found;
  }

  /** @param {number} index @param {Place} at */
  hover(index, at) {
    if (index !== this.hovered) {
      this.hovered = index;
      this.draw();
    }
    this.options.onHover(index, at);
  }

  /** Draw at the next frame, however often it is called. */
  draw() {
    if (this.isDrawing) return;
    this.isDrawing = true;
    requestAnimationFrame(() => {
      this.isDrawing = false;
      this.drawNow();
    });
  }

  drawNow() {
    if (this.isStale) this.gather();
    const { context, canvas } = this;
    const ratio = canvas.width / Math.max(1, canvas.clientWidth);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
    const radius = this.radius();
    for (const { look, indices } of this.groups) {
      context.globalAlpha = look.isFaint ? 0.35 : 0.9;
      context.fillStyle = context.strokeStyle = look.color;
      context.lineWidth = 1.5;
      context.beginPath();
      this.trace(indices, radius);
      if (look.isHollow) context.stroke();
      else context.fill();
    }
    context.globalAlpha = 1;
    this.drawMarks(radius);
  }

  radius() {
    const crowd = this.xs.length > MANY ? 1.7 : this.xs.length > 1000 ? 2.8 : 3.6;
    return Math.min(7, crowd * Math.sqrt(Math.sqrt(this.view.zoom)));
  }

  /** Add the outlines of points in view to the path. @param {number[]} indices @param {number} radius */
  trace(indices, radius) {
    const { context } = this;
    const { scale, left, top, width, height } = this.transform();
    const isMany = this.xs.length > MANY;
    for (const index of indices) {
      const x = left + this.xAt(index) * scale;
      const y = top + this.yAt(index) * scale;
      if (x < -radius || y < -radius || x > width + radius || y > height + radius) continue;
      if (isMany) {
        context.rect(x - radius, y - radius, 2 * radius, 2 * radius);
        continue;
      }
      context.moveTo(x + radius, y);
      context.arc(x, y, radius, 0, 2 * Math.PI);
    }
  }

  /** Draw rings around the point under the mouse, and the lasso. @param {number} radius */
  drawMarks(radius) {
    const { context } = this;
    const { color } = getComputedStyle(this.canvas);
    context.strokeStyle = color;
    if (this.hovered >= 0) {
      context.lineWidth = 2;
      context.beginPath();
      this.trace([this.hovered], radius + 3);
      context.stroke();
    }
    if (this.lasso.length < 2) return;
    context.lineWidth = 1.5;
    context.setLineDash([5, 4]);
    context.beginPath();
    for (const { x, y } of this.lasso) context.lineTo(x, y);
    context.closePath();
    context.stroke();
    context.setLineDash([]);
  }
}

/** @param {MouseEvent} event @returns {Place} */
function placeOf(event) {
  return { x: event.offsetX, y: event.offsetY };
}

/** @param {number[]} values @returns {[number, number]} */
function rangeOf(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return [low, high];
}

/** Say whether a polygon holds a point: a ray to the right crosses its edges an odd number of times. @param {Place} point @param {Place[]} polygon */
function isInside({ x, y }, polygon) {
  let holds = false;
  let before = /** @type {Place} */ (polygon.at(-1));
  for (const corner of polygon) {
    const crosses = corner.y > y !== before.y > y;
    if (crosses && x < ((before.x - corner.x) * (y - corner.y)) / (before.y - corner.y) + corner.x) holds = !holds;
    before = corner;
  }
  return holds;
}
