// The status page: asks the listener every two seconds for what it has in memory, every three for what is in the
// database, and shows it. Nothing here changes anything.

import { show as draw } from "./charts.js";
import { each, get, make, prose, say, set } from "./dom.js";
import { flags, hours, orders, stuck, story, wakes, workflows } from "./panels.js";
import { count, milliseconds, moment, now, percent, plural, setClock, span } from "./words.js";

const base = document.documentElement.dataset.base;
const HEADLINES = { green: "All is well", amber: "Look tomorrow", red: "Look now", grey: "No contact" };
const LOST_AFTER = 2; // failures in a row: one alone may be a laptop that wakes

let memory = null; // the last answers
let past = null;
let drawn = null; // the history that is on the screen
let failures = 0;
let heardAt = null;

// ---- asking

async function ask(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(8000) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

async function askMemory() {
  try {
    memory = await ask("/page/now.json");
  } catch {
    failures += 1;
    return;
  }
  failures = 0;
  heardAt = Date.now() / 1000;
  setClock(Date.parse(memory.at) / 1000);
  if (memory.page !== base) location.reload();
}

async function askDatabase() {
  try {
    const answer = await ask("/page/past.json");
    past = answer.away === null ? answer : { ...past, away: answer.away };
  } catch {
    return; // the other question says that there is no contact
  }
}

// A page that nobody sees asks nothing.
function keepAsking(question, seconds) {
  let due = null;
  const turn = async () => {
    clearTimeout(due);
    if (document.hidden) return;
    try {
      await question();
      render();
    } finally {
      clearTimeout(due);
      due = setTimeout(turn, seconds * 1000);
    }
  };
  document.addEventListener("visibilitychange", turn);
  turn();
}

// ---- showing

function render() {
  verdict();
  if (memory !== null) {
    figures(memory.status);
    workflows(memory.status.workflows);
    wakes(memory.status.wakes);
    flags(memory.status.flags, past?.receipts ?? {});
  }
  const away = past?.away ?? null;
  get("away").hidden = away === null;
  if (away !== null) {
    const since = past.as_of ? ` What is shown of the database is from ${moment(past.as_of)}.` : "";
    say(get("away"), `Orders, receipts and the last hours cannot be shown now: ${away}.${since}`);
  }
  if (past?.as_of) {
    orders(past.orders);
    stuck(past);
    today(past.history);
    if (drawn !== past.history) {
      drawn = past.history;
      hours(past.history);
      draw(past.history);
    }
  }
  reachable();
}

function verdict() {
  const lost = failures >= LOST_AFTER;
  const colour = lost || memory === null ? "grey" : memory.health.colour;
  if (memory === null && !lost) return;
  const reasons = lost ? [silence()] : memory.health.reasons.length ? memory.health.reasons : [calm(memory.status)];
  const headline = HEADLINES[colour];
  say(get("headline"), headline);
  each(get("reasons"), reasons, (reason) => reason, () => make("li"), (line, reason) => prose(line, capital(reason)));
  set(get("banner"), "data-colour", colour);
  for (const id of ["light", "icon"]) set(get(id), id === "icon" ? "href" : "src", `${base}/${colour}.svg`);
  document.title = `${headline} · listener`;
  document.body.classList.toggle("lost", lost);
  if (get("news").dataset.colour !== colour) {
    get("news").dataset.colour = colour; // read aloud when the colour turns, not with every figure
    say(get("news"), `${headline}: ${reasons[0]}`);
  }
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function silence() {
  if (heardAt === null) return "The listener does not answer. Does it run?";
  return `The listener has not answered for ${span(Date.now() / 1000 - heardAt)}. Below stands what it said last.`;
}

function calm(status) {
  if (status.role !== "leader") return `This listener stands by: ${status.leader ? leads(status.leader) : "none could lead yet"}.`;
  const waiting = status.pending - status.held_back;
  if (waiting <= 0) return "Orders go out as they come, and none waits.";
  return `Orders go out as they come; ${plural(waiting, "is", "are")} pending.`;
}

function leads({ host, pid, epoch, since }) {
  return `process ${pid} on ${host} leads, for ${span(now() - Date.parse(since) / 1000)} (epoch ${epoch})`;
}

function figures(status) {
  const waits = status.oldest_pending_seconds > 0;
  say(get("oldest"), waits ? span(status.oldest_pending_seconds) : "none");
  say(get("waiting"), `${count(status.pending)}${status.pending >= 10000 ? " or more" : ""} pending · ${count(status.held_back)} held back`);
  const latency = status.order_latency_ms;
  say(get("p50"), milliseconds(latency.p50));
  say(get("p99"), latency.n ? `p99 ${milliseconds(latency.p99)} · ${plural(latency.n, "order", "orders")} since the start` : "no order since the start");
  budget(status.api_budget);
  checks(status);
  say(get("missed"), count(status.missed_notifications));
  say(get("missed-note"), hearing(status));
  say(get("who"), `listener ${status.version} · ${status.role}`);
  const running = `running for ${span(now() - Date.parse(status.started_at) / 1000)}`;
  say(get("since"), status.leader ? `${running} · ${leads(status.leader)}` : running);
}

function hearing(status) {
  if (!status.listening) return "not listening: the heartbeat alone finds orders";
  if (status.deaf) return "deaf: the heartbeat alone finds orders";
  return status.flags.notify_enabled ? "the bell is heard" : "the bell is switched off (notify_enabled)";
}

function budget({ used_last_hour: used, limit, waiting_seconds: wait }) {
  say(get("used"), count(used));
  say(get("limit"), limit ? `of ${count(limit)}` : "");
  const share = limit ? Math.min(1, used / limit) : 0;
  get("gauge").firstElementChild.style.width = `${100 * share}%`;
  set(get("gauge"), "data-level", share >= 1 ? "full" : share > 0.8 ? "high" : "calm");
  set(get("gauge"), "aria-valuenow", used);
  set(get("gauge"), "aria-valuemax", Math.max(limit, used, 1));
  say(get("budget-note"), wait > 0 ? `the next call may go in ${span(wait)}` : "a call may go now");
}

function checks({ recent, workflows: { "shipstation-upload": upload } }) {
  const beats = recent?.heartbeat_checks ?? 0;
  say(get("skips"), beats ? percent(recent.heartbeat_skips / beats) : "–");
  const time = recent?.check_ms_avg ?? upload.check_ms_avg;
  say(get("check-time"), `${plural(beats, "heartbeat", "heartbeats")} in 15 min · a check takes ${milliseconds(time)}`);
}

function today({ at, orders, seconds }) {
  const midnight = new Date(now() * 1000).setHours(0, 0, 0, 0) / 1000;
  const known = at.map((instant, place) => (instant >= midnight ? orders[place] : null)).filter((n) => n !== null);
  say(get("today"), count(known.reduce((sum, n) => sum + n, 0)));
  const whole = (now() - midnight) / seconds - known.length < 2;
  say(get("today-note"), whole ? "uploaded since midnight" : `uploaded since midnight, in ${span(known.length * seconds)} that are known`);
}

// A table that is wider than its place can be moved by keyboard, and says so.
function reachable() {
  for (const box of document.querySelectorAll(".scroll")) {
    const overflows = box.scrollWidth > box.clientWidth;
    set(box, "tabindex", overflows ? 0 : null);
    set(box, "role", overflows ? "region" : null);
    set(box, "aria-label", overflows ? box.dataset.name : null);
  }
}

get("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const number = get("number").value.trim();
  if (number) location.href = story(number);
});

const edges = new ResizeObserver(reachable);
for (const box of document.querySelectorAll(".scroll")) edges.observe(box);

keepAsking(askMemory, 2);
keepAsking(askDatabase, 3);
setInterval(() => document.hidden || render(), 1000);
