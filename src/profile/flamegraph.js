// The script of a flame graph: zoom by click, search, icicle, state in the URL.
// It changes nothing but attributes, so that the file is right without it too.
"use strict";
(function () {
  const svg = document.documentElement;
  const frames = Array.from(document.querySelectorAll("#frames > g")).map((g) => {
    const [title, rect, text] = g.children;
    const number = (name) => Number(rect.getAttribute(name));
    return {g, title, rect, text, x: number("x"), y: number("y"), w: number("width"),
            name: title.textContent.replace(/ \([^()]* samples?, [^()]*\)$/, "")};
  });
  const pad = Number(svg.dataset.pad), full = Number(svg.dataset.width) - 2 * pad;
  const top = Number(svg.dataset.top), bottom = Number(svg.dataset.bottom);
  const charWidth = Number(svg.dataset.char), row = Number(svg.dataset.row);
  const byId = (id) => document.getElementById(id);
  let zoomed = null, found = null, icicle = svg.dataset.icicle === "1";

  function label(frame, width) {
    const room = Math.floor((width - 6) / charWidth);
    frame.text.textContent = room < 3 ? "" : room >= frame.name.length ? frame.name : frame.name.slice(0, room - 2) + "..";
  }

  // Place every frame: the zoomed one fills the width, its callers too.
  function draw() {
    const from = zoomed ? zoomed.x : pad, scale = zoomed ? full / zoomed.w : 1;
    for (const f of frames) {
      const above = zoomed && f !== zoomed && f.x <= zoomed.x + 0.01 && f.x + f.w >= zoomed.x + zoomed.w - 0.01 &&
                    (icicle0 ? f.y < zoomed.y : f.y > zoomed.y);
      const x = above ? pad : pad + (f.x - from) * scale, w = above ? full : f.w * scale;
      const hidden = !above && (x + w <= pad + 0.01 || x >= pad + full - 0.01);
      f.g.classList.toggle("hide", hidden);
      f.g.classList.toggle("parent", Boolean(above));
      if (hidden) continue;
      const y = icicle === icicle0 ? f.y : top + bottom - f.y - row;
      f.rect.setAttribute("x", x);
      f.rect.setAttribute("y", y);
      f.rect.setAttribute("width", w);
      f.text.setAttribute("x", x + 3);
      f.text.setAttribute("y", y + row - 5);
      label(f, w);
    }
    byId("unzoom").classList.toggle("hide", !zoomed);
    remember();
  }
  const icicle0 = icicle;

  // Mark what matches and say how much of the width it covers, each part once.
  function search(text) {
    let pattern = null;
    try { pattern = text ? new RegExp(text) : null; } catch (error) { pattern = null; }
    found = pattern ? text : null;
    const spans = [];
    for (const f of frames) {
      const match = pattern !== null && pattern.test(f.name);
      f.g.classList.toggle("match", match);
      if (match) spans.push([f.x, f.x + f.w]);
    }
    let covered = 0, end = -1;
    for (const [a, b] of spans.sort((p, q) => p[0] - q[0] || q[1] - p[1])) {
      if (b > end) { covered += b - Math.max(a, end); end = b; }
    }
    byId("matched").textContent = pattern ? "Matched: " + (covered / full * 100).toFixed(1) + "%" : "";
    byId("search").textContent = pattern ? "Reset Search" : "Search";
    remember();
  }

  function remember() {
    const query = new URLSearchParams();
    if (zoomed) { query.set("x", zoomed.x); query.set("y", zoomed.y); }
    if (found) query.set("s", found);
    if (icicle !== icicle0) query.set("i", "1");
    const text = query.toString();
    try { history.replaceState(null, "", text ? "?" + text : location.pathname); } catch (error) { /* a local file */ }
  }

  function ask() {
    if (found) search("");
    else search(prompt("Search the names of functions and files (a regular expression):", "") || "");
  }

  svg.addEventListener("click", (event) => {
    const g = event.target.closest("#frames > g");
    if (g) zoomed = frames.find((f) => f.g === g);
    else if (event.target.id === "unzoom") zoomed = null;
    else if (event.target.id === "search") { ask(); return; }
    else if (event.target.id === "icicle") icicle = !icicle;
    else return;
    if (zoomed && zoomed.w >= full) zoomed = null;
    draw();
  });
  svg.addEventListener("mouseover", (event) => {
    const g = event.target.closest("#frames > g");
    byId("details").textContent = g ? g.children[0].textContent : " ";
  });
  window.addEventListener("keydown", (event) => {
    if (event.key === "F3" || (event.ctrlKey && event.key === "f")) { event.preventDefault(); ask(); }
    if (event.key === "Escape") { zoomed = null; draw(); }
  });

  const query = new URLSearchParams(location.search);
  icicle = query.get("i") === "1" ? !icicle0 : icicle0;
  if (query.has("x")) {
    zoomed = frames.find((f) => f.x === Number(query.get("x")) && f.y === Number(query.get("y"))) || null;
  }
  search(query.get("s") || "");
  draw();
})();
