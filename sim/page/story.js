// The story: which of all events are needed to understand the failure, and what
// everything was at a moment.

// ofOthers are the numbers of commands that are about other volumes.
const ofOthers = new Set(events.filter(s => s.k === "note" && /^command \d+: .*\bv\d/.test(s.x) && !new RegExp("\\bv" + V + "\\b").test(s.x)).map(s => s.x.match(/\d+/)[0]));
const command = s => (s.x.match(/^command (\d+)/) || [])[1];

const notable = /^(power loss: disk|crash:|v\d+: no copy|disk \d|command \d+: )|volume (waiting|fenced)|standing|turns it off/;
const linesMax = 4000; // of the story: the latest are kept
const lastWords = 400; // events before the end of which every message matters, if no block does

// stories collects what a message has to do with records that were seen before.
function storyOf(all) {
  const few = all.filter(s => s.k === "ask").length < 60;
  const records = new Set(), given = new Map(), taken = new Set();
  // news tells whether an ACK is the first that covers a record of the story.
  const news = s => {
    let first = false;
    for (const r of records) {
      const key = s.n + "/" + r;
      if (s.q >= r && given.get(key) <= s.t && !taken.has(key)) { taken.add(key); first = true; }
    }
    return first;
  };
  const tellsMessage = s => {
    if (s.v !== V) return false;
    if (s.u || B < 0 && s.i > all.length - lastWords && !routine.has(s.m)) return true;
    if (s.m === "ACK") return news(s);
    if (!withData.has(s.m) || !s.d.length || !covers(s) || valueAt(s) === "–") return false;
    if (s.m === "APPEND") {
      records.add(s.q);
      if (arrives(s)) given.set(s.p + "/" + s.q, s.e);
    }
    return B >= 0 || few;
  };
  const tells = s => {
    switch (s.k) {
    case "config": case "serve": case "cease": return s.v === V;
    case "ask": case "end": { const a = s.k === "end" ? s.ask : s; return !!a && a.v === V && (B < 0 || !a.w || covers(a)); }
    case "note": return notable.test(s.x) && !/short\d/.test(s.x) && !ofOthers.has(command(s));
    case "msg": return tellsMessage(s);
    case "disk": case "io": case "txn": return false;
    case "fault": return !withheld(s);
    }
    return true; // what breaks and heals
  };
  return shorter(all.filter(tells));
}

// shorter leaves out what says the same for the fifth time, far from the end.
function shorter(all) {
  const often = new Map();
  const bare = s => s.k + say(s).replace(/epoch \d+|command \d+|[\d.]+ m?s later|record \d+/g, "");
  return all.filter((s, i) => {
    const times = (often.get(bare(s)) || 0) + 1;
    often.set(bare(s), times);
    return s.a || times <= 4 || i > all.length - 12 || !["config", "msg", "note"].includes(s.k);
  }).slice(-linesMax);
}

const story = storyOf(events);
const blamed = events.filter(s => s.a);

// State is what everything is at a moment. Going on from an event is cheap, so
// that one is kept now and then.
const keepEvery = 2000;
const kept = [];

function newState() {
  return {
    next: 0, config: null,
    nodes: Array.from({ length: D.nodes }, () => ({ runs: "not up yet", serves: new Set(), heard: new Map(), unsynced: 0, value: "", cuts: new Set(), until: 0 })),
  };
}

const copyOf = s => ({ next: s.next, config: s.config, nodes: s.nodes.map(b => ({ ...b, serves: new Set(b.serves), heard: new Map(b.heard), cuts: new Set(b.cuts) })) });

// stateAt is the state once event k has happened.
function stateAt(k) {
  const at = Math.min(Math.floor((k + 1) / keepEvery), kept.length);
  const s = at > 0 ? copyOf(kept[at - 1]) : newState();
  while (s.next <= k) {
    apply(s, events[s.next]);
    s.next++;
    if (s.next % keepEvery === 0 && kept.length < s.next / keepEvery) kept.push(copyOf(s));
  }
  const t = events[k].t;
  for (const b of s.nodes) if (b.until > t) b.runs = "stands still"; else if (b.runs === "stands still") b.runs = "runs";
  for (const b of s.nodes) for (const [from, at] of b.heard) if (at > t) b.heard.delete(from);
  return s;
}

// end of a process: what it knew is gone.
const die = (b, how) => { b.runs = how; b.until = 0; b.serves.clear(); b.heard.clear(); };

function apply(state, s) {
  const b = state.nodes[s.n];
  switch (s.k) {
  case "up": b.runs = "runs"; break;
  case "down": die(b, "dead"); break;
  case "off":
    die(b, "no power");
    b.unsynced = 0;
    if (b.value && !b.value.endsWith("power")) b.value += " before it lost power";
    break;
  case "pause": b.runs = "stands still"; b.until = s.e; break;
  case "disk": b.unsynced = s.q; break;
  case "serve": b.serves.add("v" + s.v); break;
  case "cease": b.serves.delete("v" + s.v); break;
  case "config": if (s.v === V) state.config = s; break;
  case "cut": for (const [from, to] of s.links) state.nodes[from].cuts.add(name(to)); break;
  case "mend": for (const [from, to] of s.links) state.nodes[from].cuts.delete(name(to)); break;
  case "msg": {
    if (s.v !== V || !arrives(s)) break;
    const to = state.nodes[s.p];
    if (s.m === "GRANTED") to.heard.set(s.n, s.e);
    if (B >= 0 && (s.m === "APPEND" || s.m === "PUSH") && covers(s) && valueAt(s) !== "–") to.value = valueAt(s) + (s.q ? " (record " + s.q + ")" : "");
    break;
  }
  }
}

const grantTime = 2.5e9; // how long a grant is good, by the clock of the copy

// source is the message that brought a read its data for the block, if there is one.
const source = s => events.slice(s.ask ? s.ask.i : 0, s.i).findLast(m => m.k === "msg" && m.m === "DATA" && m.p === s.n && arrives(m) && covers(m) && valueAt(m) !== "–");

// suspicion says what is odd about an answer to a read: who gave it, by which
// grants, and of which copy.
function suspicion(s) {
  const state = stateAt(s.i), c = state.config, data = source(s), reasons = [];
  if (c && c.n !== s.n) reasons.push(name(s.n) + " answered, though epoch " + c.q + " had made " + (c.n < 0 ? "nobody" : name(c.n)) + " the coordinator");
  for (const [from, at] of state.nodes[s.n].heard)
    if (from !== s.n && s.t - at > grantTime) reasons.push("the last grant that " + name(s.n) + " had from " + name(from) + " was " + span(s.t - at) + " old");
  const copy = data && c && (c.g || []).find(m => m.startsWith(name(data.n) + " "));
  if (copy && !copy.endsWith(" in-sync")) reasons.push("the data came from the copy on " + copy.replace(" ", ", which was "));
  return reasons.length ? " — " + reasons.join("; ") : "";
}
