// Judging machine labels by key. Each judgement is stored at once; the last word on an item counts until all are judged.
"use strict";

const check = document.getElementById("check");
const items = [...check.querySelectorAll("ol > li")];
const [said, shown, trouble] = [".said", ".shown", ".error"].map((part) => check.querySelector(part));
const wrongs = document.getElementById("check-wrong");
let at = Math.max(items.findIndex((item) => !item.dataset.right), 0);
let busy = false;

function picture(item) {
  const image = new Image();
  image.src = item.dataset.image;
  image.alt = `Task ${item.dataset.task}`;
  return image;
}

function show() {
  const item = items[at];
  said.textContent = item.dataset.machine;
  if (item.dataset.right) { said.append(Object.assign(document.createElement("span"), { className: "quiet", textContent: item.dataset.right === "yes" ? " judged right" : " judged wrong" })); }
  if (item.dataset.image) { shown.replaceChildren(picture(item)); } else { shown.textContent = item.textContent; }
  check.querySelector(".buttons a").href = item.dataset.link;
  const next = items[at + 1];
  if (next?.dataset.image) { picture(next); }  // so that it is there when it is wanted
}

function list(item) {
  wrongs.querySelector(`li[data-task="${item.dataset.task}"]`)?.remove();
  if (item.dataset.right === "no") {
    const line = document.createElement("li");
    line.dataset.task = item.dataset.task;
    const link = Object.assign(document.createElement("a"), { href: item.dataset.link, target: "_blank", rel: "noreferrer", textContent: `Task ${item.dataset.task}` });
    line.append(link, `: the machine said ${item.dataset.machine}`);
    wrongs.querySelector("ul").append(line);
  }
  wrongs.hidden = !wrongs.querySelector("li");
}

async function judge(right) {
  const item = items[at];
  const task = Number(item.dataset.task);
  const body = { check: Number(check.dataset.check), right: right ? [task] : [], wrong: right ? [] : [task] };
  const answer = await fetch(check.dataset.url, {
    method: "POST", credentials: "same-origin", headers: { "Content-Type": "application/json", "X-CSRF-Token": check.dataset.csrf },
    body: JSON.stringify(body),
  });
  const found = await answer.json();
  if (!answer.ok) { throw new Error(found.detail); }
  item.dataset.right = right ? "yes" : "no";
  document.getElementById("check-done").textContent = found.n_judged;
  list(item);
  if (found.done) { window.location.reload(); return; }
  const open = items.findIndex((each, place) => place > at && !each.dataset.right);
  at = open >= 0 ? open : items.findIndex((each) => !each.dataset.right);
}

async function say(what) {
  if (busy) { return; }
  busy = true;
  trouble.hidden = true;
  try {
    if (what === "back") { at = Math.max(at - 1, 0); } else { await judge(what === "right"); }
    show();
  } catch (error) {
    trouble.textContent = `Not stored: ${error.message}. Load the page again if this stays.`;
    trouble.hidden = false;
  }
  busy = false;
}

const KEYS = { ArrowRight: "right", ArrowLeft: "wrong", ArrowUp: "back" };
check.addEventListener("keydown", (event) => {
  if (!KEYS[event.key] || event.ctrlKey || event.altKey || event.metaKey || event.repeat) { return; }
  event.preventDefault();
  say(KEYS[event.key]);
});
for (const button of check.querySelectorAll("[data-say]")) { button.addEventListener("click", () => say(button.dataset.say)); }
show();
check.focus({ preventScroll: true });
