// What the pages can do without: figures that come by themselves, and commands copied with a click.
"use strict";

const EVERY_MS = 5000;
const pause = document.getElementById("pause");
const live = document.querySelectorAll("#content [data-live]").length > 0;

function isInUse(region) {
  const selection = window.getSelection();
  return region.contains(document.activeElement) || (selection && !selection.isCollapsed && region.contains(selection.anchorNode));
}

async function refresh() {
  if (document.hidden || pause.getAttribute("aria-pressed") === "true") return;
  let fresh;
  try {
    const answer = await fetch(window.location.href, { headers: { Accept: "text/html" } });
    if (answer.redirected) {
      window.location.reload(); // the session has ended: to where a key is shown
      return;
    }
    if (!answer.ok) return;
    fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  } catch {
    return; // the service is away: what is shown says as of when it is
  }
  for (const region of document.querySelectorAll("[data-live]")) {
    const other = fresh.getElementById(region.id);
    if (!other || isInUse(region) || other.innerHTML === region.innerHTML) continue;
    const open = new Set(Array.from(region.querySelectorAll("details[open]"), (each) => each.id));
    region.replaceChildren(...other.childNodes);
    for (const each of region.querySelectorAll("details")) each.open = open.has(each.id);
    offerCopies(region);
  }
}

function offerCopies(within) {
  if (!navigator.clipboard) return;
  for (const button of within.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 2000);
    });
  }
}

offerCopies(document);
if (live) {
  pause.hidden = false;
  pause.addEventListener("click", () => {
    const paused = pause.getAttribute("aria-pressed") !== "true";
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Updates are paused" : "Pause updates";
  });
  setInterval(refresh, EVERY_MS);
}
