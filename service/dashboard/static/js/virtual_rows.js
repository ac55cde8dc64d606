// @ts-check
/**
 * A long list of rows of known heights, of which only those near the window are in the page.
 *
 * The heights are known before anything is drawn, so the visible rows are found by binary search,
 * and nothing is measured while a person scrolls.
 */

const MARGIN = 900; // pixels above and below the window that are drawn ahead

export class VirtualRows {
  /**
   * @param {HTMLElement} container an empty element in the flow of the page
   * @param {(index: number) => HTMLElement} drawRow
   */
  constructor(container, drawRow) {
    this.container = container;
    this.drawRow = drawRow;
    /** @type {number[]} */
    this.tops = [0];
    /** @type {Map<number, HTMLElement>} */
    this.drawn = new Map();
    const update = () => this.update();
    window.addEventListener("scroll", update, { passive: true });
    window.addEventListener("resize", update, { passive: true });
  }

  /**
   * Set the heights of all rows.
   *
   * @param {number[]} heights
   * @param {number} [firstChanged] rows before this one look as they did
   */
  setHeights(heights, firstChanged = 0) {
    let top = 0;
    this.tops = [0, ...heights.map((height) => (top += height))];
    this.container.style.height = `${top}px`;
    this.redraw(firstChanged);
  }

  /** Draw the visible rows anew, from one row on. @param {number} [first] */
  redraw(first = 0) {
    for (const [index, row] of this.drawn) {
      if (index < first) continue;
      row.remove();
      this.drawn.delete(index);
    }
    this.update();
  }

  /** Draw the rows that have come near the window, and remove those that have left it. */
  update() {
    if (this.tops.length === 1) return;
    const above = -this.container.getBoundingClientRect().top;
    const first = this.rowAt(above - MARGIN);
    const last = this.rowAt(above + window.innerHeight + MARGIN);
    for (const [index, row] of this.drawn) {
      if (index >= first && index <= last) continue;
      if (row.contains(document.activeElement)) continue; // the focus must not get lost
      row.remove();
      this.drawn.delete(index);
    }
    for (let index = first; index <= last; index += 1) {
      if (!this.drawn.has(index)) this.place(index);
    }
  }

  /** @param {number} index */
  place(index) {
    const row = this.drawRow(index);
    row.classList.add("virtual-row");
    row.style.top = `${this.tops[index]}px`;
    this.drawn.set(index, row);
    const next = [...this.drawn.keys()].filter((drawn) => drawn > index);
    const before = next.length > 0 ? this.drawn.get(Math.min(...next)) : null;
    this.container.insertBefore(row, before ?? null); // so that Tab follows the list
  }

  /** Return the row at a distance from the container's top. @param {number} y */
  rowAt(y) {
    let [low, high] = [0, this.tops.length - 2];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (/** @type {number} */ (this.tops[middle]) <= y) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Scroll so that a row is in the window. @param {number} index @param {number} header */
  reveal(index, header = 0) {
    const start = this.container.getBoundingClientRect().top + window.scrollY;
    const top = start + (this.tops[index] ?? 0);
    const bottom = start + (this.tops[index + 1] ?? 0);
    if (top < window.scrollY + header) window.scrollTo(0, top - header);
    else if (bottom > window.scrollY + window.innerHeight) window.scrollTo(0, bottom - window.innerHeight);
    this.update();
  }
}
