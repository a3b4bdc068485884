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

async function look() {
  const query = new URLSearchParams();
  for (const slider of sliders) { query.set(slider.dataset.name, valueOf(slider)); }
  const mine = ++asked;
  const answer = await fetch(`${form.dataset.url}?${query}`, { credentials: "same-origin" });
  const found = await answer.json();
  if (mine !== asked) { return; }
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

const sliders = form ? [...form.querySelectorAll("input[type=range]")] : [];
for (const slider of sliders) {
  const { low, high, value } = slider.dataset;
  slider.value = String(Math.round(steps(slider) * Math.log(value / low) / Math.log(high / low)));
  slider.defaultValue = slider.dataset.start = slider.value;
  describe(slider);
  slider.addEventListener("input", () => { describe(slider); clearTimeout(waiting); waiting = setTimeout(look, 250); });
}
form?.addEventListener("reset", () => setTimeout(() => { sliders.forEach(describe); look(); }));
