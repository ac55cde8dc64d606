// @ts-check
/** One version: the curves of its training, and the images that were mined into it. */
import { prepareActivation } from "./activation.js";
import { get, withQuery } from "./api.js";
import { shotOf, surest } from "./boxes.js";
import { element, part } from "./dom.js";
import { showEffect } from "./effect.js";
import { score } from "./format.js";
import { TrainingCurves } from "./training_curves.js";

const PAGE_SIZE = 24;
const page = part("version");
const { run } = page.dataset;

async function drawCurves() {
  if (!page.querySelector('[data-chart="loss"]')) return;
  const { history } = await get(`/training-runs/${run}`);
  new TrainingCurves(page).add(...history);
}

/** @param {number} offset */
async function showMined(offset) {
  const tiles = part("mined");
  const more = /** @type {HTMLButtonElement} */ (part("mined-more"));
  more.hidden = true;
  const answer = await get(withQuery(`/training-runs/${run}/mined`, { offset, limit: PAGE_SIZE })).catch(() => null);
  part("mined-loading").hidden = answer !== null;
  if (!answer) {
    part("mined-loading").textContent = "The images could not be loaded. Load the page again to try once more.";
    return;
  }
  tiles.append(...answer.items.map(tileOf));
  more.hidden = answer.next_offset === null;
  more.onclick = () => showMined(answer.next_offset);
}

/** @param {any} item */
function tileOf({ image, before, now }) {
  const words = `${score(before.max_score)} → ${score(now.max_score)}`;
  return element(
    "figure",
    { class: "tile" },
    shotOf(image, surest(before.detections), { labels: false }),
    element(
      "figcaption",
      {},
      element("span", { text: words, title: image.file_name }),
    ),
  );
}

prepareActivation();
if (run) drawCurves();
if (run && page.querySelector("[data-effect]")) showEffect(run);
if (page.querySelector("[data-mined]")) showMined(0);
