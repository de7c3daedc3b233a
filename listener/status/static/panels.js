// The tables below the figures: workflows, wakes, orders, what is stuck, flags, and the day hour by hour.

import { each, get, make, prose, say, set, table } from "./dom.js";
import { ago, clock, count, milliseconds, moment, now, until } from "./words.js";

const STATES = {
  asleep: "good", awake: "busy", settling: "busy", running: "busy", waiting: "good", resting: "plain", standby: "plain", dormant: "plain",
  backoff: "bad", held: "bad", lost: "bad", disabled: "off", off: "off",
};

export function workflows(all) {
  table(get("workflows"), Object.entries(all), ([name]) => name, ([name, flow]) => [
    name,
    { text: flow.state ?? "not known", pill: STATES[flow.state] ?? "plain" },
    flow.backoff_until ? { text: `backs off, ${until(flow.backoff_until)}`, title: moment(flow.backoff_until), className: "bad" } : { text: until(flow.next_due_at), title: moment(flow.next_due_at) },
    { text: ago(flow.last_run_at), title: moment(flow.last_run_at) },
    { text: count(flow.processed), className: "n" },
    { text: count(flow.errors), className: flow.errors ? "n bad" : "n" },
  ]);
  const remarks = Object.entries(all).flatMap(([name, flow]) => [
    ...(flow.progress ? [[`${name} now`, `${name}: ${flow.progress}`]] : []),
    ...(flow.last_error ? [[name, `${name}, last error ${ago(flow.last_error_at)}: ${flow.last_error}`]] : []),
  ]);
  each(get("errors"), remarks, ([key]) => key, () => make("li"), (line, [, text]) => prose(line, text));
}

export function wakes(all) {
  const most = Math.max(1, ...Object.values(all));
  const create = () => {
    const row = make("tr");
    const name = make("th");
    name.scope = "row";
    const bar = make("td", "bar");
    bar.append(make("span"));
    row.append(name, bar, make("td", "n"));
    return row;
  };
  each(get("wakes"), Object.entries(all), ([source]) => source, create, (row, [source, n]) => {
    say(row.children[0], source);
    row.children[1].firstElementChild.style.width = n ? `max(2px, ${(100 * n) / most}%)` : "0";
    say(row.children[2], count(n));
  });
}

export const story = (number) => `/orders/${encodeURIComponent(number)}`;

export function orders(all) {
  get("no-orders").hidden = all.length > 0;
  get("orders-table").hidden = all.length === 0;
  table(get("orders"), all, (order) => order.number, (order) => [
    { text: order.number, href: story(order.number), className: "number" },
    { text: order.word, pill: order.kind, title: order.error },
    { text: ago(order.arrived_at), title: moment(order.arrived_at), className: "n" },
    { text: took(order), className: "n" },
    { text: order.shipstation_order_id || "–", className: "n spare" },
  ]);
}

function took({ arrived_at: arrived, settled_at: settled, kind, next_try_at: next }) {
  if (next) return until(next);
  return settled && kind === "done" ? milliseconds(Math.max(0, Date.parse(settled) - Date.parse(arrived))) : "–";
}

export function stuck({ stuck: gaveUp, refused }) {
  const lines = [
    ...gaveUp.map((order) => ({ ...order, word: order.state, at: order.since, text: order.reason })),
    ...refused.map((line) => ({ number: line.order_number, word: "refused", at: line.at, text: line.reason, todo: `${line.file}${line.line === null ? "" : `, line ${line.line}`}: mend it there, and the file is read again` })),
  ];
  get("nothing-stuck").hidden = lines.length > 0;
  each(get("stuck"), lines, (line) => `${line.word} ${line.number} ${line.at}`, stuckLine, (node, line) => {
    const [head, reason, todo] = node.children;
    const [number, pill, when] = head.children;
    say(number, line.number ?? "a file");
    set(number, "href", line.number ? story(line.number) : null);
    say(pill, line.word);
    say(when, ago(line.at));
    say(reason, line.text);
    prose(todo, line.todo);
  });
  prose(get("stuck-more"), gaveUp.length === 10 ? "The newest ten: `listener failed` lists them all." : "");
}

function stuckLine() {
  const node = make("li");
  const head = make("p");
  head.append(make("a", "number"), make("span", "pill stuck"), make("span", "small"));
  node.append(head, make("p"), make("p", "small"));
  return node;
}

export function flags(inForce, receipts) {
  const create = () => {
    const row = make("tr");
    const name = make("th");
    name.scope = "row";
    name.append(make("span"), make("p", "small"));
    row.append(name, make("td", "n value"));
    return row;
  };
  each(get("flags"), Object.entries(inForce), ([name]) => name, create, (row, [name, value]) => {
    const [label, note] = row.firstElementChild.children;
    const receipt = receipts[name];
    say(label, name);
    say(row.lastElementChild, String(value));
    say(note, receipt ? lastChange(receipt) : "");
    note.className = receipt && receipt.verdict !== "accepted" ? "small bad" : "small";
    set(note, "title", receipt ? moment(receipt.seen_at) : null);
  });
}

function lastChange(receipt) {
  const when = ago(receipt.seen_at);
  if (receipt.verdict !== "accepted") return `${when} refused: ${receipt.reason}`;
  const took = Date.parse(receipt.in_force_at) - Date.parse(receipt.seen_at);
  const change = `${receipt.old_value ?? "default"} → ${receipt.new_value ?? "default"}`;
  return `${change}, ${when}: accepted, in force ${milliseconds(Math.max(0, took))} after it was seen (${receipt.source})`;
}

export function hours(history) {
  const found = new Map();
  for (const [place, at] of history.at.entries()) {
    const hour = at - (at % 3600);
    if (!found.has(hour)) found.set(hour, []);
    found.get(hour).push(place);
  }
  const of = (name, places) => places.map((place) => history[name][place]).filter((n) => n !== null);
  const sum = (name, places) => (of(name, places).length ? count(of(name, places).reduce((a, b) => a + b, 0)) : "–");
  const most = (name, places) => (of(name, places).length ? milliseconds(Math.max(...of(name, places))) : "–");
  table(get("hours"), [...found].reverse(), ([hour]) => hour, ([hour, places]) => [
    clock(hour),
    { text: sum("orders", places), className: "n" },
    { text: most("p50", places), className: "n" },
    { text: most("p99", places), className: "n" },
    { text: sum("errors", places), className: "n" },
    { text: sum("missed", places), className: "n" },
    { text: sum("calls", places), className: "n" },
  ]);
}
