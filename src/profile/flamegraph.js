// The script of a flame graph: zoom by click, search, icicle, keyboard, state in the URL's hash.
// It changes nothing but attributes, so that the file is right without it too.
"use strict";
(function () {
  const svg = document.documentElement, data = svg.dataset;
  const pad = Number(data.pad), full = Number(data.width) - 2 * pad;
  const top = Number(data.top), bottom = Number(data.bottom), row = Number(data.row);
  const charWidth = Number(data.char), labelPad = Number(data.label);
  const icicle0 = data.icicle === "1";
  const byId = (id) => document.getElementById(id);
  let zoomed = null, chosen = null, found = "", icicle = icicle0;

  // "path/file.py:name:3" and "path/file.py:name" are shown as "name file.py:3".
  function labelOf(name) {
    const parts = /^(.*?):([^:]+)(:\d+)?$/.exec(name) || [];
    const file = parts[1] || "";
    if (!(file.includes("/") || file.includes(".") || file.startsWith("<"))) return name;
    return parts[2] + " " + file.slice(file.lastIndexOf("/") + 1) + (parts[3] || "");
  }

  const frames = Array.from(document.querySelectorAll("#frames > g")).map((g, index) => {
    const [title, rect, text] = g.children;
    const number = (name) => Number(rect.getAttribute(name));
    const about = title.textContent, cut = about.lastIndexOf(" (");
    const name = about.slice(0, cut);
    title.remove();  // the tip shows it
    return {g, index, rect, text, name, label: labelOf(name), about: about.slice(cut + 2, -1),
            x: number("x"), y: number("y"), w: number("width"),
            depth: (icicle0 ? number("y") - top : bottom - row - number("y")) / row};
  });
  const frameOf = new Map(frames.map((f) => [f.g, f]));

  function clip(text, width) {
    const room = Math.floor((width - 2 * labelPad) / charWidth);
    return room < 3 ? "" : room >= text.length ? text : text.slice(0, room - 1) + "\u2026";
  }
  const holds = (outer, inner) => outer.depth < inner.depth && outer.x <= inner.x + 0.01 &&
                                  outer.x + outer.w >= inner.x + inner.w - 0.01;

  // Place every frame: the zoomed one fills the width, and so do its callers.
  function draw() {
    const from = zoomed ? zoomed.x : pad, scale = zoomed ? full / zoomed.w : 1;
    for (const f of frames) {
      const isCaller = zoomed !== null && holds(f, zoomed);
      const x = isCaller ? pad : pad + (f.x - from) * scale, w = isCaller ? full : f.w * scale;
      const isHidden = !isCaller && zoomed !== null && f !== zoomed &&
                       (f.depth <= zoomed.depth || x + w <= pad + 0.01 || x >= pad + full - 0.01);
      f.g.classList.toggle("hide", isHidden);
      f.g.classList.toggle("parent", isCaller);
      if (isHidden) continue;
      const y = icicle ? top + f.depth * row : bottom - (f.depth + 1) * row;
      f.rect.setAttribute("x", x);
      f.rect.setAttribute("y", y);
      f.rect.setAttribute("width", w);
      f.text.setAttribute("x", x + labelPad);
      f.text.setAttribute("y", y + row - 5.5);
      f.text.textContent = clip(f.label, w);
    }
    byId("unzoom").classList.toggle("hide", zoomed === null);
    remember();
  }

  // Mark what matches and say how much of the width it covers, each part once.  A pattern without
  // a capital letter matches both cases.
  function search(text) {
    let pattern = null;
    try { pattern = text ? new RegExp(text, text === text.toLowerCase() ? "i" : "") : null; } catch { /* not one */ }
    found = pattern ? text : "";
    const spans = [];
    for (const f of frames) {
      const isMatch = pattern !== null && pattern.test(f.name);
      f.g.classList.toggle("match", isMatch);
      if (isMatch) spans.push([f.x, f.x + f.w]);
    }
    let covered = 0, end = -1;
    for (const [a, b] of spans.sort((p, q) => p[0] - q[0] || q[1] - p[1])) {
      if (b > end) { covered += b - Math.max(a, end); end = b; }
    }
    byId("matched").textContent = pattern ? "Matched: " + (covered / full * 100).toFixed(1) + "%"
                                          : text ? "Not a regular expression" : "";
    byId("search").textContent = pattern ? "Reset search" : "Search";
    remember();
  }

  function ask() {
    const text = prompt("Search in files and functions (a regular expression):", found);
    if (text !== null) search(text);
  }

  function zoom(frame) {
    zoomed = frame && frame.w < full - 0.01 ? frame : null;
    draw();
  }

  function flip() {
    icicle = !icicle;
    draw();
  }

  // ---- what is under the mouse, or chosen by the keys ----

  const tip = document.createElementNS(svg.namespaceURI, "g");
  tip.id = "tip";
  tip.classList.add("hide");
  tip.append(...["rect", "text", "text"].map((name) => document.createElementNS(svg.namespaceURI, name)));
  svg.append(tip);

  function tell(frame, x, y) {
    tip.classList.toggle("hide", !frame || x === undefined);
    byId("details").textContent = frame ? frame.name + " (" + frame.about + ")" : " ";
    if (!frame || x === undefined) return;
    const [box, first, second] = tip.children;
    first.textContent = frame.name.length > 110 ? "\u2026" + frame.name.slice(-109) : frame.name;
    second.textContent = frame.about;
    const width = Math.max(first.getComputedTextLength(), second.getComputedTextLength()) + 16;
    const left = Math.max(2, Math.min(x + 12, pad * 2 + full - width - 2));
    const above = y > bottom - 3 * row ? y - 50 : y + 16;
    for (const [node, dx, dy] of [[box, 0, 0], [first, 8, 16], [second, 8, 32]]) {
      node.setAttribute("x", left + dx);
      node.setAttribute("y", above + dy);
    }
    box.setAttribute("width", width);
    box.setAttribute("height", 40);
    box.setAttribute("rx", 4);
  }

  function choose(frame) {
    if (chosen) chosen.g.classList.remove("chosen");
    chosen = frame || chosen;
    if (!chosen) return;
    chosen.g.classList.add("chosen");
    tell(chosen);
    chosen.rect.scrollIntoView({block: "nearest"});
  }

  // Up and down are those of the picture.
  function move(key) {
    const now = chosen || zoomed || frames[0];
    if (!now) return;
    if (!chosen) { choose(now); return; }
    const outward = (key === "ArrowUp") === icicle;
    const seen = frames.filter((f) => !f.g.classList.contains("hide"));
    const inside = (f) => holds(now, f) && f.depth === now.depth + 1;
    const caller = (f) => holds(f, now) && f.depth === now.depth - 1;
    if (key === "ArrowLeft") choose(seen.filter((f) => f.depth === now.depth && f.x < now.x).pop());
    else if (key === "ArrowRight") choose(seen.find((f) => f.depth === now.depth && f.x > now.x));
    else if (outward) choose(seen.find(caller));
    else choose(seen.filter(inside).sort((a, b) => b.w - a.w)[0]);
  }

  // ---- events ----

  svg.addEventListener("click", (event) => {
    const g = event.target.closest("#frames > g");
    if (g) zoom(frameOf.get(g));
    else if (event.target.id === "unzoom") zoom(null);
    else if (event.target.id === "search") { if (found) search(""); else ask(); }
    else if (event.target.id === "icicle") flip();
  });
  svg.addEventListener("mousemove", (event) => {
    const g = event.target.closest("#frames > g");
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    if (g) tell(frameOf.get(g), at.x, at.y); else tell(null);
  });
  svg.addEventListener("mouseleave", () => tell(null));
  window.addEventListener("keydown", (event) => {
    const isCommand = event.ctrlKey || event.metaKey;
    if (event.key === "F3" || event.key === "/" || (isCommand && event.key === "f")) ask();
    else if (isCommand || event.altKey) return;
    else if (event.key === "Escape") { search(""); zoom(null); }
    else if (event.key === "Enter" && chosen) zoom(chosen);
    else if (event.key === "Backspace") zoom(null);
    else if (event.key === "i") flip();
    else if (event.key.startsWith("Arrow")) move(event.key);
    else return;
    event.preventDefault();
  });

  // ---- the state, in the URL's hash ----

  let isReading = false;

  function remember() {
    if (isReading) return;
    const state = new URLSearchParams();
    if (zoomed) state.set("z", zoomed.index);
    if (found) state.set("s", found);
    if (icicle !== icicle0) state.set("i", "1");
    const text = state.toString();
    try { history.replaceState(null, "", text ? "#" + text : location.pathname + location.search); } catch { /* not here */ }
  }

  function recall() {
    const state = new URLSearchParams(location.hash.slice(1));
    isReading = true;
    icicle = (state.get("i") === "1") !== icicle0;
    zoomed = state.has("z") ? frames[Number(state.get("z"))] || null : null;
    search(state.get("s") || "");
    draw();
    isReading = false;
  }
  window.addEventListener("hashchange", recall);
  recall();
})();
