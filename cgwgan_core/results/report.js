// The page of a run: unpacks what is wanted, draws figures as they come into view, makes one table of all crystals.
"use strict";

const all = (what, within = document) => [...within.querySelectorAll(what)];
const still = new Promise(done => addEventListener("load", () => setTimeout(done, 30))); // the first paint comes first

// ---------------------------------------------------------------- packs

const packs = {};
function unpack(name) {
  return packs[name] ??= still.then(async () => {
    const bytes = Uint8Array.from(atob(document.getElementById("pack-" + name).textContent), c => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  });
}
const json = async name => JSON.parse(await unpack(name));

// whole numbers and differences become numbers again
function fine(value) {
  if (Array.isArray(value)) return value.map(fine);
  if (value === null || typeof value !== "object") return value;
  if (!value.$) return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, fine(inner)]));
  const [decimals, ...steps] = value.$, scale = 10 ** decimals;
  let last = 0;
  return steps.map(step => step === null ? null : (last += step) / scale);
}

const once = {};
const plotly = () => once.plotly ??= unpack("plotly").then(code => {
  document.head.append(Object.assign(document.createElement("script"), { textContent: code }));
  return window.Plotly;
});
const figures = () => once.figures ??= json("figures");
const crystals = async name => {
  const pack = (await index())[name];
  return pack === undefined ? null : (once[pack] ??= json("crystals-" + pack)).then(found => found[name]);
};
const index = () => once.index ??= json("index");

// ---------------------------------------------------------------- figures

const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const touched = matchMedia("(pointer: coarse)").matches;

function themed(layout) {
  const ink = colour("--ink"), line = colour("--line"), paper = colour("--paper");
  const axis = { gridcolor: line, linecolor: line, zerolinecolor: colour("--muted"), automargin: true, color: ink };
  const space = { gridcolor: line, color: ink, backgroundcolor: "rgba(0,0,0,0)" };
  const template = { layout: {
    xaxis: axis, yaxis: axis, scene: { xaxis: space, yaxis: space, zaxis: space },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" }, margin: { l: 56, r: 12, t: 12, b: 44 },
    font: { color: ink, family: "system-ui, sans-serif", size: 12 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    hoverlabel: { bgcolor: paper, bordercolor: line, font: { color: ink }, align: "left" },
    annotationdefaults: { font: { color: ink, size: 14 } }, dragmode: touched ? false : undefined,
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--muted"), activecolor: ink },
  } };
  return { ...layout, template, autosize: true };
}

// an icosphere, whose copies are the atoms
const ball = (() => {
  const t = (1 + Math.sqrt(5)) / 2;
  let points = [[-1, t, 0], [1, t, 0], [-1, -t, 0], [1, -t, 0], [0, -1, t], [0, 1, t], [0, -1, -t], [0, 1, -t], [t, 0, -1], [t, 0, 1], [-t, 0, -1], [-t, 0, 1]];
  let sides = [[0, 11, 5], [0, 5, 1], [0, 1, 7], [0, 7, 10], [0, 10, 11], [1, 5, 9], [5, 11, 4], [11, 10, 2], [10, 7, 6], [7, 1, 8], [3, 9, 4], [3, 4, 2], [3, 2, 6], [3, 6, 8], [3, 8, 9], [4, 9, 5], [2, 4, 11], [6, 2, 10], [8, 6, 7], [9, 8, 1]];
  const unit = p => { const r = Math.hypot(...p); return p.map(x => x / r); };
  points = points.map(unit);
  for (let round = 0; round < 2; round++) {
    const middles = new Map(), finer = [];
    const middle = (a, b) => {
      const key = a < b ? a + " " + b : b + " " + a;
      if (!middles.has(key)) middles.set(key, points.push(unit(points[a].map((x, k) => x + points[b][k]))) - 1);
      return middles.get(key);
    };
    for (const [a, b, c] of sides) {
      const [d, e, f] = [middle(a, b), middle(b, c), middle(c, a)];
      finer.push([a, d, f], [b, e, d], [c, f, e], [d, e, f]);
    }
    sides = finer;
  }
  return { points, sides };
})();

// markers with a radius become spheres
function solid(trace) {
  const radius = trace.meta?.radius;
  if (!radius) return trace;
  const found = { type: "mesh3d", name: trace.name, showlegend: true, color: trace.marker.color, hovertemplate: trace.name + "<extra></extra>",
    x: [], y: [], z: [], i: [], j: [], k: [], lighting: { ambient: 0.55, diffuse: 0.6, specular: 0.35, roughness: 0.4 } };
  trace.x.forEach((_, n) => {
    const first = found.x.length;
    for (const [x, y, z] of ball.points) { found.x.push(trace.x[n] + radius * x); found.y.push(trace.y[n] + radius * y); found.z.push(trace.z[n] + radius * z); }
    for (const [i, j, k] of ball.sides) { found.i.push(first + i); found.j.push(first + j); found.k.push(first + k); }
  });
  return found;
}

async function figureOf(plot) {
  const { figure, crystal } = plot.dataset;
  const found = crystal ? (await crystals(crystal))?.figures[figure] : (await figures())[figure];
  return found && fine(found);
}
const drawn = new Map(); // plot -> the promise of its drawing
const draw = plot => drawn.get(plot) ?? drawn.set(plot, drawing(plot)).get(plot);
async function drawing(plot) {
  const [found, Plotly] = await Promise.all([figureOf(plot), plotly()]);
  if (!found || !drawn.has(plot)) return;
  plot.replaceChildren();
  if (found.layout.height) plot.style.height = found.layout.height + "px";
  const options = { displaylogo: false, responsive: true, displayModeBar: touched || plot.dataset.crystal ? false : undefined };
  await Plotly.newPlot(plot, found.data.map(solid), themed(found.layout), options);
  plot.dataset.live = found.data.some(trace => /3d$/.test(trace.type)) ? "3d" : "2d";
  highlight(plot);
  plot.on("plotly_click", event => choose(event.points[0]?.customdata));
}
function purge(plot) {
  if (plot.dataset.live !== "3d") return;
  window.Plotly.purge(plot);
  delete plot.dataset.live;
  drawn.delete(plot);
}
// few browsers hold more than 16 scenes: one that leaves the view is given up
const watch = new IntersectionObserver(entries => {
  for (const { target, isIntersecting } of entries) isIntersecting ? draw(target) : purge(target);
}, { rootMargin: "150px" });
all(".plot").forEach(plot => watch.observe(plot));

const dark = matchMedia("(prefers-color-scheme: dark)"), page = document.documentElement.classList;
function recolour() {
  page.toggle("dark", dark.matches && !page.contains("printed")); // of DataTables
  all(".plot[data-live]").forEach(plot => window.Plotly.relayout(plot, themed({})));
}
const printed = now => { page.toggle("printed", now); recolour(); };
dark.addEventListener("change", recolour);
recolour();
addEventListener("beforeprint", () => printed(true));
addEventListener("afterprint", () => printed(false));

// on paper all figures are there, scenes as pictures
async function picture() {
  printed(true);
  for (const plot of all("main .plot")) {
    await draw(plot);
    if (plot.dataset.live !== "3d") continue;
    const src = await window.Plotly.toImage(plot, { format: "png", width: plot.clientWidth, height: plot.clientHeight, scale: 2 });
    purge(plot);
    plot.replaceChildren(Object.assign(new Image(), { src, alt: plot.ariaLabel }));
    drawn.set(plot, Promise.resolve());
  }
}
function revive() {
  printed(false);
  for (const still of all("main .plot > img")) {
    const plot = still.parentElement;
    plot.replaceChildren();
    drawn.delete(plot);
    watch.unobserve(plot);
    watch.observe(plot);
  }
}
document.getElementById("print").addEventListener("click", () => picture().then(() => print()).then(revive));

// ---------------------------------------------------------------- cards

document.addEventListener("click", async event => {
  const button = event.target.closest("button[data-cell], button[data-cif], a[data-open], button[data-close]");
  if (!button) return;
  if (button.dataset.cell) {
    const plot = button.closest(".look").querySelector(".plot");
    all("button[data-cell]", button.parentElement).forEach(other => other.setAttribute("aria-pressed", other === button));
    purge(plot);
    plot.dataset.figure = button.dataset.cell;
    draw(plot);
  } else if (button.dataset.cif) {
    const { cif, file } = await crystals(button.dataset.cif);
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(new Blob([cif], { type: "chemical/x-cif" })), download: file });
    link.click();
    URL.revokeObjectURL(link.href);
  } else if (button.dataset.open) {
    event.preventDefault();
    open(button.dataset.open);
  } else {
    button.closest("dialog").close();
  }
});

async function open(name) {
  const found = await crystals(name), dialog = document.getElementById("sheet");
  if (!found) return;
  dialog.querySelector(".inside").innerHTML = found.html;
  dialog.showModal();
  all(".plot", dialog).forEach(draw);
}
document.getElementById("sheet").addEventListener("close", event => {
  all(".plot", event.target).forEach(plot => { if (plot.dataset.live) window.Plotly.purge(plot); drawn.delete(plot); });
  event.target.querySelector(".inside").replaceChildren();
});

// ---------------------------------------------------------------- table

const selected = new Set();
let table;

// what is selected is ringed in all figures that show it
function highlight(plot) {
  if (!plot.dataset.live) return;
  const rings = plot.data.flatMap((trace, n) => trace.name === "selected" ? [n] : []);
  if (rings.length) window.Plotly.deleteTraces(plot, rings);
  const chosen = { x: [], y: [], z: [] };
  let deep = false;
  for (const trace of plot.data) trace.customdata?.forEach?.((name, n) => {
    if (!selected.has(name)) return;
    deep = trace.type === "scatter3d";
    for (const axis of "xyz") if (trace[axis]) chosen[axis].push(trace[axis][n]);
  });
  if (chosen.x.length) window.Plotly.addTraces(plot, { ...chosen, type: deep ? "scatter3d" : "scatter", mode: "markers", name: "selected", hoverinfo: "skip",
    marker: { size: deep ? 12 : 15, symbol: "circle-open", color: colour("--pick"), line: { width: 3, color: colour("--pick") } } });
}

function choose(name) {
  if (!name || !table) return;
  table.rows((_, row) => row[row.length - 1] === name).select();
}

const subscripts = text => text.replace(/\d+/g, "<sub>$&</sub>");
const escaped = text => String(text).replace(/[&<>"]/g, c => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
function shown(column, cards) {
  return (value, kind, row) => {
    if (kind === "sort" || kind === "type") return value ?? (column.digits === null ? "" : 1e99);
    if (kind !== "display") return value ?? "";
    if (value === null) return "–";
    // adding zero makes −0 a zero
    if (column.digits !== null) return (Number(value.toFixed(column.digits)) + 0).toFixed(column.digits).replace("-", "−");
    const text = column.key === "formula" ? subscripts(escaped(value)) : escaped(value);
    const name = escaped(row[row.length - 1]);
    return column.key === "formula" && cards.has(row[row.length - 1]) ? `<a href="#all" data-open="${name}">${text}</a>` : text;
  };
}

async function tabulate() {
  const place = document.getElementById("crystals");
  if (!place) return;
  const [content, cards, code, style] = await Promise.all([json("table"), index(), unpack("datatables"), unpack("datatables-css")]);
  document.head.prepend(Object.assign(document.createElement("style"), { textContent: style }));
  const { ITable, jQuery } = await import(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
  const names = new Map(Object.entries(cards));
  const DataTable = jQuery.fn.dataTable;
  const made = new DataTable(place, {
    data: content.rows,
    columns: content.columns.map(column => ({
      title: column.head + (column.unit ? `<small>${escaped(column.unit)}</small>` : ""), visible: column.shown, name: column.key,
      type: column.digits === null ? "string" : "num", searchable: column.digits === null, className: column.digits === null ? "text-" + column.key : "number", render: shown(column, names),
    })),
    deferRender: true, order: [], pageLength: 25, lengthMenu: [25, 100, 500], autoWidth: false, select: { style: "os", info: true },
    searchDelay: 0,
    layout: {
      topStart: { buttons: [
        { extend: "searchBuilder", text: "Filter" },
        { extend: "colvis", text: "Columns" },
        { extend: "csvHtml5", text: "CSV", filename: "crystals", exportOptions: { orthogonal: "filter", modifier: { selected: null }, format: { header: (_, n) => content.columns[n].key } } },
        { text: "Selected only", action: (_, dt) => { only = !only; dt.draw(); } },
        { text: "None selected", action: (_, dt) => dt.rows().deselect() },
      ] },
      topEnd: "search", bottomStart: ["info", "pageLength"], bottomEnd: "paging",
    },
    language: { emptyTable: "No crystal was relaxed.", search: "Search", info: "_START_ to _END_ of _TOTAL_", searchBuilder: { button: { 0: "Filter", _: "Filter (%d)" } } },
  });
  let only = false;
  DataTable.ext.search.push((settings, _, n) => !only || settings.nTable !== place || selected.has(content.rows[n].at(-1)));
  table = made;
  content.columns.forEach((column, n) => made.column(n).header().setAttribute("title", column.told));
  made.on("select deselect", () => {
    selected.clear();
    for (const row of made.rows({ selected: true }).data().toArray()) selected.add(row[row.length - 1]);
    all(".plot[data-live]").forEach(highlight);
  });
  place.dataset.ready = "yes";
}
const soon = new IntersectionObserver((entries, self) => {
  if (entries.some(entry => entry.isIntersecting)) { self.disconnect(); tabulate(); }
}, { rootMargin: "800px" });
all("#all").forEach(section => soon.observe(section));
