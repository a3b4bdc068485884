// The campaign's charts, drawn by plotly.js from /series; drawn again when the history has grown or the colour scheme changes.
"use strict";

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const { plotly, plotlyId } = document.currentScript.dataset;
let loading = null;
let shown = null;
let data = null;

const FIRST_PAINT = "first-contentful-paint";
function painted() {
  return new Promise((done) => {
    const watch = new PerformanceObserver((seen) => {
      if (seen.getEntriesByName(FIRST_PAINT).length) { watch.disconnect(); done(); }
    });
    watch.observe({ type: "paint", buffered: true });
  });
}

// The library is large: it is fetched once something can be drawn, and after the page has been painted.
function library() {
  loading ??= painted().then(() => new Promise((done, failed) => {
    const script = document.createElement("script");
    Object.assign(script, { id: plotlyId, src: plotly, onload: done, onerror: failed });
    document.head.append(script);
  }));
  loading.catch(() => { loading = null; });
  return loading;
}

function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim(); }
function faint(hex, share) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt((hex.length === 4 ? hex.replace(/[0-9a-f]/gi, "$&$&") : hex).slice(at, at + 2), 16));
  return `rgba(${r},${g},${b},${share})`;
}

function layout(more) {
  const axis = { gridcolor: colour("line"), zerolinecolor: colour("line"), linecolor: colour("line"), tickfont: { size: 12 }, automargin: true, fixedrange: true };
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: colour("soft"), family: getComputedStyle(document.body).fontFamily, size: 12 },
    margin: { l: 8, r: 12, t: 8, b: 92 }, showlegend: true, legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0, font: { size: 12 } }, hovermode: "closest",
    hoverlabel: { bgcolor: colour("card"), bordercolor: colour("line"), font: { color: colour("ink") } }, dragmode: false,
    ...more, xaxis: { ...axis, ...more.xaxis }, yaxis: { ...axis, ...more.yaxis },
  };
}

function draw(id, traces, more) {
  window.Plotly.react(id, traces, layout(more), { displayModeBar: false, responsive: true, staticPlot: false, doubleClick: false });
}

function forecast() {
  const points = data.forecast;
  const x = points.map((p) => p.n_train);
  const banded = points.filter((p) => p.low !== null);
  const money = `%{y:,.2f} ${data.currency}`;
  const traces = [];
  if (banded.length) {
    const across = banded.map((p) => p.n_train);
    traces.push({
      x: [...across, ...across.slice().reverse()], y: [...banded.map((p) => p.high), ...banded.map((p) => p.low).reverse()],
      fill: "toself", fillcolor: faint(colour("train"), 0.16), line: { width: 0 }, mode: "lines", hoverinfo: "skip", name: "90% band",
    });
  }
  traces.push({ x, y: points.map((p) => p.total_cost), mode: "lines+markers", line: { color: colour("train"), width: 2.5 }, marker: { size: 6 }, name: "forecast total", hovertemplate: `forecast ${money}<extra></extra>` });
  traces.push({ x, y: points.map((p) => p.total_cost_now), mode: "lines", line: { color: colour("machine"), width: 1.5, dash: "dot" }, name: "finishing now", hovertemplate: `finishing now ${money}<extra></extra>` });
  traces.push({ x, y: points.map((p) => p.spent), mode: "lines", line: { color: colour("soft"), width: 1.5 }, name: "spent", hovertemplate: `spent ${money}<extra></extra>` });
  const most = Math.max(...points.map((p) => Math.max(p.total_cost, p.high ?? 0, p.total_cost_now)));
  const shapes = [], annotations = [];
  if (data.human_only !== null) {
    shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: data.human_only, y1: data.human_only, line: { color: colour("bad"), width: 1.2, dash: "dash" } });
    annotations.push({ xref: "paper", x: 1, xanchor: "right", y: data.human_only, yanchor: "bottom", text: "people alone", showarrow: false, font: { color: colour("bad"), size: 12 } });
  }
  draw("chart-forecast", traces, {
    shapes, annotations, xaxis: { title: { text: "training labels |B|", standoff: 8 } },
    yaxis: { title: { text: data.currency, standoff: 8 }, rangemode: "tozero", range: [0, 1.12 * Math.max(most, data.human_only ?? 0)] },
  });
}

function errors() {
  const hues = ["certificate", "machine", "train", "test", "bad"].map(colour);
  const traces = [];
  for (const [place, curve] of data.curves.entries()) {
    const name = curve.theta === null ? "whole pool" : `θ = ${Math.round(100 * curve.theta)} %`;
    const hover = `${name}, |B| = %{x:,}: %{y:.2%}<extra></extra>`;
    const floor = (values) => values.map((value) => Math.max(value, 1e-4));
    traces.push({ x: curve.n_train, y: floor(curve.error), mode: "markers", marker: { color: hues[place], size: 6 }, name, legendgroup: name, showlegend: !curve.fit_n_train.length, hovertemplate: hover });
    if (curve.fit_n_train.length) {
      traces.push({ x: curve.fit_n_train, y: floor(curve.fit_error), mode: "lines", line: { color: hues[place], width: 2 }, name, legendgroup: name, hoverinfo: "skip" });
    }
  }
  document.getElementById("fit-note").textContent = data.fit === null ? "Dots are counted on the test set, lines are the fitted power laws; a count of zero is drawn at 0.01 %." : `Dots are counted on the test set. No fit yet: ${data.fit}.`;
  draw("chart-errors", traces, {
    shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: data.target_error, y1: data.target_error, line: { color: colour("ink"), width: 1.2, dash: "dash" } }],
    annotations: [{ xref: "paper", x: 1, xanchor: "right", y: Math.log10(data.target_error), yanchor: "bottom", text: `ε = ${+(100 * data.target_error).toPrecision(3)} %`, showarrow: false, font: { color: colour("ink"), size: 12 } }],
    xaxis: { title: { text: "training labels |B|", standoff: 8 }, type: "log", dtick: "D2", tickformat: "~s" },
    yaxis: { title: { text: "wrong, of all items", standoff: 8 }, type: "log", tickformat: "~p", dtick: 1 },
  });
}

function race() {
  const figure = document.getElementById("race-figure");
  figure.hidden = data.race.length < 2;
  if (figure.hidden) { return; }
  const hues = ["train", "machine", "test", "aside"].map(colour);
  const traces = data.race.map((each, place) => ({
    x: each.rounds, y: each.accuracy, mode: "lines+markers", name: each.out ? `${each.classifier} (out)` : each.classifier,
    line: { color: hues[place % hues.length], dash: each.out ? "dot" : "solid", width: 2.5 },
    customdata: each.training_seconds, hovertemplate: "%{y:.1%} right, %{customdata:.1f} s<extra></extra>",
  }));
  draw("chart-race", traces, { xaxis: { title: { text: "round" }, dtick: 1 }, yaxis: { title: { text: "right on the test set" }, tickformat: ".0%" } });
}

function render() {
  const section = document.getElementById("charts");
  section.hidden = !data.forecast.length && !data.curves.length;
  if (section.hidden) { return; }
  if (data.forecast.length) { forecast(); }
  if (data.curves.length) { errors(); }
  race();
}

async function refresh() {
  const section = document.getElementById("charts");
  const seq = document.getElementById("now")?.dataset.seq;
  if (!section || seq === undefined || seq === shown) { return; }
  shown = seq;
  try {
    const answer = await fetch(section.dataset.url, { credentials: "same-origin" });
    if (!answer.ok) { throw new Error(String(answer.status)); }
    data = await answer.json();
    if (data.forecast.length || data.curves.length) { await library(); }
    render();
  } catch {
    shown = null;
  }
}

document.addEventListener("renewed", refresh);
dark.addEventListener("change", () => { if (data && window.Plotly) { render(); } });
refresh();
