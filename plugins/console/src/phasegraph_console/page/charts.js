// Small charts on canvas: lines with bands, a histogram with a marked edge, events on a time axis.

import { duration } from "./format.js";

const MARGIN = { left: 62, right: 8, top: 8, bottom: 18 };
const styles = () => getComputedStyle(document.documentElement);
const colour = (name) => styles().getPropertyValue(name).trim();

/** A canvas in device pixels, cleared: [context, width, height], or null where it is not visible. */
function prepare(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (!width || !height) return null;
  const wanted = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wanted[0] || canvas.height !== wanted[1]) [canvas.width, canvas.height] = wanted;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = "11px system-ui, sans-serif";
  return [context, width, height];
}

function axis(context, x0, x1, y, low, high, format) {
  context.fillStyle = colour("--quiet");
  context.strokeStyle = colour("--line");
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const value of [low, (low + high) / 2, high]) {
    context.beginPath();
    context.moveTo(x0, y(value));
    context.lineTo(x1, y(value));
    context.stroke();
    context.fillText(format(value), x0 - 5, y(value));
  }
}

function timeLabels(context, width, height, from, to) {
  context.fillStyle = colour("--quiet");
  context.textBaseline = "bottom";
  context.textAlign = "left";
  context.fillText(new Date(from).toLocaleTimeString([], { hour12: false }), MARGIN.left, height);
  context.textAlign = "right";
  context.fillText(new Date(to).toLocaleTimeString([], { hour12: false }), width - MARGIN.right, height);
}

/** The corrections of a clock with sigma and bound as bands, and changes of state and grandmaster as marks. */
export function drawClock(canvas, points) {
  const drawn = prepare(canvas);
  const known = points.filter((point) => typeof point.sigma_ns === "number");
  if (!drawn || known.length < 2) return;
  const [context, width, height] = drawn;
  const from = points[0].at_ms, to = points[points.length - 1].at_ms;
  const sorted = known.map((point) => Math.max(Math.abs(point.correction_ns || 0), 2 * point.sigma_ns)).sort((a, b) => a - b);
  const typical = sorted[Math.floor(sorted.length * 0.95)];
  const bound = known[known.length - 1].bound_ns;
  const most = Math.max(typical, typeof bound === "number" && bound < 8 * typical ? bound : 0, 10) * 1.15;
  const x = (at) => MARGIN.left + ((at - from) / Math.max(1, to - from)) * (width - MARGIN.left - MARGIN.right);
  const y = (ns) => MARGIN.top + (1 - (Math.max(-most, Math.min(most, ns)) + most) / (2 * most)) * (height - MARGIN.top - MARGIN.bottom);
  axis(context, MARGIN.left, width - MARGIN.right, y, -most, most, duration);
  const band = (field, fill) => {
    context.beginPath();
    known.forEach((point, i) => context[i ? "lineTo" : "moveTo"](x(point.at_ms), y(point[field] ?? most)));
    [...known].reverse().forEach((point) => context.lineTo(x(point.at_ms), y(-(point[field] ?? most))));
    context.fillStyle = colour(fill);
    context.fill();
  };
  band("bound_ns", "--band-2");
  band("sigma_ns", "--band");
  context.strokeStyle = colour("--accent");
  context.lineWidth = 1.5;
  context.beginPath();
  let pen = false;
  for (const point of points) {
    if (typeof point.correction_ns !== "number") { pen = false; continue; }
    context[pen ? "lineTo" : "moveTo"](x(point.at_ms), y(point.correction_ns));
    pen = true;
  }
  context.stroke();
  context.lineWidth = 1;
  for (let i = 1; i < points.length; i++) {
    const other = points[i].grandmaster !== points[i - 1].grandmaster;
    if (!other && points[i].state === points[i - 1].state) continue;
    context.strokeStyle = colour(other ? "--bad" : "--warn");
    context.beginPath();
    context.moveTo(x(points[i].at_ms), MARGIN.top);
    context.lineTo(x(points[i].at_ms), height - MARGIN.bottom);
    context.stroke();
  }
  timeLabels(context, width, height, from, to);
}

/** Bins of "EDGE:COUNT EDGE:COUNT"; each reaches down to the edge below it. */
export function parseHistogram(text) {
  return text.split(" ").map((item) => item.split(":").map(Number)).filter(([edge, n]) => Number.isFinite(edge) && n > 0);
}

/** Packets by lateness, the link offset as a line. Heights grow with the root, so that few late packets are seen. */
export function drawLateness(canvas, bins, offset, safe) {
  const drawn = prepare(canvas);
  if (!drawn || !bins.length) return;
  const [context, width, height] = drawn;
  const marks = [offset, safe].filter((value) => typeof value === "number");
  const low = Math.min(0, ...bins.map(([edge]) => edge / 1.045));
  const high = Math.max(...bins.map(([edge]) => edge), ...marks) * 1.08;
  const most = Math.sqrt(Math.max(...bins.map(([, n]) => n)));
  const x = (ns) => MARGIN.left + ((ns - low) / (high - low)) * (width - MARGIN.left - MARGIN.right);
  const base = height - MARGIN.bottom;
  for (const [edge, n] of bins) {
    const start = edge > 0 ? edge / 1.0443 : edge * 1.0443;
    const tall = Math.max(2, (Math.sqrt(n) / most) * (base - MARGIN.top));
    context.fillStyle = colour(typeof offset === "number" && edge > offset * 1.0443 ? "--bad" : "--accent");
    context.fillRect(x(start), base - tall, Math.max(2, x(edge) - x(start)), tall);
  }
  context.strokeStyle = colour("--line");
  context.strokeRect(MARGIN.left, MARGIN.top, width - MARGIN.left - MARGIN.right, base - MARGIN.top);
  const mark = (ns, name) => {
    context.strokeStyle = colour(name);
    context.lineWidth = 2;
    context.beginPath();
    context.moveTo(x(ns), MARGIN.top);
    context.lineTo(x(ns), base);
    context.stroke();
    context.lineWidth = 1;
  };
  const label = (ns, name, text, line) => {
    const size = context.measureText(text).width, top = MARGIN.top + 2 + 14 * line;
    const left = x(ns) > width * 0.6 ? x(ns) - 4 - size : x(ns) + 4;
    context.fillStyle = colour("--card"); // other lines do not run through the text
    context.fillRect(left - 2, top - 1, size + 4, 13);
    context.fillStyle = colour(name);
    context.textBaseline = "top";
    context.textAlign = "left";
    context.fillText(text, left, top);
  };
  if (typeof safe === "number") mark(safe, "--good");
  if (typeof offset === "number") mark(offset, "--bad");
  if (typeof offset === "number") label(offset, "--bad", `link offset ${duration(offset)}`, 0);
  if (typeof safe === "number") label(safe, "--good", `safe: ${duration(safe)}`, 1);
  context.fillStyle = colour("--quiet");
  context.textBaseline = "bottom";
  context.textAlign = "left";
  context.fillText(duration(low) || "0", MARGIN.left, height);
  context.textAlign = "right";
  context.fillText(`${duration(high)} after media time`, width - MARGIN.right, height);
  context.textBaseline = "top";
  context.fillText("packets", MARGIN.left - 5, MARGIN.top);
}

/** Events as marks, one line for each node; returns the places of the marks. */
export function drawTimeline(canvas, events, nodes, from, to) {
  const drawn = prepare(canvas);
  if (!drawn) return [];
  const [context, width, height] = drawn;
  const lanes = nodes.length || 1;
  const x = (at) => MARGIN.left + ((at - from) / Math.max(1, to - from)) * (width - MARGIN.left - MARGIN.right);
  const y = (lane) => MARGIN.top + ((lane + 0.5) / lanes) * (height - MARGIN.top - MARGIN.bottom);
  context.textBaseline = "middle";
  nodes.forEach((node, lane) => {
    context.strokeStyle = colour("--line");
    context.beginPath();
    context.moveTo(MARGIN.left, y(lane));
    context.lineTo(width - MARGIN.right, y(lane));
    context.stroke();
    context.fillStyle = colour("--quiet");
    context.textAlign = "right";
    context.fillText(node.length > 9 ? `${node.slice(0, 8)}…` : node, MARGIN.left - 5, y(lane));
  });
  const places = [];
  for (const event of events) {
    const at = Date.parse(event.at);
    if (at < from) continue;
    const place = { x: x(at), y: y(nodes.indexOf(event.node)), event };
    context.fillStyle = colour(GOOD_NEWS.has(event.name) ? "--good" : event.fields.reason ? "--bad" : "--accent");
    context.beginPath();
    context.arc(place.x, place.y, 4, 0, 7);
    context.fill();
    places.push(place);
  }
  timeLabels(context, width, height, from, to);
  return places;
}

const GOOD_NEWS = new Set([
  "stream_heard", "session_found", "ntp_synchronised", "fallback_left", "device_found", "restarted", "new-file", "graph_changed",
  "clock_locked",
]);
