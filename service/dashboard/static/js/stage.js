// @ts-check
/** Images that are zoomed and panned, one or two together. */
import { LARGE_SIDE, SMALL_SIDE, overlay } from "./boxes.js";
import { element } from "./dom.js";

const STEP = 1.25;
const MAX_ZOOM = 16;
const SHARP_ZOOM = 1.5; // from here on the original's pixels are worth loading
const SHOWN_BY_BROWSERS = /^image\/(jpeg|png|webp|gif|bmp)$/;

/** One image with its boxes in a frame. */
export class Stage {
  /** @param {HTMLElement} frame */
  constructor(frame) {
    this.frame = frame;
    this.title = element("p", { class: "stage-title" });
    this.inner = element("div", { class: "shot stage-image" });
    frame.replaceChildren(this.inner, this.title);
    /** @type {any} */
    this.image = null;
  }

  /** @param {any} image @param {any[]} detections @param {number} threshold */
  show(image, detections, threshold) {
    if (this.image?.id !== image.id) {
      this.picture = element("img", {
        src: `${image.links.thumbnail}?max_side=${LARGE_SIDE}`,
        alt: image.file_name,
        draggable: "false",
      });
      this.isSharp = false;
      // most often the small one is in the browser's cache already
      const small = `${image.links.thumbnail}?max_side=${SMALL_SIDE}`;
      this.inner.style.backgroundImage = `url("${small}")`;
    }
    this.image = image;
    this.inner.replaceChildren(/** @type {Node} */ (this.picture), ...overlay(image, detections, { threshold, apart: true }));
  }

  /** @param {{zoom: number, x: number, y: number}} view centre of the frame, in shares of the image */
  place({ zoom, x, y }) {
    if (!this.image) return;
    const { clientWidth, clientHeight } = this.frame;
    const fit = Math.min(clientWidth / this.image.width, clientHeight / this.image.height);
    const [width, height] = [this.image.width * fit * zoom, this.image.height * fit * zoom];
    this.inner.style.width = `${width}px`;
    this.inner.style.height = `${height}px`;
    this.inner.style.left = `${clientWidth / 2 - x * width}px`;
    this.inner.style.top = `${clientHeight / 2 - y * height}px`;
    if (zoom >= SHARP_ZOOM) this.sharpen();
  }

  sharpen() {
    if (this.isSharp || !SHOWN_BY_BROWSERS.test(this.image.media_type)) return;
    this.isSharp = true;
    const original = new Image();
    const { id } = this.image;
    original.onload = () => {
      if (this.image.id === id && this.picture) this.picture.src = original.src;
    };
    original.src = this.image.links.content;
  }
}

/** Zoom and place of the stages that are looked at together: what moves one moves all. */
export class StageView {
  /** @param {Stage[]} stages @param {(zoom: number) => void} [onZoom] */
  constructor(stages, onZoom = () => {}) {
    this.stages = stages;
    this.onZoom = onZoom;
    this.view = { zoom: 1, x: 0.5, y: 0.5 };
    for (const { frame } of stages) {
      this.listen(frame);
      new ResizeObserver(() => this.place()).observe(frame);
    }
  }

  /** Show whole images again. */
  reset() {
    this.move(0.5, 0.5, 1);
  }

  place() {
    for (const stage of this.stages) stage.place(this.view);
    this.onZoom(this.view.zoom);
  }

  /** @param {number} factor @param {{x: number, y: number}} [at] point that stays, in shares of the image */
  zoom(factor, at = this.view) {
    const zoom = Math.min(Math.max(this.view.zoom * factor, 1), MAX_ZOOM);
    const kept = this.view.zoom / zoom;
    this.move(at.x + (this.view.x - at.x) * kept, at.y + (this.view.y - at.y) * kept, zoom);
  }

  /** @param {number} x @param {number} y @param {number} [zoom] */
  move(x, y, zoom = this.view.zoom) {
    const clamp = (/** @type {number} */ share) => Math.min(Math.max(share, 0), 1);
    this.view = zoom === 1 ? { zoom, x: 0.5, y: 0.5 } : { zoom, x: clamp(x), y: clamp(y) };
    this.place();
  }

  /** @param {HTMLElement} frame */
  listen(frame) {
    frame.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? STEP : 1 / STEP, this.pointAt(frame, event));
    });
    frame.addEventListener("dblclick", (event) => {
      if (this.view.zoom > 1) this.reset();
      else this.zoom(4, this.pointAt(frame, event));
    });
    frame.addEventListener("pointerdown", (event) => frame.setPointerCapture(event.pointerId));
    frame.addEventListener("pointermove", (event) => {
      if (!frame.hasPointerCapture(event.pointerId)) return;
      const inner = frame.querySelector(".stage-image");
      if (!inner) return;
      const { clientWidth: width, clientHeight: height } = inner;
      this.move(this.view.x - event.movementX / width, this.view.y - event.movementY / height);
    });
  }

  /** Return the point of the image under the mouse. @param {HTMLElement} frame @param {MouseEvent} event */
  pointAt(frame, event) {
    const inner = frame.querySelector(".stage-image") ?? frame;
    const place = inner.getBoundingClientRect();
    return { x: (event.clientX - place.left) / place.width, y: (event.clientY - place.top) / place.height };
  }

  /** Do what a key means here, and return whether it means anything. @param {string} key */
  onKey(key) {
    const pan = 0.15 / this.view.zoom;
    /** @type {Record<string, () => void>} */
    const keys = {
      "+": () => this.zoom(STEP),
      "=": () => this.zoom(STEP),
      "-": () => this.zoom(1 / STEP),
      0: () => this.reset(),
      h: () => this.move(this.view.x - pan, this.view.y),
      l: () => this.move(this.view.x + pan, this.view.y),
      k: () => this.move(this.view.x, this.view.y - pan),
      j: () => this.move(this.view.x, this.view.y + pan),
    };
    keys[key]?.();
    return key in keys;
  }
}
