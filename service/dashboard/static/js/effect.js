// @ts-check
/** What a training did to the false detections on sealed images, and which mined images look like them. */
import { get, withQuery } from "./api.js";
import { shotOf } from "./boxes.js";
import { element, part } from "./dom.js";
import { count, ratio } from "./format.js";

const SHOWN = 12;
const SHOWN_FAMILIES = 8;

/** Show the effect of a run in the page's `data-effect`. @param {string} run */
export async function showEffect(run) {
  const card = part("effect");
  const { thresholdBefore: threshold, thresholdAfter: threshold_after } = card.dataset;
  const query = { threshold, threshold_after, change: "vanished", limit: SHOWN };
  const effect = await get(withQuery(`/training-runs/${run}/effect`, query), { quiet: true }).catch((error) => ({ error }));
  part("effect-loading").hidden = true;
  if (effect.error) {
    part("effect-note").hidden = false;
    part("effect-note").textContent = effect.error.message;
    return;
  }
  for (const name of ["vanished", "stayed", "new"]) part(`effect-${name}`, card).textContent = count(effect[name]);
  showFamilies(effect);
  part("effect-pairs").hidden = effect.items.length === 0;
  part("effect-tiles").replaceChildren(...effect.items.map((/** @type {any} */ item) => pairOf(item)));
}

/** @param {any} effect */
function showFamilies({ families, missing_groupings: missing, parent_version: parent }) {
  part("effect-note").hidden = missing.length === 0;
  if (missing.length > 0) {
    const names = missing.join(" and ");
    const unknown = missing.includes(parent) ? "families and look-alikes are not known" : "new detections have neither families nor look-alikes";
    part("effect-note").replaceChildren(
      `The images of ${names} are not grouped, so ${unknown}. `,
      element("a", { href: "/dashboard/families", text: "Group them" }),
    );
  }
  const known = families.filter((/** @type {any} */ family) => family.number !== null).slice(0, SHOWN_FAMILIES);
  part("effect-families").hidden = known.length === 0;
  part("effect-rows").replaceChildren(
    ...known.map((/** @type {any} */ family) =>
      element(
        "tr",
        {},
        element("td", { text: `Family ${family.number}` }),
        ...["num_mined", "vanished", "stayed", "new"].map((name) => element("td", { class: "num", text: count(family[name]) })),
      ),
    ),
  );
}

/** Return a vanished detection beside the mined image that looks most like it. @param {any} item */
function pairOf({ image, before, look_alike_mined: mined }) {
  const half = (/** @type {any} */ of, /** @type {any[]} */ boxes, /** @type {string} */ words) => {
    const shot = shotOf(of, boxes, { labels: false });
    shot.style.aspectRatio = `${of.width} / ${of.height}`;
    return element("figure", { class: "tile" }, shot, element("figcaption", {}, element("span", { text: words })));
  };
  const halves = [half(image, before ? [before] : [], "vanished")];
  if (mined) halves.push(half(mined.image, [], `mined, alike ${ratio(mined.cosine)}`));
  return element("article", { class: "pair" }, ...halves);
}
