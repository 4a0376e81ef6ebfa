// Keeps the dashboard up to date: when something happens, the page is fetched again and the
// parts marked data-live are replaced. Open details stay open; forms are not touched.
"use strict";
let running = false;
let again = false;
async function refresh() {
  if (running) { again = true; return; }
  running = true;
  try {
    const reply = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (reply.ok) replace(new DOMParser().parseFromString(await reply.text(), "text/html"));
  } catch { /* The emulator stopped; the event source will find it again. */ }
  running = false;
  if (again) { again = false; refresh(); }
}
function replace(fresh) {
  for (const part of document.querySelectorAll("[data-live]")) {
    const newer = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
    if (!newer || newer.innerHTML === part.innerHTML || part.contains(document.activeElement) && part.querySelector("form")) continue;
    const open = [...part.querySelectorAll("details[open]")].map((each) => each.id);
    for (const id of open) newer.querySelector(`#${CSS.escape(id)}`)?.setAttribute("open", "");
    const focused = part.contains(document.activeElement) ? document.activeElement.closest("[id]")?.id : null;
    part.replaceChildren(...newer.childNodes);
    if (focused) document.querySelector(`#${CSS.escape(focused)} summary`)?.focus();
  }
}
function openTarget() {
  const target = document.getElementById(location.hash.slice(1));
  if (target?.localName === "details") { target.open = true; target.scrollIntoView(); }
}
const source = new EventSource("/_emulator/events");
let first = true;
source.onmessage = () => { if (!first) refresh(); first = false; };
addEventListener("hashchange", openTarget);
openTarget();
