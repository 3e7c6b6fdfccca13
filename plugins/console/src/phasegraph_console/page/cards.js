// One card for each node and crossing: what it is, how it is, its figures and its chart.

import { openDialog, verdictTable } from "./actions.js";
import { drawClock, drawLateness, parseHistogram } from "./charts.js";
import { el, Figures, setText } from "./dom.js";
import { count, digits, duration, ppm, rate, timeOfDay } from "./format.js";

const LOSSES = ["lost", "late", "early", "duplicate", "reordered", "malformed", "foreign"];
const LEVEL = /^level_peak_dbfs_(\d+)$/;
const PAIR = /^phase_correlation_(\d+)_(\d+)$/;
const SHOWN_PAIRS = 8;

function makeCard(id, chart, more) {
  const entry = {
    badge: el("span", { class: "badge" }),
    kind: el("span", { class: "kind" }),
    said: el("p", { class: "said" }),
    figures: new Figures(),
    chart: chart ? el("canvas", { class: "chart", role: "img" }) : null,
    extra: el("div"),
  };
  const head = el("header", {}, el("h3", {}, id), entry.kind, entry.badge);
  if (more) head.append(el("button", { type: "button", class: "more", "aria-label": `Actions for ${id}`, onclick: () => more(id) }, "..."));
  entry.element = el("article", { class: "card" }, head, entry.said, entry.extra, entry.figures.element, entry.chart);
  return entry;
}

function showHead(entry, node, said = node.text) {
  entry.element.className = `card severity-${Number(node.severity) || 0}`;
  setText(entry.kind, node.kind ?? "");
  setText(entry.badge, node.metrics.state ?? node.state ?? "");
  entry.badge.className = `badge ${["good", "warn", "bad", "bad"][node.severity] ?? "good"}`;
  setText(entry.said, said);
  entry.said.className = node.severity ? "said trouble" : "said";
}

const share = (part, whole) => (typeof part === "number" && whole > 0 ? `${digits((100 * part) / whole)} %` : "");
/** A second, over 10 s where they have passed: a source publishes its counters twice a second, which shows in less. */
const per = (node, name) => {
  const rates = node.rates?.["10"] ?? node.rates?.["1"];
  return rates && name in node.metrics ? (rates[name] ?? 0) : undefined;
};

/** clockClass (IEEE 1588, 7.6.2), those that grandmasters usually have. */
const CLOCK_CLASSES = { 6: "locked to a reference", 7: "holdover", 13: "locked to its application", 14: "holdover", 52: "degraded", 187: "degraded", 193: "degraded", 248: "free running", 255: "follows only" };

export const clockCard = {
  make: (more) => (id) => makeCard(id, true, more),
  update(entry, { node, points }) {
    const m = node.metrics;
    showHead(entry, node);
    const last = points[points.length - 1];
    entry.figures.show([
      ["grandmaster", m.grandmaster ?? ""],
      ["class", m.grandmaster_class === undefined ? "" : [m.grandmaster_class, CLOCK_CLASSES[m.grandmaster_class]].filter(Boolean).join(", ")],
      ["domain", m.domain !== undefined ? String(m.domain) : ""],
      ["timescale", m.timescale ?? ""],
      ["correction", typeof last?.correction_ns === "number" ? duration(last.correction_ns) : ""],
      ["sigma", duration(m.sigma_ns)],
      ["bound", duration(m.bound_ns)],
      ["path delay", duration(m.path_delay_ns)],
      ["rate", ppm(m.rate_ppb)],
      ["time to lock", typeof m.time_to_lock_s === "number" ? `${digits(m.time_to_lock_s)} s` : ""],
      ["readers get", m.running_on ?? ""],
    ]);
    entry.chart.setAttribute("aria-label", `Corrections of the last minutes, with sigma ${duration(m.sigma_ns)} and bound ${duration(m.bound_ns)}`);
    drawClock(entry.chart, points);
  },
};

/** Levels of a node: its own, or those of a meter that reads it. */
export function levelsOf(id, status) {
  const own = channels(status.nodes[id].metrics);
  if (own.length) return own;
  for (const name of Object.keys(status.edges)) {
    const [from, to] = name.replace(/#\d+$/, "").split("->");
    if (from === id && status.nodes[to]) {
      const measured = channels(status.nodes[to].metrics);
      if (measured.length) return measured;
    }
  }
  return [];
}

const channels = (metrics) =>
  Object.keys(metrics).map((name) => LEVEL.exec(name)).filter(Boolean).map((match) => [Number(match[1]), metrics[match[0]]]).sort((a, b) => a[0] - b[0]);

/** Correlation of pairs of channels: 1 in phase, -1 in antiphase, where one of them is lost in mono. */
const phases = (metrics) =>
  Object.keys(metrics).map((name) => PAIR.exec(name)).filter(Boolean).slice(0, SHOWN_PAIRS)
    .map(([name, left, right]) => [`phase ${left}/${right}`, metrics[name].toFixed(2), metrics[name] < 0]);

function showLevels(entry, levels) {
  entry.meters ??= new Map();
  if (!entry.meterBox) entry.extra.append((entry.meterBox = el("div", { class: "meters" })));
  for (const [channel, meter] of entry.meters) {
    if (!levels.some(([other]) => other === channel)) {
      meter.line.remove();
      entry.meters.delete(channel);
    }
  }
  for (const [channel, level] of levels.slice(0, 16)) {
    let meter = entry.meters.get(channel);
    if (!meter) {
      meter = { bar: el("meter", { min: -70, max: 0, high: -3, low: -70, optimum: -20 }), text: el("span") };
      meter.bar.setAttribute("aria-label", `Level of channel ${channel}`);
      meter.line = el("div", { class: "meter-line" }, el("span", {}, String(channel)), meter.bar, meter.text);
      entry.meters.set(channel, meter);
      entry.meterBox.append(meter.line);
    }
    meter.bar.value = Math.max(-70, level);
    setText(meter.text, `${level <= -120 ? "−∞" : level.toFixed(1)} dBFS`);
  }
}

/** Where an http sink serves a node's sound: its own address, or that of a sink that reads it. */
function listenUrl(id, status) {
  const ids = [id, ...Object.keys(status.edges).map((name) => name.replace(/#\d+$/, "").split("->")).filter(([from]) => from === id).map(([, to]) => to)];
  return ids.map((each) => status.nodes[each]).filter((node) => node?.kind === "http").map((node) => node.metrics.url).find((url) => typeof url === "string" && /^http:\/\//.test(url));
}

const HERE = /^(127\.0\.0\.1|localhost)$/;

/** The "listen" button: a player in the page for what this computer serves to itself, a link elsewhere. */
function showListen(entry, url) {
  if (entry.listenUrl === url) return;
  entry.listenUrl = url;
  entry.leave?.();
  entry.listen?.remove();
  entry.listen = null;
  if (!url) return;
  const here = HERE.test(new URL(url).hostname);
  if (here && !HERE.test(location.hostname)) return; // served to that computer alone
  entry.listen = el("p", { class: "listen" });
  entry.extra.append(entry.listen);
  if (!here) return void entry.listen.append(el("a", { href: url, target: "_blank", rel: "noreferrer noopener" }, "listen"));
  let player = null;
  const button = el("button", { type: "button", "aria-pressed": "false", onclick: () => (player ? entry.leave() : start()) }, "listen");
  entry.leave = () => {
    if (!player) return;
    player.remove();
    player.replaceChildren();
    player.load(); // ends the connection
    player = null;
    button.textContent = "listen";
    button.setAttribute("aria-pressed", "false");
  };
  const start = () => {
    const source = (name) => el("source", { src: `${url}stream.${name}`, type: `audio/${name}` });
    player = el("audio", { controls: true, autoplay: true }, source("flac"), source("wav"));
    button.textContent = "stop listening";
    button.setAttribute("aria-pressed", "true");
    entry.listen.append(player);
  };
  entry.listen.append(button);
}

/** What kernel verify said of a stream, as a badge that opens the figures. */
function showVerified(entry, stream, verified) {
  const found = verified ? verified.subjects.filter((subject) => (stream ?? "").split(/[\s,+]+/).includes(subject.name)) : [];
  if (entry.verifiedAt === verified?.at) return;
  entry.verifiedAt = verified?.at;
  entry.verified?.remove();
  entry.verified = null;
  if (!found.length) return;
  const failed = found.some((subject) => subject.verdict === "FAIL");
  entry.verified = el("button", { type: "button", class: `badge ${failed ? "bad" : "good"}`, onclick: () => openDialog("Verified", found.flatMap(verdictTable), []) },
    `verified ${failed ? "FAIL" : "PASS"} ${timeOfDay(verified.at)}`);
  entry.badge.after(entry.verified);
}

function verdict(node) {
  const m = node.metrics;
  if (node.severity) return ["FAIL", "bad"];
  const lost = LOSSES.slice(0, 3).some((name) => (node.recent?.[`packets_${name}`] ?? 0) > 0);
  return lost || m.lateness_p99_ns > m.link_offset_ns ? ["FAIL", "bad"] : ["PASS", "good"];
}

export const streamCard = {
  make: (more) => (id) => makeCard(id, true, more),
  update(entry, { node, status, verified }, id) {
    const m = node.metrics;
    showHead(entry, node, [m.stream, node.severity ? node.text : ""].filter(Boolean).join(". ") || node.text);
    const [word, tone] = verdict(node);
    setText(entry.badge, word);
    entry.badge.className = `badge ${tone}`;
    entry.badge.title = "PASS: nothing was lost, late or early in the last 10 s, and 99 % arrive within the link offset";
    showVerified(entry, m.stream, verified);
    showLevels(entry, levelsOf(id, status));
    showListen(entry, listenUrl(id, status));
    const safe = typeof m.lateness_max_ns === "number" ? Math.ceil((m.lateness_max_ns * 1.2) / 1e5) * 1e5 : undefined;
    const legs = ["a", "b"].filter((leg) => `leg_${leg}_packets_received` in m).map((leg) => [
      `leg ${leg}`,
      `${count(m[`leg_${leg}_packets_received`])} received, ${count(m[`leg_${leg}_packets_lost`])} lost, ${count(m[`leg_${leg}_packets_late`])} late`,
      (node.recent?.[`leg_${leg}_packets_lost`] ?? 0) > 0,
    ]);
    entry.figures.show([
      ["packets", rate(per(node, "packets_received"), "")],
      ...LOSSES.map((name) => [name, m[`packets_${name}`] === undefined ? "" : count(m[`packets_${name}`]), (node.recent?.[`packets_${name}`] ?? 0) > 0]),
      ...legs,
      ["concealed", m.frames_concealed === undefined ? "" : `${count(m.frames_concealed)} frames`],
      ["lateness", m.lateness_p50_ns === undefined ? "" : `${duration(m.lateness_p50_ns)}, 99 % ${duration(m.lateness_p99_ns)}`],
      ["latest", duration(m.lateness_max_ns), m.lateness_max_ns > m.link_offset_ns],
      ["link offset", duration(m.link_offset_ns)],
      ["safe offset", safe ? duration(safe) : ""],
      ["sender", m.sender ?? ""],
      ["SSRC", m.ssrc === undefined ? "" : `0x${Number(m.ssrc).toString(16).toUpperCase().padStart(8, "0")}`],
      ["sender's rate", ppm(m.sender_rate_ppb, m.sender_rate_sigma_ppb)],
      ["dropped here", m.socket_dropped ? count(m.socket_dropped) : "", true],
    ]);
    const bins = typeof m.lateness_histogram === "string" ? parseHistogram(m.lateness_histogram) : [];
    entry.chart.hidden = bins.length === 0;
    entry.chart.setAttribute("aria-label", `Packets by lateness; link offset ${duration(m.link_offset_ns)}, 99 % within ${duration(m.lateness_p99_ns)}`);
    drawLateness(entry.chart, bins, m.link_offset_ns, safe);
  },
};

export const crossingCard = {
  make: () => (id) => makeCard(id, false, null),
  update(entry, { edge }) {
    const m = edge.metrics;
    showHead(entry, { severity: edge.severity ?? (m.state === "locked" ? 0 : 1), metrics: m, kind: "crossing", text: edge.text });
    entry.figures.show([
      ["alignment error", duration(m.phase_error_ns)],
      ["rms", m.phase_error_rms_frames === undefined ? "" : `${digits(m.phase_error_rms_frames)} frames`],
      ["ratio", ppm(m.ratio_ppb, m.device_sigma_ppb)],
      ["buffer", m.buffer_frames === undefined ? "" : `${count(m.buffer_frames)} frames`],
      ["resyncs", count(m.resyncs), (edge.recent?.resyncs ?? 0) > 0],
      ["missing frames", count(m.missing_frames), (edge.recent?.missing_frames ?? 0) > 0],
      ["time to lock", typeof m.time_to_lock_s === "number" ? `${digits(m.time_to_lock_s)} s` : ""],
    ]);
  },
};

export const senderCard = {
  make: (more) => (id) => makeCard(id, false, more),
  update(entry, { node }) {
    const m = node.metrics;
    showHead(entry, node, [m.stream, node.severity ? node.text : ""].filter(Boolean).join(". ") || node.text);
    entry.figures.show([
      ["packets", rate(per(node, "packets_sent"), "")],
      ["sent", count(m.packets_sent)],
      ["refused", count(m.send_errors), (node.recent?.send_errors ?? 0) > 0],
      ["behind the grid", duration(m.pacing_error_p50_ns)],
      ["99 %", duration(m.pacing_error_p99_ns)],
      ["at most", duration(m.pacing_error_max_ns)],
      ["back to back", share(per(node, "packets_back_to_back"), per(node, "packets_sent"))],
      ["lead", duration(m.lead_ns)],
      ["underruns", count(m.underruns), (node.recent?.underruns ?? 0) > 0],
      ["resyncs", m.sender_resyncs ? count(m.sender_resyncs) : ""],
    ]);
  },
};

export const otherCard = {
  make: (more) => (id) => makeCard(id, false, more),
  update(entry, { node, status }, id) {
    const m = node.metrics;
    showHead(entry, node);
    showLevels(entry, channels(status.nodes[id].metrics));
    showListen(entry, node.kind === "http" ? listenUrl(id, status) : undefined);
    entry.figures.show([
      ["frames", count(m.frames_in ?? m.frames_out)],
      ["frames/s", digits(per(node, "frames_in") ?? per(node, "frames_out") ?? NaN).replace("NaN", "")],
      ["underruns", count(m.underruns), (node.recent?.underruns ?? 0) > 0],
      ["overruns", count(m.overruns), (node.recent?.overruns ?? 0) > 0],
      ["device rate", ppm(m.device_rate_ppb, m.device_sigma_ppb)],
      ["true peak", m.level_true_peak_dbtp === undefined ? "" : `${m.level_true_peak_dbtp.toFixed(1)} dBTP`],
      ["momentary", m.loudness_momentary_lufs === undefined ? "" : `${m.loudness_momentary_lufs.toFixed(1)} LUFS`],
      ["short-term", m.loudness_short_term_lufs === undefined ? "" : `${m.loudness_short_term_lufs.toFixed(1)} LUFS`],
      ...phases(m),
      ["listeners", count(m.listeners)],
    ]);
  },
};
