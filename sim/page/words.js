"use strict";
// What happened, and how it is said. A shot is what sim/film.go records; its
// fields have the short names that the data has: t time, s step, k kind, n node,
// p peer, v volume, e until, x text, m type, c client, r request, b first block,
// w count of blocks, d their values, q number, y epoch of the sender, u status,
// g states of copies, a place among what cannot be.
const D = JSON.parse(document.getElementById("data").textContent);
const V = D.focus.volume, B = D.focus.block; // what the failure is about; B is -1 if it is no one block
const $ = id => document.getElementById(id);

const seconds = t => (t / 1e9).toFixed(6) + " s";
// plain names what a text knows by its identity.
const plain = text => text.replace(/replica 72[0-9a-f]{28}72 on node /g, "the copy on ").replace(/(node )?\b6e([0-9a-f]{2})0{26}6e\b/g, (_, __, n) => "n" + parseInt(n, 16))
  .replace(/(replica )?\b72([0-9a-f]{2})([0-9a-f]{2})0{24}72\b/g, (_, __, v, n) => "copy " + parseInt(n, 16) + " of v" + parseInt(v, 16))
  .replace(/(volume )?\b76([0-9a-f]{2})0{26}76\b/g, (_, __, v) => "v" + parseInt(v, 16));
const span = t => t >= 1e9 ? (t / 1e9).toFixed(3) + " s" : (t / 1e6).toFixed(3) + " ms";
const name = n => "n" + n;

// events are the shots in order, with cuts of one moment as one, and questions
// and answers of requests tied to each other.
const events = (shots => {
  shots.forEach((s, i) => { s.order = i; s.p = s.p || 0; s.q = s.q || 0; s.b = s.b || 0; s.d = s.d || []; });
  shots.sort((a, b) => a.t - b.t || a.order - b.order);
  const all = [], asked = new Map();
  for (const s of shots) {
    const before = all[all.length - 1];
    if (s.k === "cut" || s.k === "mend") {
      if (before && before.k === s.k && before.t === s.t) { before.links.push([s.n, s.p]); continue; }
      s.links = [[s.n, s.p]];
    }
    if (s.k === "ask") asked.set(s.r, s);
    if (s.k === "end" && asked.has(s.r)) { s.ask = asked.get(s.r); s.ask.end = s; }
    s.i = all.length;
    all.push(s);
  }
  return all;
})(D.shots);

const lost = s => s.k === "msg" && !s.e;
const arrives = s => s.e > 0;
const withData = new Set(["APPEND", "TAIL", "PUSH", "PULLED", "DATA"]);
const routine = new Set(["GRANT", "GRANTED"]);

// covers tells whether a shot concerns the block that the failure is about, or
// its volume, where it is no one block.
const covers = s => s.v === V && (B < 0 || s.w > 0 && s.b <= B && B < s.b + s.w);

// valueAt is what a shot says about that block, or about all of its own.
function valueAt(s) {
  const i = B - s.b;
  if (covers(s) && B >= 0 && i < s.d.length) return s.d[i];
  return brief(s.d);
}

// brief is a list of values in a few words: equal ones that follow each other are one.
function brief(values) {
  const runs = [];
  for (const v of values) {
    const last = runs[runs.length - 1];
    if (last && last[0] === v) last[1]++; else runs.push([v, 1]);
  }
  const texts = runs.slice(0, 6).map(([v, n]) => n > 1 ? n + "×" + v : v);
  return texts.join(" ") + (runs.length > 6 ? " …" : "");
}

const withheld = s => s.x.includes(", withheld");
const blocks = s => !s.w ? "" : s.w === 1 ? " block " + s.b : " blocks " + s.b + " to " + (s.b + s.w - 1);
const client = s => s.c >= D.clients ? "the final reader (client " + s.c + ")" : "client " + s.c;
const ofOther = s => s.v !== V ? " of v" + s.v : "";
const links = (s, how) => s.links.map(l => name(l[0]) + how + name(l[1])).join(", ");

// say is one shot as a sentence.
function say(s) {
  const n = name(s.n);
  switch (s.k) {
  case "fault": return "a fault: " + s.x.replace(/^[\d.msµhn]+: /, "");
  case "up": return n + ": its process starts";
  case "down": return n + ": its process is dead; what it wrote stays in the host's cache";
  case "off": return n + ": its host loses power, and what was not synced with it";
  case "pause": return n + ": its process stands still until " + seconds(s.e);
  case "cut": return "nothing gets from " + links(s, " to ") + " any more";
  case "mend": return "messages get through again: " + links(s, " → ");
  case "config": return "v" + s.v + " is in epoch " + s.q + " from now on: coordinator " + (s.n < 0 ? "none" : n) + "; copies: " + (s.g || []).join(", ");
  case "serve": return n + " serves v" + s.v + " from now on";
  case "cease": return n + " does not serve v" + s.v + " any more: " + s.x;
  case "ask": return client(s) + " asks " + n + " to " + s.m + blocks(s) + ofOther(s) + (s.d.length ? " := " + valueAt(s) : "");
  case "end": return answer(s, n);
  case "msg": return message(s, n);
  case "disk": return n + ": a loss of power would take " + s.q + " writes of its disk";
  case "io": return n + ": its disk begins to " + s.m + " " + s.x + ", which takes " + span(s.e - s.t);
  case "txn": return n + " to the metadata store: " + s.x;
  case "note": return (s.n >= 0 && !s.x.startsWith(n + "/") ? n + ": " : "") + plain(s.x.replace("answered: <nil>", "is done"));
  }
  return plain(s.x); // heal, broken
}

function answer(s, n) {
  const what = client(s) + " is told by " + n + ": its " + s.m + (s.ask ? blocks(s.ask) + ofOther(s) : "");
  if (s.m !== "read" || s.x !== "acknowledged") return what + ": " + s.x;
  return what + " returned " + valueAt(s.d.length ? Object.assign({}, s.ask, { d: s.d }) : s);
}

function message(s, n) {
  let text = n + (s.n === s.p ? " to its own disk: " : " → " + name(s.p) + ": ") + s.m;
  if ((s.m === "APPEND" || s.m === "TAIL") && s.q) text += " of record " + s.q + (s.y ? " by the coordinator that began with epoch " + s.y : "");
  if (s.m === "ACK") text += ": has accepted all up to record " + s.q;
  if (s.w && s.m === "READ") text += " of" + blocks(s);
  else if (s.d.length) text += "," + (covers(s) && B >= 0 ? " block " + B : blocks(s)) + " := " + valueAt(s);
  if (s.u) text += ", refused: " + s.u;
  if (s.e < 0) return text + " — still under way when the run ended";
  if (lost(s)) return text + " — never arrives";
  return s.n === s.p ? text : text + ", arrives " + span(s.e - s.t) + " later";
}

// sort is what a shot is about, in a word; looks says how its line is drawn.
const sort = s => ({ fault: "fault", up: "process", down: "process", off: "power", pause: "process", cut: "network", mend: "network", config: "epoch",
  serve: "epoch", cease: "epoch", ask: "client", end: "client", msg: "message", disk: "disk", io: "disk", txn: "records", note: "note", heal: "healing", broken: "broken" })[s.k];
const looks = s => s.a || s.k === "broken" ? "blamed" : s.k === "fault" || s.k === "off" || s.u ? "fault" : s.k === "config" || s.k === "serve" || s.k === "cease" ? "epoch" :
  lost(s) || s.k === "cut" ? "lost" : "";

const words = [
  ["v0, n0, client 0", "the first volume, node, client"],
  ["2:7", "a value: the 7th block that writer 2 wrote. Each is written once, so a read tells which write it saw. Writer 1 is client 0"],
  ["zeroes", "what a block has that was never written, or was trimmed"],
  ["copy, in sync", "what a node's disk has of a volume; it has all that was acknowledged. Others are syncing (being filled), out (not to be used), or leaving"],
  ["coordinator", "on the node that uses a volume: puts its operations in order and sends each to every copy. There should be one"],
  ["epoch", "the number of a volume's configuration: who its coordinator is, and in which state each copy. Each change makes a new one"],
  ["record 262", "the 262nd operation of the volume's stream; place (8,220) is record 220, first sent in epoch 8"],
  ["grant", "a copy's permission for its coordinator to answer reads, good for some seconds and renewed by heartbeats"],
  ["un-synced", "written to a disk's cache: the death of a process keeps it, a loss of power may not"],
  ["acknowledged", "the client was told that it is done"],
  ["fault", "what the simulation breaks on purpose; “withheld”: the protocol does not promise to survive it, so it did not happen"],
  ["everything heals", "no fault strikes any more: from here all has to work again, and in the end everything is read back"],
];

const messages = [
  ["PREPARE, PROMISE", "a new coordinator takes a copy over; the copy says what it has, and refuses older coordinators from now on"],
  ["APPEND, ACK", "take this record · everything up to this record is accepted"],
  ["SYNC", "make durable what you have accepted: a flush"],
  ["READ, DATA", "give me these blocks · here they are"],
  ["GRANT, GRANTED", "the heartbeat: may I go on answering reads? · you may"],
  ["FETCHTAIL, TAIL, DONE", "after a takeover: which records do you have? · one of them · these were all"],
  ["TRUNCATE", "after a takeover: drop the records that nobody else has"],
  ["RESYNCBEGIN, LIVE, END", "a copy that lacks something is being filled"],
  ["LISTCHANGED, CHANGED", "which pieces changed meanwhile? · these"],
  ["PULL, PULLED, PUSH", "give me a piece · here it is · take this piece"],
  ["FENCED", "refused: you have been replaced by a newer coordinator"],
  ["UNPREPARED", "refused: this connection has not been prepared"],
];

const keys = [
  ["← →", "one event back, on"],
  ["↑ ↓", "one line of the story back, on"],
  ["x", "the next part of what cannot be"],
  ["Home, End", "where the story begins, the end of the run"],
  ["+ −", "zoom, around the cursor; so does Ctrl with the wheel"],
  ["n, f, 0", "what is near the cursor, the safety phase, the whole run"],
  ["[ ]", "move the picture; so do dragging and the wheel sideways"],
  ["h, d", "heartbeats, disks and records"],
  ["?", "this help"],
];

const legend = [
  ["runs", "a process runs"], ["still", "it stands still"], ["dead", "it is dead"], ["dark", "no power"],
  ["read", "read"], ["write", "write, trim"], ["flush", "flush"], ["disk", "un-synced writes of a disk"],
  ["epoch", "epochs; below a process: it serves"], ["fault", "fault ▼, and how long it lasts"], ["data", "message with the block's data"], ["message", "another message"],
  ["bad", "lost message ×, contradiction"],
];
