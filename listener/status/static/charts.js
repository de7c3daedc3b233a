// The two drawings of the last day. Colours are the stylesheet's, read when something is drawn.

import { get, say } from "./dom.js";
import { clock, count, milliseconds, plural } from "./words.js";

const HEIGHT = 170;
const style = getComputedStyle(document.documentElement);
const colour = (name) => () => style.getPropertyValue(name).trim();
const font = () => `12px ${style.getPropertyValue("--font").trim()}`;

const time = {
  stroke: colour("--soft"),
  grid: { show: false },
  ticks: { show: false },
  values: (_, at) => at.map(clock),
  space: 70,
  size: 26,
  get font() {
    return font();
  },
};

const everything = (_, values) => values;

const measure = (values, size, filter = everything) => ({
  filter,
  stroke: colour("--soft"),
  grid: { stroke: colour("--line"), width: 1, filter },
  ticks: { show: false },
  values,
  size,
  get font() {
    return font();
  },
});

const wholeNumbers = (_, values) => values.map((value) => (Number.isInteger(value) ? count(value) : ""));
const powers = (_, values) => values.map((value) => (value === null ? "" : milliseconds(value)));
const onlyPowers = (_, values) => values.map((value) => (Number.isInteger(Math.log10(value)) ? value : null));

// Where nothing is known, nothing is drawn but a shade: it is no zero.
function shadeTheUnknown(chart) {
  const { at, orders } = history;
  const width = chart.valToPos(at[1], "x", true) - chart.valToPos(at[0], "x", true);
  chart.ctx.fillStyle = colour("--unknown")();
  at.forEach((instant, place) => {
    if (orders[place] !== null) return;
    const left = Math.max(chart.bbox.left, chart.valToPos(instant, "x", true) - width / 2);
    const right = Math.min(chart.bbox.left + chart.bbox.width, left + width + 0.5);
    chart.ctx.fillRect(left, chart.bbox.top, right - left, chart.bbox.height);
  });
}

function draw(name, columns, series, scale, axis, hover) {
  const holder = get(`${name}-chart`);
  const options = {
    width: holder.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    padding: [8, 4, 0, 0],
    cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false } },
    scales: { x: { time: true, range: (_, first, last) => [first - history.seconds / 2, last + history.seconds / 2] }, y: scale },
    axes: [time, axis],
    series: [{}, ...series],
    hooks: {
      drawClear: [shadeTheUnknown],
      setCursor: [(chart) => hover(chart.cursor.idx)],
    },
  };
  const chart = new uPlot(options, columns, holder);
  new ResizeObserver(() => chart.setSize({ width: holder.clientWidth, height: HEIGHT })).observe(holder);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => chart.redraw(false, true));
  return chart;
}

// Points alone: a line would tell of orders where there were none.
const points = (fill) => ({ stroke: colour(fill), paths: () => null, points: { show: true, size: 4, width: 0, fill: colour(fill) } });

const drawn = {};
let history = null;

export function show(past) {
  history = past;
  captions();
  const data = {
    orders: [past.at, past.orders],
    latency: [past.at, past.p99, past.p50],
  };
  for (const [name, columns] of Object.entries(data)) {
    if (drawn[name]) drawn[name].setData(columns);
    else drawn[name] = begin[name](columns);
  }
}

const begin = {
  orders: (columns) => {
    const bars = uPlot.paths.bars({ size: [0.7, 30] });
    const series = { paths: bars, fill: colour("--accent"), width: 0, points: { show: false } };
    const range = (_, __, most) => [0, Math.max(4, most ?? 0)];
    return draw("orders", columns, [series], { range }, measure(wholeNumbers, 44), hoverOrders);
  },
  latency: (columns) => {
    const range = (_, least, most) => [10 ** Math.floor(Math.log10(least || 1)), 10 ** Math.ceil(Math.log10((most || 100) * 1.01))];
    const series = [points("--second"), points("--accent")];
    return draw("latency", columns, series, { distr: 3, range }, measure(powers, 56, onlyPowers), hoverLatency);
  },
};

function captions() {
  const orders = history.orders.filter((n) => n !== null);
  const total = orders.reduce((sum, n) => sum + n, 0);
  const unknown = orders.length < history.at.length ? " Shaded: not known." : "";
  say(get("orders-caption"), `${plural(total, "order", "orders")} in 24 hours, at most ${count(Math.max(0, ...orders))} at a time.${unknown}`);
  const slowest = Math.max(0, ...history.p99.filter((ms) => ms !== null));
  const at = history.at[history.p99.lastIndexOf(slowest)];
  say(get("latency-caption"), total ? `p50 blue, p99 orange; the slowest p99 was ${milliseconds(slowest)}, at ${clock(at)}.` : "No order in 24 hours.");
}

function hoverOrders(place) {
  if (place === null || place === undefined) return captions();
  const n = history.orders[place];
  say(get("orders-caption"), `${clock(history.at[place])}: ${n === null ? "nothing is known" : plural(n, "order", "orders")}`);
}

function hoverLatency(place) {
  if (place === null || place === undefined) return captions();
  const [half, most] = [history.p50[place], history.p99[place]];
  say(get("latency-caption"), `${clock(history.at[place])}: ${half === null ? "no order" : `p50 ${milliseconds(half)}, p99 ${milliseconds(most)}`}`);
}
