// Sliders for ε and the price; the server asks the engine, nothing is saved.
"use strict";

const form = document.getElementById("what-if");
const table = document.getElementById("outlook");
let waiting = null;
let asked = 0;

const steps = (slider) => Number(slider.max);
// Logarithmic: each step is the same factor. The setting in force lies on the scale exactly.
function valueOf(slider) {
  const { low, high, value, start } = slider.dataset;
  if (slider.value === start) { return Number(value); }
  return Number((Number(low) * (Number(high) / Number(low)) ** (Number(slider.value) / steps(slider))).toPrecision(3));
}

function describe(slider) {
  const value = valueOf(slider);
  const text = slider.dataset.name === "target_error" ? `${+(100 * value).toPrecision(3)} %` : `${value} ${form.dataset.currency}`;
  document.getElementById(`o-${slider.dataset.name}`).value = text;
  slider.setAttribute("aria-valuetext", text);
}

function shown(kind, value) {
  if (kind === "stops") { return value ? "stop" : "go on"; }
  if (kind === "percent") { return Math.abs(value) < 0.0995 ? `${(100 * value).toFixed(1)}%` : `${(100 * value).toFixed(0)}%`; }
  if (kind === "count") { return value.toLocaleString("en-US"); }
  const digits = Math.abs(value) < 1000 ? 2 : 0;
  return `${value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })} ${form.dataset.currency}`;
}

// Numbers that are no longer what the sliders say are grey until the answer is there.
function busy(element, is) { element.setAttribute("aria-busy", String(is)); element.classList.toggle("asking", is); }

async function ask(query) {
  const answer = await fetch(`${form.dataset.url}?${query}`, { credentials: "same-origin" });
  return { answer, found: await answer.json() };
}

async function look() {
  const query = new URLSearchParams();
  for (const slider of sliders) { query.set(slider.dataset.name, valueOf(slider)); }
  const mine = ++asked;
  busy(table.parentElement, true);
  const { answer, found } = await ask(query);
  if (mine !== asked) { return; }
  busy(table.parentElement, false);
  table.nextElementSibling.textContent = answer.ok ? found.then.sentence : found.error;
  if (!answer.ok) { return; }
  for (const cell of table.querySelectorAll("[data-show]")) {
    const value = found.then[cell.dataset.show];
    const element = document.createElement("data");
    element.value = JSON.stringify(value);
    element.dataset.path = `then.${cell.dataset.show}`;
    element.textContent = shown(cell.dataset.kind, value);
    cell.replaceChildren(element);
  }
  table.dataset.asked = query.toString();
}

// The curve: the bill at some target errors, at the price that the slider has. The point is where the slider of the target stands.
const POINTS = 9;
const curve = document.getElementById("curve");
const target = document.getElementById("s-target_error");
const price = document.getElementById("s-price_per_label");
let drawn = null;
let drawing = 0;

async function drawCurve() {
  const mine = ++drawing;
  if (drawn) { busy(curve, true); }
  const found = [];
  for (let place = 0; place < POINTS; place += 1) {
    const across = place / (POINTS - 1);
    const at = Object.assign(document.createElement("input"), { type: "range", max: target.max, value: String(Math.round(across * steps(target))) });
    Object.assign(at.dataset, target.dataset);
    const query = new URLSearchParams({ target_error: valueOf(at), price_per_label: valueOf(price) });
    const asked = await ask(query);
    if (mine !== drawing) { return; }
    if (asked.answer.ok) { found.push({ across, bill: asked.found.then.total_cost, alone: asked.found.then.human_only_cost }); }
  }
  drawn = found.length > 1 ? found : null;
  busy(curve, false);
  curve.hidden = !drawn;
  if (!drawn) { return; }
  const height = (amount) => 100 * (1 - amount / most());
  curve.querySelector("polyline").setAttribute("points", drawn.map((each) => `${100 * each.across},${height(each.bill)}`).join(" "));
  const line = curve.querySelector(".alone");
  for (const end of ["y1", "y2"]) { line.setAttribute(end, height(drawn[0].alone)); }
  const words = curve.querySelector(".of-alone");
  words.setAttribute("y", 1.8 * height(drawn[0].alone) - 5);
  words.textContent = `people alone ${shown("money", drawn[0].alone)}`;
  for (const [name, share] of [["strict", target.dataset.low], ["loose", target.dataset.high]]) { curve.querySelector(`.${name}`).textContent = percent(share); }
  point();
}

function most() { return 1.12 * Math.max(...drawn.flatMap((each) => [each.bill, each.alone])); }
function percent(share) { return `${+(100 * share).toPrecision(3)} %`; }

function point() {
  if (!drawn) { return; }
  const across = Number(target.value) / steps(target);
  const after = drawn.findIndex((each) => each.across >= across);
  const [left, right] = [drawn[Math.max(after - 1, 0)], drawn[after]];
  const share = right.across > left.across ? (across - left.across) / (right.across - left.across) : 0;
  const bill = left.bill + share * (right.bill - left.bill);
  const dot = curve.querySelector("circle");
  dot.setAttribute("cx", `${100 * across}%`);
  dot.setAttribute("cy", 180 * (1 - bill / most()));
}

function drag(event) {
  if (!event.buttons) { return; }
  event.preventDefault();
  const box = curve.querySelector("svg").getBoundingClientRect();
  target.value = String(Math.round(steps(target) * Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1)));
  target.dispatchEvent(new Event("input"));
}

const apply = document.getElementById("apply");
function changed() { return sliders.filter((slider) => slider.value !== slider.dataset.start); }

async function save() {
  busy(table.parentElement, true);
  const answer = await fetch(apply.dataset.url, {
    method: "PATCH", credentials: "same-origin", headers: { "Content-Type": "application/json", "X-CSRF-Token": apply.dataset.csrf },
    body: JSON.stringify(Object.fromEntries(changed().map((slider) => [slider.dataset.name, valueOf(slider)]))),
  });
  if (answer.ok) { window.location.assign(apply.dataset.then); return; }
  busy(table.parentElement, false);
  table.nextElementSibling.textContent = (await answer.json()).detail;
}
apply?.addEventListener("click", save);
curve?.addEventListener("pointerdown", drag);
curve?.addEventListener("pointermove", drag);

const sliders = form ? [...form.querySelectorAll("input[type=range]")] : [];
for (const slider of sliders) {
  const { low, high, value } = slider.dataset;
  slider.value = String(Math.round(steps(slider) * Math.log(value / low) / Math.log(high / low)));
  slider.defaultValue = slider.dataset.start = slider.value;
  describe(slider);
  slider.addEventListener("input", () => {
    describe(slider);
    point();
    if (apply) { apply.disabled = !changed().length; }
    busy(table.parentElement, true);
    clearTimeout(waiting);
    waiting = setTimeout(() => { look(); if (slider === price) { drawCurve(); } }, 250);
  });
}
form?.addEventListener("reset", () => setTimeout(() => {
  sliders.forEach(describe);
  if (apply) { apply.disabled = true; }
  look();
  drawCurve();
}));
if (form) { drawCurve(); }
