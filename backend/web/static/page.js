// Times in the reader's zone, fragments that keep themselves up to date, and the print button. Works on pages without any of them.
"use strict";

const inZone = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

function localTimes(root) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const when = new Date(element.dateTime);
    element.textContent = inZone.format(when);
    element.title = when.toISOString();
  }
}

async function fragment(url) {
  const answer = await fetch(url, { headers: { "X-Fragment": "1" }, credentials: "same-origin" });
  if (answer.status === 401) { window.location.reload(); }
  if (!answer.ok) { throw new Error(String(answer.status)); }
  const holder = document.createElement("template");
  holder.innerHTML = await answer.text();
  return holder.content;
}

// Replaces only the parts that differ, so that focus, open details and charts stay as they are.
function renew(target, content) {
  localTimes(content);
  const fresh = [...content.children];
  for (const [place, part] of fresh.entries()) {
    const old = part.id ? target.querySelector(`:scope > #${CSS.escape(part.id)}`) : target.children[place];
    if (!old) { target.insertBefore(part, target.children[place] ?? null); continue; }
    if ("keep" in old.dataset) { continue; }
    for (const open of old.querySelectorAll("details[open][data-key]")) {
      const again = part.querySelector(`details[data-key="${CSS.escape(open.dataset.key)}"]`);
      if (again) { again.open = true; }
    }
    if (old.contains(document.activeElement) || old.isEqualNode(part)) {
      if (old.isEqualNode(part)) { continue; }
      const focused = document.activeElement.getAttribute("href");
      old.replaceWith(part);
      if (focused) { part.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus(); }
      continue;
    }
    old.replaceWith(part);
  }
  const ids = new Set(fresh.map((part) => part.id));
  for (const old of [...target.children]) {
    if (old.id && !ids.has(old.id) && !("keep" in old.dataset)) { old.remove(); }
  }
  target.removeAttribute("aria-busy");
  document.dispatchEvent(new CustomEvent("renewed"));
}

function poll(target) {
  const every = 1000 * Number(target.dataset.every);
  let failures = 0;
  async function look() {
    if (!document.hidden) {
      try {
        renew(target, await fragment(target.dataset.poll));
        failures = 0;
      } catch {
        failures += 1;
      }
    }
    setTimeout(look, every * Math.min(2 ** failures, 20));
  }
  setTimeout(look, "now" in target.dataset ? 0 : every);
}

localTimes(document);
for (const target of document.querySelectorAll("[data-poll]")) { poll(target); }
for (const target of document.querySelectorAll("[data-load]")) {
  fragment(target.dataset.load)
    .then((content) => { localTimes(content); target.replaceChildren(content); target.removeAttribute("aria-busy"); })
    .catch(() => { target.textContent = "Label Studio could not be asked; load the page again."; });
}
for (const button of document.querySelectorAll("[data-print]")) { button.addEventListener("click", () => window.print()); }
