// @ts-check
/** What every page does: the menu on a phone, the sheet of shortcuts, and going to other pages. */
import { part } from "./dom.js";
import { addShortcuts, showShortcuts } from "./shortcuts.js";

const menu = part("menu");
menu.addEventListener("click", () => {
  const isOpen = menu.getAttribute("aria-expanded") !== "true";
  menu.setAttribute("aria-expanded", String(isOpen));
  menu.closest(".sidebar")?.classList.toggle("open", isOpen);
});

part("shortcuts").addEventListener("click", showShortcuts);
addShortcuts({ key: "?", does: "Show the shortcuts", run: showShortcuts });
for (const link of document.querySelectorAll("[data-go]")) {
  if (!(link instanceof HTMLAnchorElement)) continue;
  addShortcuts({
    key: `g ${link.dataset.go}`,
    does: `Go to ${link.textContent}`,
    run: () => location.assign(link.href),
  });
}
