// What the page shows around the picture, and what people do with it.

let cursor = 0; // index of an event
const rows = new Map(); // of the story, by index of the event

function add(parent, tag, text, kind) {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text;
  if (kind) e.className = kind;
  parent.append(e);
  return e;
}

function fill(table, pairs) {
  for (const [left, right] of pairs) {
    const r = table.insertRow();
    add(r, "td", left);
    add(r, "td", right);
  }
}

// line adds an event to a table.
function line(table, s, more) {
  const r = table.insertRow();
  r.className = ("go " + looks(s)).trim();
  add(r, "td", seconds(s.t), "time");
  add(r, "td", sort(s), "sort");
  add(r, "td", say(s) + (more || ""));
  r.onclick = () => go(s.i);
  return r;
}

function showHead() {
  document.title = D.seed + ": " + D.invariant;
  $("title").textContent = D.title;
  $("run").textContent = "seed " + D.seed + ", profile " + D.profile + ", commit " + D.commit + " · step " + D.step + ", at " + seconds(D.at) +
    " of virtual time · " + D.nodes + " nodes, " + D.volumes + (D.volumes === 1 ? " volume, " : " volumes, ") + D.clients + " clients";
  $("meaning").textContent = D.meaning;
  $("text").textContent = D.blame.length ? "These contradict each other; click to see each:" : plain(D.text);
  D.blame.forEach((text, i) => {
    const l = add($("blame"), "li", text), at = events.filter(s => s.a === i + 1), last = at[at.length - 1];
    if (!last) return;
    if (last.k === "end" && last.m === "read") add(l, "span", suspicion(last));
    l.onclick = () => go(last.i);
  });
  for (const [how, command] of D.commands) add(add($("commands"), "span", how + ": "), "code", command);
  for (const [what, file] of D.files) add(add($("commands"), "span", what + ": "), "a", file).href = file;
}

function showPicture() {
  if (!D.picture) return;
  const details = $("picture");
  details.hidden = false;
  details.ontoggle = () => {
    if (!details.open || details.querySelector("iframe")) return;
    const frame = add(details, "iframe");
    frame.title = "the history of the block";
    frame.setAttribute("src", D.picture);
  };
}

function showHelp() {
  for (const [colour, text] of legend) {
    const l = add($("legend"), "li");
    add(l, "i").style.background = "var(--" + colour + ")";
    l.append(text);
  }
  fill($("words"), words);
  fill($("messages"), messages);
  fill($("keys"), keys);
}

function showStory() {
  $("storyname").textContent = B >= 0 ? "The story of block " + B + " of v" + V : "The story of v" + V;
  for (const s of story) rows.set(s.i, line($("story"), s));
  for (const f of D.faults) add($("faults").insertRow(), "td", f).style.whiteSpace = "normal";
  $("script").textContent = D.script;
  $("stack").hidden = !D.stack;
  $("stack").querySelector("pre").textContent = D.stack;
}

function showState() {
  const { nodes, config } = stateAt(cursor), table = $("state"), t = events[cursor].t;
  table.replaceChildren();
  nodes.forEach((b, n) => {
    const r = table.insertRow(), member = config && (config.g || []).find(m => m.startsWith(name(n) + " "));
    add(r, "td", name(n));
    const c = add(r, "td"), say = (text, kind) => text && add(c, "div", text, kind);
    say(b.runs + (b.serves.size ? ", serves " + [...b.serves].join(" and ") : ""), b.runs === "runs" ? "" : "fault");
    say(member ? "its copy of v" + V + " is " + member.slice(member.indexOf(" ") + 1).replace("-", " ") : "has no copy of v" + V, member ? "" : "dim");
    if (b.value) say("was last sent block " + B + " := " + b.value);
    if (b.unsynced) say(b.unsynced + " un-synced writes");
    if (b.cuts.size) say("cannot reach " + [...b.cuts].sort().join(", "), "lost");
    const heard = [...b.heard].filter(([from]) => from !== n);
    if (b.serves.has("v" + V) && heard.length) say("grants last heard of: " + heard.map(([from, at]) => name(from) + " " + span(t - at) + " ago").join(", "));
  });
  const r = table.insertRow();
  add(r, "td", "v" + V);
  add(r, "td", config ? "epoch " + config.q + ", coordinator " + (config.n < 0 ? "none" : name(config.n)) + ", since " + seconds(config.t) : "is not attached yet");
}

function showAround() {
  const table = $("around"), before = [], after = [];
  for (let i = cursor; i >= 0 && before.length < 25; i--) if (isShown(events[i])) before.unshift(events[i]);
  for (let i = cursor + 1; i < events.length && after.length < 25; i++) if (isShown(events[i])) after.push(events[i]);
  table.replaceChildren();
  for (const s of [...before, ...after]) {
    const r = line(table, s, s.k === "msg" && s.x ? " [" + s.x + "]" : "");
    r.classList.toggle("now", s.i === cursor);
    if (s.i === cursor) reveal(r);
  }
}

// reveal scrolls the table that a row is in, and never the page.
function reveal(row) {
  const frame = row.closest(".scroll"), top = row.offsetTop, bottom = top + row.offsetHeight;
  if (top < frame.scrollTop || bottom > frame.scrollTop + frame.clientHeight) frame.scrollTop = top - frame.clientHeight / 2;
}

// go moves the cursor to an event.
function go(i) {
  cursor = Math.max(0, Math.min(events.length - 1, i));
  const s = events[cursor], at = scale.squeeze(s.t);
  $("clock").textContent = seconds(s.t) + ", step " + s.s + ":";
  $("what").textContent = say(s);
  if (at < from || at > to) {
    const wide = to - from, latest = scale.squeeze(endTime) + wide / 20;
    to = Math.min(at + wide / 2, Math.max(latest, at));
    from = to - wide;
    drawStill();
  }
  let last = null;
  for (const [k, r] of rows) {
    r.classList.toggle("now", k === cursor);
    r.classList.toggle("later", k > cursor);
    if (k <= cursor) last = r;
  }
  if (last) reveal(last);
  showState();
  showAround();
  draw(s);
}

function step(d) {
  let i = cursor + d;
  while (i >= 0 && i < events.length && !isShown(events[i])) i += d;
  if (i >= 0 && i < events.length) go(i);
}

// among moves to the next of some events, forwards or back.
function among(list, d) {
  const next = d > 0 ? list.find(s => s.i > cursor) : list.findLast(s => s.i < cursor);
  if (next) go(next.i);
}

function view(a, b) {
  [from, to] = [a, Math.max(b, a + 1)];
  drawStill();
  draw(events[cursor]);
}

const stretch = list => {
  const a = scale.squeeze(list[0].t), b = scale.squeeze(list[list.length - 1].t), more = (b - a) * .03 + 1e5;
  view(a - more, b + more);
};

function zoom(factor, x) {
  const centre = x === undefined ? scale.squeeze(events[cursor].t) : placeOf(x);
  view(centre - (centre - from) * factor, centre + (to - centre) * factor);
}

const move = part => view(from + (to - from) * part, to + (to - from) * part);

// near shows what is next to the cursor.
function near() {
  const list = events.filter(isShown), at = list.findIndex(s => s.i >= cursor), some = list.slice(Math.max(0, at - 40), at + 40);
  if (some.length) stretch(some);
}

const actions = {
  first: () => go(story.length ? story[0].i : 0), last: () => go(events.length - 1),
  back: () => step(-1), on: () => step(1), up: () => among(story, -1), down: () => among(story, 1),
  guilty: () => { const next = blamed.find(s => s.i > cursor) || blamed[0]; if (next) go(next.i); },
  in: () => zoom(.5), out: () => zoom(2), near, all: () => stretch(events),
  fit: () => { const some = events.filter(s => s.k === "fault" || s.k === "ask" && s.c < D.clients || s.a); stretch(some.length ? some : events); },
};
const byKey = {
  ArrowRight: actions.on, ArrowLeft: actions.back, ArrowUp: actions.up, ArrowDown: actions.down, Home: actions.first, End: actions.last,
  x: actions.guilty, "+": actions.in, "=": actions.in, "-": actions.out, n: near, f: actions.fit, 0: actions.all,
  "[": () => move(-.5), "]": () => move(.5), h: () => $("routine").click(), d: () => $("depths").click(),
  "?": () => { $("help").open = !$("help").open; },
};

function listen() {
  for (const [id, act] of Object.entries(actions)) $(id).onclick = act;
  $("guilty").disabled = !blamed.length;
  for (const id of ["routine", "depths"]) $(id).onchange = () => { drawStill(); go(cursor); };
  addEventListener("keydown", e => {
    if (e.ctrlKey || e.metaKey || e.altKey || !byKey[e.key]) return;
    byKey[e.key]();
    e.preventDefault();
  });
  addEventListener("resize", () => { drawStill(); draw(events[cursor]); });
  matchMedia("(prefers-color-scheme: dark)").onchange = () => { readColours(); drawStill(); draw(events[cursor]); };
  canvas.addEventListener("wheel", e => {
    const sideways = e.deltaX || (e.shiftKey ? e.deltaY : 0);
    if (e.ctrlKey) zoom(e.deltaY > 0 ? 1.25 : .8, e.offsetX); else if (sideways) move(sideways / width); else return; // the page scrolls
    e.preventDefault();
  }, { passive: false });
  listenToMouse();
}

function listenToMouse() {
  let drag = null, moved = 0;
  canvas.onpointerdown = e => { drag = e.offsetX; moved = 0; canvas.setPointerCapture(e.pointerId); };
  canvas.onpointermove = e => {
    if (drag === null) { hover(e); return; }
    moved += Math.abs(e.offsetX - drag);
    if (moved >= 4) move((drag - e.offsetX) / (width - gutter - margin));
    drag = e.offsetX;
  };
  canvas.onpointerleave = () => { $("tip").hidden = true; };
  canvas.onpointerup = e => {
    drag = null;
    if (moved >= 4) return;
    const s = found(e.offsetX, e.offsetY), t = scale.real(placeOf(e.offsetX));
    if (s && (["ask", "fault", "msg", "serve"].includes(s.k) || Math.abs(xOf(s.t) - e.offsetX) < 8)) { go(s.i); return; }
    let best = null;
    for (const one of events) if (isShown(one) && (!best || Math.abs(one.t - t) < Math.abs(best.t - t))) best = one;
    if (best) go(best.i);
  };
}

// hover says what is under the mouse.
function hover(e) {
  const s = found(e.offsetX, e.offsetY), tip = $("tip");
  tip.hidden = !s;
  if (!s) return;
  tip.textContent = seconds(s.t) + ": " + say(s) + (s.k === "ask" && s.end ? " — " + span(s.end.t - s.t) + " later: " + say(s.end) : "");
  tip.style.left = Math.max(4, Math.min(e.clientX + 14, innerWidth - tip.offsetWidth - 8)) + "px";
  tip.style.top = (e.clientY + 18 + tip.offsetHeight > innerHeight ? e.clientY - tip.offsetHeight - 10 : e.clientY + 18) + "px";
}

readColours();
showHead();
showHelp();
showStory();
showPicture();
listen();
// At first the picture is about the time before everything healed, if what broke is there.
const begin = blamed.length ? blamed.reduce((a, b) => a.a === 1 && a.k === "end" ? a : b) : story[story.length - 1] || events[events.length - 1];
actions.fit();
if (scale.squeeze(begin.t) > to) actions.all();
go(begin.i);
