// @ts-check
/** Building and finding elements. Text is always set as text, so no name can become markup. */

/**
 * Return a new element.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, unknown>} [attributes] `class`, `text`, `on…` listeners, or attributes;
 *   null and false leave one out
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") made.textContent = String(value);
    else if (name.startsWith("on") && typeof value === "function") {
      made.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    } else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children);
  return made;
}

/**
 * Return the one element that has the attribute `data-NAME`.
 *
 * @param {string} name
 * @param {ParentNode} [within]
 * @returns {HTMLElement}
 */
export function part(name, within = document) {
  const found = within.querySelector(`[data-${name}]`);
  if (!(found instanceof HTMLElement)) throw new Error(`the page has no data-${name}`);
  return found;
}

/**
 * Return the input or select in a form that has this name.
 *
 * @param {HTMLFormElement} form
 * @param {string} name
 * @returns {HTMLInputElement}
 */
export function input(form, name) {
  return /** @type {HTMLInputElement} */ (form.elements.namedItem(name));
}

const SVG = "http://www.w3.org/2000/svg";

/**
 * Return a new element of SVG.
 *
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 * @param {...Node} children
 * @returns {SVGElement}
 */
export function svg(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...children);
  return made;
}
