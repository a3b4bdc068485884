// What the first queue will ask for, worked out by the server as the fields are filled in.
"use strict";

const box = document.getElementById("estimate");
const form = document.getElementById("settings-form");
let waiting = null;
let asked = 0;

function texts(found) {
  const count = (value) => value.toLocaleString("en-US");
  const money = (value) => `${value.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 })} ${found.currency}`;
  return {
    human_only_cost: money(found.human_only_cost), n_test: `${count(found.n_test)} items`, n_train: `${count(found.n_train)} items`,
    first_cost: money(found.first_cost), allowed_errors: `${count(found.allowed_errors)} of ${count(found.n_items)}`,
    smallest_certificate: found.smallest_certificate === null ? "none" : `from ${count(found.smallest_certificate)} items`,
  };
}

async function look() {
  const settings = {};
  for (const [name, text] of new FormData(form)) {
    if (name !== "csrf" && text.trim()) { settings[name] = name in settings ? `${settings[name]},${text.trim()}` : text.trim(); }
  }
  if (!settings.target_error || !settings.price_per_label) { return; }
  const mine = ++asked;
  const answer = await fetch(box.dataset.url, {
    method: "POST", credentials: "same-origin", headers: { "Content-Type": "application/json", "X-CSRF-Token": box.dataset.csrf },
    body: JSON.stringify({ project: Number(box.dataset.project), settings }),
  });
  const found = await answer.json();
  if (mine !== asked) { return; }
  const shown = answer.ok ? texts(found) : {};
  for (const cell of box.querySelectorAll("[data-show]")) {
    cell.textContent = shown[cell.dataset.show] ?? "–";
    cell.dataset.value = answer.ok ? JSON.stringify(found[cell.dataset.show]) : "";
  }
  box.querySelector("[data-say]").textContent = answer.ok ? ["How many certificate items there are is decided by money at the end; this is the least that can certify anything.", ...found.warnings].join(" ") : found.error;
}

form.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(look, 300); });
look();
