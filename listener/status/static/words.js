// Numbers and times as people read them.

const whole = new Intl.NumberFormat("en");
const UNITS = [
  ["s", 1, 120],
  ["min", 60, 7200],
  ["h", 3600, 172800],
];

export const count = (n) => whole.format(n);

export const plural = (n, one, many) => `${count(n)} ${n === 1 ? one : many}`;

// A length of time in the unit that says most.
export function span(seconds) {
  for (const [unit, size, most] of UNITS) {
    if (seconds < most) return `${Math.max(0, Math.round(seconds / size))} ${unit}`;
  }
  return `${count(Math.round(seconds / 86400))} days`;
}

export function milliseconds(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms >= 1000) return ms < 10000 ? `${(ms / 1000).toFixed(1)} s` : span(ms / 1000);
  return `${ms < 10 ? Number(ms.toFixed(1)) : Math.round(ms)} ms`;
}

export const percent = (share) => `${(100 * share).toFixed(share > 0.995 || share === 0 ? 0 : 1)} %`;

let ahead = 0; // seconds of the listener's clock before ours

export function setClock(theirs) {
  ahead = theirs - Date.now() / 1000;
}

export const now = () => Date.now() / 1000 + ahead;

const seconds = (iso) => Date.parse(iso) / 1000;

export function ago(iso) {
  if (!iso) return "–";
  const past = now() - seconds(iso);
  return past < 1.5 ? "now" : `${span(past)} ago`;
}

export function until(iso) {
  if (!iso) return "–";
  const rest = seconds(iso) - now();
  return rest < 0.5 ? "now" : `in ${span(rest)}`;
}

export const moment = (iso) => (iso ? new Date(iso).toLocaleString() : "");

export const clock = (at) => new Date(at * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
