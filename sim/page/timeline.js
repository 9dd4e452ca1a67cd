// The picture: volumes, nodes and clients over time. What does not change as the
// cursor moves is drawn once.

const canvas = $("line"), pen = canvas.getContext("2d"), still = document.createElement("canvas");
const gutter = 74, head = 20, volumeRow = 24, nodeRow = 60, clientRow = 21, margin = 8;
const bandHeight = 14, diskTop = 18, diskHeight = 16;
const clientRows = D.clients + D.volumes; // the final readers come last
const volumeY = v => head + v * volumeRow;
const nodeY = n => head + D.volumes * volumeRow + 8 + n * nodeRow;
const clientY = c => nodeY(D.nodes) - 14 + Math.min(c, clientRows - 1) * clientRow;
const height = clientY(clientRows - 1) + clientRow + 6;
const endTime = events.length ? events[events.length - 1].t : 1;
let width = 800, from = 0, to = 1; // what is seen, on the squeezed scale
let hits = []; // what the mouse can find: {x, y, w, h, s}, the last one on top
let arrows = []; // messages that are drawn: {x0, y0, x1, y1, s}

// Time in which little happens is squeezed: squeeze goes to the scale of the
// picture, real goes back.
const scale = (() => {
  const busy = events.filter(s => !["disk", "note", "txn", "io"].includes(s.k) && !(s.k === "msg" && routine.has(s.m)));
  const most = Math.max(2e6, endTime / 60), times = [0], places = [0], gaps = [];
  for (const t of [...busy.map(s => s.t), endTime]) {
    const last = times.length - 1, gap = t - times[last];
    if (gap <= 0) continue;
    if (gap > 3 * most) gaps.push([times[last], t]);
    places.push(places[last] + Math.min(gap, most));
    times.push(t);
  }
  const map = (a, b, x) => {
    let low = 0, high = a.length - 1;
    if (high === 0 || x >= a[high]) return b[high] + x - a[high];
    while (high - low > 1) { const m = (low + high) >> 1; if (a[m] <= x) low = m; else high = m; }
    return b[low] + (x - a[low]) / (a[high] - a[low]) * (b[high] - b[low]);
  };
  return { gaps, squeeze: t => map(times, places, t), real: u => u < 0 ? 0 : map(places, times, u) };
})();

const xOf = t => gutter + (scale.squeeze(t) - from) / (to - from) * (width - gutter - margin);
const placeOf = x => from + (x - gutter) / (width - gutter - margin) * (to - from);

let colours = {};
function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const c of ["ground", "text", "dim", "line", "soft", "bad", "fault", "epoch", "runs", "still", "dead", "dark", "onband", "read", "write", "flush", "message", "data", "disk"])
    colours[c] = style.getPropertyValue("--" + c).trim();
}

function write(g, text, x, y, colour, room) {
  if (room !== undefined && room < 14) return;
  g.save();
  g.fillStyle = colour;
  if (room !== undefined) { g.beginPath(); g.rect(x, y - 12, room, 16); g.clip(); }
  g.fillText(text, x, y);
  g.restore();
}

function box(g, x, y, w, h, colour, s) {
  const left = Math.max(x, gutter), right = Math.min(x + w, width);
  if (right < left) return;
  g.fillStyle = colour;
  g.fillRect(left, y, Math.max(1, right - left), h);
  if (s) hits.push({ x: left, y, w: Math.max(3, right - left), h, s });
}

// drawStill draws all but the cursor.
function drawStill() {
  const ratio = devicePixelRatio || 1;
  width = canvas.clientWidth;
  for (const c of [canvas, still]) { c.width = width * ratio; c.height = height * ratio; }
  canvas.style.height = height + "px";
  const g = still.getContext("2d");
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, width, height);
  g.font = "11px system-ui, sans-serif";
  hits = [];
  arrows = [];
  drawRows(g);
  g.save();
  g.beginPath();
  g.rect(gutter, 0, width - gutter, height);
  g.clip();
  drawTimes(g);
  drawMessages(g);
  drawBodies(g);
  drawDisks(g);
  drawEpochs(g);
  drawFaults(g);
  drawRequests(g);
  g.restore();
}

function drawRows(g) {
  for (let v = 0; v < D.volumes; v++) write(g, "v" + v + " epochs", 6, volumeY(v) + 15, colours.text);
  for (let n = 0; n < D.nodes; n++) {
    write(g, name(n), 6, nodeY(n) + 12, colours.text);
    write(g, "disk", 6, nodeY(n) + diskTop + 13, colours.dim);
    g.fillStyle = colours.line;
    g.fillRect(0, nodeY(n) - 9, width, 1);
  }
  g.fillRect(0, clientY(0) - 4, width, 1);
  for (let c = 0; c < D.clients; c++) write(g, "client " + c, 6, clientY(c) + 13, colours.text);
  for (let v = 0; v < D.volumes; v++) write(g, "final reader", 6, clientY(D.clients + v) + 13, colours.dim);
}

function drawTimes(g) {
  for (const [a, b] of scale.gaps) {
    const x = Math.max(gutter, xOf(a));
    g.fillStyle = colours.soft;
    g.fillRect(x, head - 4, Math.max(0, xOf(b) - x), height);
  }
  const count = Math.max(2, Math.floor((width - gutter) / 130)), fine = scale.real(to) - scale.real(from) < 5e9 ? 6 : 3;
  for (let i = 0; i < count; i++) {
    const x = gutter + (width - gutter - margin) * i / count;
    g.fillStyle = colours.line;
    g.fillRect(x, head - 8, 1, height);
    write(g, (scale.real(placeOf(x)) / 1e9).toFixed(fine) + " s", x + 3, 11, colours.dim);
  }
}

// intervals calls draw for each stretch between two changes of a node or volume.
function intervals(kinds, index, draw) {
  const open = new Map();
  for (const s of events) {
    if (!kinds.includes(s.k)) continue;
    const at = index(s), before = open.get(at);
    if (before) draw(before, Math.min(s.t, before.k === "pause" ? before.e : s.t), at);
    if (before && before.k === "pause" && before.e < s.t) draw({ k: "up", t: before.e, i: before.i, n: before.n, s: before.s }, s.t, at);
    open.set(at, s);
  }
  for (const [at, s] of open) {
    if (s.k === "pause") { draw(s, Math.min(s.e, endTime), at); if (s.e < endTime) draw({ k: "up", t: s.e, i: s.i, n: s.n, s: s.s }, endTime, at); } else draw(s, endTime, at);
  }
}

function drawBodies(g) {
  const how = { up: ["runs", ""], down: ["dead", "dead"], off: ["dark", "no power"], pause: ["still", "stands still"] };
  intervals(["up", "down", "off", "pause"], s => s.n, (s, until, n) => {
    const x = xOf(s.t), y = nodeY(n);
    box(g, x, y, xOf(until) - x, bandHeight, colours[how[s.k][0]], s);
    if (s.k === "off") { g.strokeStyle = colours.dim; g.lineWidth = 1; g.strokeRect(x + .5, y + .5, Math.max(1, xOf(until) - x - 1), bandHeight - 1); }
    write(g, how[s.k][1], Math.max(x, gutter) + 3, y + 11, colours.onband, xOf(until) - Math.max(x, gutter) - 4);
  });
  for (const { s, until } of servings) {
    const x = xOf(s.t), w = xOf(until) - x, y = nodeY(s.n);
    box(g, x, y + bandHeight, w, 3, colours.epoch, s);
    write(g, "serves v" + s.v, Math.max(x, gutter) + 3, y + 11, colours.onband, x + w - Math.max(x, gutter) - 3);
  }
}

// servings are the stretches in which a node served a volume.
const servings = (() => {
  const open = new Map(), all = [];
  const end = (key, t) => { if (open.has(key)) { all.push({ s: open.get(key), until: t }); open.delete(key); } };
  for (const s of events) {
    if (s.k === "serve" && s.v >= 0) { end(s.n + "/" + s.v, s.t); open.set(s.n + "/" + s.v, s); }
    if (s.k === "cease") end(s.n + "/" + s.v, s.t);
    if (s.k === "down" || s.k === "off") for (let v = 0; v < D.volumes; v++) end(s.n + "/" + v, s.t);
  }
  for (const [, s] of open) all.push({ s, until: endTime });
  return all;
})();

function drawDisks(g) {
  g.globalAlpha = .75;
  intervals(["disk", "off"], s => s.n, (s, until, n) => {
    if (s.k !== "disk" || !s.q) return;
    const h = Math.min(diskHeight, 3 + s.q), x = xOf(s.t);
    if (xOf(until) < gutter || x > width) return;
    box(g, x, nodeY(n) + diskTop + diskHeight - h, xOf(until) - x, h, colours.disk, s);
  });
  g.globalAlpha = 1;
}

function drawEpochs(g) {
  intervals(["config"], s => s.v, (s, until, v) => {
    if (v < 0) return;
    const x = Math.max(xOf(s.t), gutter), w = xOf(until) - x;
    if (w < 0 || x > width) return;
    g.globalAlpha = s.q % 2 ? .34 : .18;
    box(g, x, volumeY(v), w - (w > 3 ? 1 : 0), 19, colours.epoch, s);
    g.globalAlpha = 1;
    const sync = (s.g || []).filter(m => m.endsWith("in-sync")).map(m => m.split(" ")[0]).join("+");
    write(g, s.q + ": " + (s.n < 0 ? "nobody" : name(s.n)) + ", in sync " + sync, x + 3, volumeY(v) + 13, colours.text, w - 4);
  });
}

// isShown tells whether steps and the picture have a shot.
const isShown = s => {
  switch (s.k) {
  case "disk": case "io": case "txn": return $("depths").checked;
  case "msg": return !routine.has(s.m) || $("routine").checked;
  }
  return true;
};

function drawMessages(g) {
  const plain = new Path2D(), data = new Path2D(), gone = new Path2D(), seen = new Set();
  for (const s of events) {
    if (s.k !== "msg" || s.n === s.p || !isShown(s) || s.t > scale.real(to)) continue;
    const x0 = xOf(s.t), x1 = arrives(s) ? xOf(s.e) : x0 + 9;
    if (x1 < gutter || x0 > width) continue;
    const up = s.p < s.n, y0 = nodeY(s.n) + (up ? 0 : bandHeight), y1 = nodeY(s.p) + (up ? bandHeight : 0);
    const matters = withData.has(s.m) && covers(s);
    const same = (lost(s) ? "x" : matters ? "d" : "") + Math.round(x0) + "/" + Math.round(x1) + "/" + s.n + "/" + s.p;
    if (seen.has(same)) continue; // it would be drawn onto another
    seen.add(same);
    const path = lost(s) ? gone : matters ? data : plain, y = arrives(s) ? y1 : y0 + (y1 - y0) * .35;
    path.moveTo(x0, y0);
    path.lineTo(x1, y);
    if (lost(s)) { path.moveTo(x1 - 3, y - 3); path.lineTo(x1 + 3, y + 3); path.moveTo(x1 + 3, y - 3); path.lineTo(x1 - 3, y + 3); }
    arrows.push({ x0, y0, x1, y1: y, s });
  }
  for (const [path, colour, thick, dense] of [[plain, colours.message, 1, .5], [data, colours.data, 1.6, 1], [gone, colours.bad, 1.6, 1]]) {
    g.strokeStyle = colour;
    g.lineWidth = thick;
    g.globalAlpha = dense;
    g.stroke(path);
  }
  g.globalAlpha = 1;
}

function drawFaults(g) {
  for (const s of events) {
    if (s.k === "fault") {
      g.globalAlpha = withheld(s) ? .3 : 1;
      const x = xOf(s.t), y = nodeY(Math.max(0, s.n)) - 7;
      if (s.e > s.t && !withheld(s)) { g.globalAlpha = .45; box(g, x, y, xOf(Math.min(s.e, endTime)) - x, 4, colours.fault, s); g.globalAlpha = 1; }
      if (x < gutter || x > width) continue;
      g.fillStyle = colours.fault;
      g.beginPath(); g.moveTo(x - 5, y - 2); g.lineTo(x + 5, y - 2); g.lineTo(x, y + 7); g.fill();
      g.globalAlpha = 1;
      hits.push({ x: x - 5, y: y - 2, w: 10, h: 9, s });
    }
    if (s.k === "heal") {
      g.fillStyle = colours.text;
      for (let y = head; y < height; y += 8) g.fillRect(xOf(s.t), y, 1, 4);
      write(g, "everything heals", xOf(s.t) + 4, height - 4, colours.text);
      hits.push({ x: xOf(s.t) - 3, y: 0, w: 6, h: height, s });
    }
  }
}

const colourOf = s => s.m.startsWith("read") ? colours.read : s.m.startsWith("flush") ? colours.flush : colours.write;

// lanes keeps requests of a client that overlap apart: {lane, of} by event.
const lanes = (() => {
  const free = new Map(), placed = new Map();
  for (const s of events) {
    if (s.k !== "ask") continue;
    if (!free.has(s.c)) free.set(s.c, []);
    const all = free.get(s.c);
    let lane = all.findIndex(until => until <= s.t);
    if (lane < 0) lane = all.length;
    all[lane] = s.end ? s.end.t : endTime;
    placed.set(s, lane);
  }
  return { of: s => placed.get(s), count: s => free.get(s.c).length };
})();

// requestBox is where a request is drawn.
function requestBox(s) {
  const h = (clientRow - 4) / lanes.count(s), x = xOf(s.t);
  return { x, y: clientY(s.c) + 2 + lanes.of(s) * h, w: Math.max(3, xOf(s.end ? s.end.t : endTime) - x), h: Math.max(2, h - (h > 4 ? 1 : 0)) };
}

function drawRequests(g) {
  for (const s of events) {
    if (s.k !== "ask") continue;
    const r = requestBox(s);
    if (r.x > width || r.x + r.w < gutter) continue;
    g.globalAlpha = s.end && s.end.x === "acknowledged" ? 1 : .4;
    box(g, r.x, r.y, r.w, r.h, colourOf(s), s);
    g.globalAlpha = 1;
    if (r.h > 11) write(g, s.m + " " + (s.w ? s.b + "+" + s.w : ""), Math.max(r.x, gutter) + 3, r.y + r.h - 3, colours.ground, r.x + r.w - Math.max(r.x, gutter) - 5);
  }
  for (const s of events) if (s.k === "ask" && s.a) { // on top of its neighbours
    const r = requestBox(s);
    g.strokeStyle = colours.bad;
    g.lineWidth = 2;
    g.strokeRect(r.x - 2, r.y - 2, r.w + 4, r.h + 4);
    g.fillStyle = colours.bad;
    g.fillRect(r.x - 15, clientY(s.c) + 3, 12, 14);
    write(g, String(s.a), r.x - 12, clientY(s.c) + 14, colours.ground);
  }
}

// draw draws the cursor, at an event, over all the rest.
function draw(s) {
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(still, 0, 0);
  const ratio = devicePixelRatio || 1, x = xOf(s.t);
  if (x < gutter - 1 || x > width) return;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.fillStyle = pen.strokeStyle = colours.bad;
  pen.fillRect(x - .75, 14, 1.5, height);
  pen.lineWidth = 3;
  if (s.k === "msg" && s.n !== s.p && arrives(s)) {
    const up = s.p < s.n;
    pen.beginPath();
    pen.moveTo(x, nodeY(s.n) + (up ? 0 : bandHeight));
    pen.lineTo(xOf(s.e), nodeY(s.p) + (up ? bandHeight : 0));
    pen.stroke();
  }
  const ask = s.k === "end" ? s.ask : s.k === "ask" ? s : null;
  if (ask) {
    pen.strokeStyle = colours.text;
    pen.lineWidth = 1.5;
    const r = requestBox(ask);
    pen.strokeRect(r.x - 4, r.y - 4, r.w + 8, r.h + 8);
  }
}

// found is what is drawn at a place, or undefined.
function found(x, y) {
  for (let i = hits.length - 1; i >= 0; i--) {
    const h = hits[i];
    if (x >= h.x - 1 && x <= h.x + h.w + 1 && y >= h.y && y <= h.y + h.h) return h.s;
  }
  let best, least = 6; // pixels
  for (const a of arrows) {
    const dx = a.x1 - a.x0, dy = a.y1 - a.y0, along = Math.max(0, Math.min(1, ((x - a.x0) * dx + (y - a.y0) * dy) / (dx * dx + dy * dy || 1)));
    const far = Math.hypot(x - a.x0 - along * dx, y - a.y0 - along * dy);
    if (far < least) { least = far; best = a.s; }
  }
  return best;
}
