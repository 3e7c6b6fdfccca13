// The page: what it knows, and when it draws.

import { askForToken, describeStream, openDialog, openNode, openReceive, optionsOf, proposeStop, proposeVerify } from "./actions.js";
import { clockCard, crossingCard, otherCard, senderCard, streamCard } from "./cards.js";
import { drawTimeline } from "./charts.js";
import { ask, follow, takeTokenFromAddress } from "./connection.js";
import { byId, el, KeyedList, setText } from "./dom.js";
import { watchFleet } from "./fleet.js";
import { span, timeOfDay, words } from "./format.js";
import { drawGraph } from "./picture.js";

const MOST_EVENTS = 300;
const MOST_POINTS = 600;
const SHOWN_EVENTS = 100;
const TIMELINE_MS = 600_000;
const LATE_S = 2.5; // how much later than it is due a status may be
const ASK_AGAIN_MS = 5000; // for the graph of a run that was not given
const THEME = "phasegraph-theme";

/** By run: {overview, receivedAt, events, clocks, graph, askedAt, verified}. Bounded by what the console remembers. */
const runs = new Map();
let chosen = null;
let connection = { open: false, error: null };
let ready = false; // the stream has named the runs that there are: each that comes later is loaded when it comes
let schema = null;
let places = [];
let drawWanted = false;

const current = () => runs.get(chosen);
const lists = {
  clocks: new KeyedList(byId("clocks"), clockCard.make(actOn), clockCard.update),
  streams: new KeyedList(byId("streams"), streamCard.make(actOn), streamCard.update),
  crossings: new KeyedList(byId("crossings"), crossingCard.make(), crossingCard.update),
  senders: new KeyedList(byId("senders"), senderCard.make(actOn), senderCard.update),
  others: new KeyedList(byId("others"), otherCard.make(actOn), otherCard.update),
};

function record(name) {
  if (!runs.has(name)) runs.set(name, { overview: null, receivedAt: 0, events: [], clocks: new Map(), graph: null, askedAt: -Infinity, verified: null });
  return runs.get(name);
}

function onEvent(event, data) {
  if (event === "overview") {
    const known = record(data.name);
    const began = known.overview?.status?.started_at;
    known.overview = data;
    known.receivedAt = performance.now() - data.age_s * 1000;
    if (began && data.status && data.status.started_at !== began) {
      Object.assign(known, { events: [], clocks: new Map(), graph: null, verified: null });
      loadRun(data.name);
    } else if (ready && !known.graph && data.state === "running" && performance.now() - known.askedAt > ASK_AGAIN_MS) {
      loadRun(data.name);
    }
    for (const [id, point] of Object.entries(data.clock_points)) addPoint(known, id, point);
    if (!chosen || !runs.has(chosen)) choose(data.name);
  } else if (event === "event") {
    const known = record(data.run);
    if (!known.events.some((other) => other.number === data.event.number)) known.events.push(data.event);
    known.events.splice(0, known.events.length - MOST_EVENTS);
    if (data.event.name === "graph_changed") loadGraph(data.run);
  } else if (event === "gone") {
    runs.delete(data.run);
    if (chosen === data.run) choose(runs.keys().next().value ?? null);
  } else if (event === "ready") {
    ready = true;
    for (const name of runs.keys()) loadRun(name);
  }
  draw();
}

function addPoint(known, id, point) {
  if (!known.clocks.has(id)) known.clocks.set(id, []);
  const points = known.clocks.get(id);
  if (!points.length || points[points.length - 1].at_ms < point.at_ms) points.push(point);
  points.splice(0, points.length - MOST_POINTS);
}

async function loadRun(name) {
  record(name).askedAt = performance.now();
  try {
    const history = await ask(`runs/${encodeURIComponent(name)}/history`);
    const known = record(name);
    const newest = known.events.filter((event) => !history.events.some((other) => other.number === event.number));
    known.events = [...history.events, ...newest].slice(-MOST_EVENTS);
    for (const [id, points] of Object.entries(history.clocks)) known.clocks.set(id, points.slice(-MOST_POINTS));
  } catch {
    return; // it has gone meanwhile; an overview or "gone" says so
  }
  await loadGraph(name);
  draw();
}

async function loadGraph(name) {
  try {
    record(name).graph = (await ask(`runs/${encodeURIComponent(name)}/graph`)).graph;
  } catch {
    return; // an ended run has none: the picture goes without clocks
  }
  draw();
}

function choose(name) {
  chosen = name;
  draw();
}

function draw() {
  if (drawWanted) return;
  drawWanted = true;
  requestAnimationFrame(() => {
    drawWanted = false;
    drawPage();
  });
}

function drawPage() {
  drawChoice();
  drawConnection();
  const known = current();
  const overview = known?.overview;
  const ended = overview && overview.state !== "running";
  byId("stop").disabled = byId("change").disabled = byId("verify").disabled = !overview || ended;
  if (!overview) {
    setText(byId("headline"), connection.open ? "No run on this machine. Start one with kernel run." : "The console does not answer.");
    setText(byId("about"), "");
    byId("trouble").replaceChildren();
    for (const list of Object.values(lists)) list.show(new Map());
    return;
  }
  const status = overview.status;
  setText(byId("headline"), ended ? `${overview.headline} (${overview.ended_at ? new Date(overview.ended_at).toLocaleString() : ""})` : overview.headline);
  byId("headline").className = ended || status?.trouble.length ? "trouble" : "";
  document.title = `${status?.trouble.length || ended ? "(!) " : ""}${overview.name} - Phasegraph`;
  if (!status) return;
  setText(byId("about"), `${status.graph}${status.profile ? `, profile ${status.profile}` : ""}, process ${status.pid}, since ${new Date(status.started_at).toLocaleString()} (${span(status.duration_s)})`);
  const trouble = status.trouble.length > 1 ? status.trouble : [];
  if ([...byId("trouble").children].map((item) => item.textContent).join("\n") !== trouble.join("\n"))
    byId("trouble").replaceChildren(...trouble.map((text) => el("li", {}, text)));
  drawNodes(known, status);
  drawEvents(known);
  const clocks = Object.keys(known.graph?.clocks ?? {});
  const onlyClock = clocks.length === 1 ? clocks[0] : null; // it need not be named
  const clockOf = (id) => ["sources", "sinks"].map((role) => known.graph?.[role]?.[id]?.clock).find(Boolean) ?? (status.nodes[id].pace === "clock" ? onlyClock : null);
  const shape = JSON.stringify([Object.entries(status.nodes).map(([id, node]) => [id, node.kind, node.state, node.severity, node.metrics.state]), Object.keys(status.edges), known.graph]);
  if (known.shape !== shape) {
    known.shape = shape;
    picture = null;
  }
  if (picture !== chosen) {
    picture = chosen;
    drawGraph(byId("picture"), status, clockOf);
    setText(byId("graph-text"), known.graph ? toml(known.graph) : "The run has not said it yet.");
  }
}
let picture = null;

function drawNodes(known, status) {
  const groups = { clocks: new Map(), streams: new Map(), senders: new Map(), others: new Map(), crossings: new Map() };
  const byUrgency = Object.entries(status.nodes).sort((a, b) => b[1].severity - a[1].severity);
  for (const [id, node] of byUrgency) {
    if (node.role === "clock") groups.clocks.set(id, { node, points: known.clocks.get(id) ?? [] });
    else if ("packets_received" in node.metrics) groups.streams.set(id, { node, status, verified: known.verified });
    else if ("packets_sent" in node.metrics) groups.senders.set(id, { node });
    else if (node.role !== "compensator") groups.others.set(id, { node, status });
  }
  for (const [name, edge] of Object.entries(status.edges)) if (edge.crossing) groups.crossings.set(name, { edge });
  for (const [name, list] of Object.entries(lists)) list.show(groups[name]);
}

function drawEvents(known) {
  const newest = known.events.slice(-SHOWN_EVENTS).reverse();
  const key = `${chosen} ${newest[0]?.number ?? 0} ${newest.length}`;
  const to = Date.now();
  const nodes = [...new Set(known.events.map((event) => event.node))].slice(0, 8);
  places = drawTimeline(byId("timeline"), known.events.filter((event) => nodes.includes(event.node)), nodes, to - TIMELINE_MS, to);
  byId("timeline").hidden = known.events.length === 0;
  if (byId("events").dataset.key === key) return;
  byId("events").dataset.key = key;
  byId("events").replaceChildren(...(newest.length ? newest.map(eventLine) : [el("li", { class: "quiet" }, "No event since the console follows this run.")]));
}

function eventLine(event) {
  const { reason, ...rest } = event.fields;
  const more = Object.entries(rest).map(([name, value]) => `${name} ${value}`).join(", ");
  return el("li", {}, el("time", { dateTime: event.at }, timeOfDay(event.at)), el("strong", {}, event.node), ` ${words(event.name)}`,
    reason || more ? `: ${[reason, more].filter(Boolean).join("; ")}` : "");
}

function drawChoice() {
  const select = byId("run");
  const names = [...runs.keys()];
  const texts = names.map((name) => (runs.get(name).overview?.state === "running" ? name : `${name} (${runs.get(name).overview?.state})`));
  if ([...select.options].map((option) => option.text).join("\n") !== texts.join("\n"))
    select.replaceChildren(...names.map((name, i) => el("option", { value: name }, texts[i])));
  if (chosen !== null && select.value !== chosen) select.value = chosen;
  select.disabled = names.length === 0;
}

function drawConnection() {
  const known = current();
  const age = known?.overview ? (performance.now() - known.receivedAt) / 1000 : 0;
  const running = known?.overview?.state === "running" && known.overview.status;
  const old = running && age > known.overview.interval_s + LATE_S;
  let text = "live";
  if (!connection.open) text = `reconnecting: ${connection.error?.message ?? "the console does not answer"}`;
  if (old) text = `these figures are ${span(age)} old${connection.open ? "" : "; reconnecting"}`;
  else if (connection.open && !running) text = "connected";
  setText(byId("connection"), text);
  byId("connection").className = connection.open && !old ? "live" : "stale";
  document.body.classList.toggle("stale", Boolean(old || !connection.open));
}

async function actOn(id) {
  const known = current();
  try {
    schema ??= await ask("schema");
  } catch {
    schema = null; // without it, the options are not offered
  }
  const sources = Object.entries(known.overview.status.nodes).filter(([, node]) => node.role === "source").map(([name]) => name);
  openNode(chosen, id, known.overview.status.nodes[id], known.graph, schema ?? {}, sources);
}

function openChange() {
  const nodes = Object.keys(current().overview.status.nodes);
  openDialog("Change the run", [el("p", {}, "Choose a node. Each change is shown as a plan first."),
    el("ul", {}, ...nodes.map((id) => el("li", {}, el("button", { type: "button", onclick: () => actOn(id) }, id)))),
    el("p", {}, "A session that is announced on the network is received from the list under Network.")], []);
}

let listening = null;
async function discover() {
  clearTimeout(listening);
  try {
    const found = await ask("sessions");
    byId("sessions").replaceChildren(...found.sessions.map(sessionLine));
    setText(byId("discovery"), found.problem || `${found.sessions.length} announced${found.listening ? "; listening ..." : ""}`);
    listening = setTimeout(discover, found.listening ? 1500 : 15000);
  } catch (error) {
    setText(byId("discovery"), error.message);
  }
}

function sessionLine(session) {
  const usable = session.ok && session.streams.length > 0;
  const receive = el("button", { type: "button", disabled: !usable || !current()?.graph, onclick: () => openReceive(chosen, session, current().graph, current().overview.status) }, "Receive this into ...");
  const show = el("button", { type: "button", onclick: () => openDialog(session.name || session.key || "Session", [...explained(session), el("pre", {}, session.sdp ?? "")], []) }, "SDP");
  return el("li", {}, el("strong", {}, session.name || session.key || "without a name"), ` ${usable ? describeStream(session.streams[0]) : (session.problems ?? []).join("; ")} `,
    el("span", { class: "quiet" }, `${session.by}, from ${session.origin} `), receive, " ", show);
}

const explained = (result) => [...result.streams.map((stream) => el("p", {}, describeStream(stream))), ...result.problems.map((problem) => el("p", { class: "trouble" }, problem))];

async function explainSdp() {
  try {
    const [result] = await ask("sdp", { sdp: byId("sdp-text").value });
    byId("sdp-answer").replaceChildren(el("p", {}, result.ok ? "Usable." : "Not usable."), ...explained(result));
  } catch (error) {
    byId("sdp-answer").replaceChildren(el("p", {}, error.message));
  }
}

async function fillKinds() {
  const select = byId("kind");
  if (select.options.length > 1) return;
  schema ??= await ask("schema").catch(() => null);
  const kinds = Object.keys(schema?.$defs ?? {}).filter((name) => /^[a-z]+\.[\w-]+$/.test(name));
  select.append(...kinds.map((name) => el("option", { value: name }, name.replace(/^(\w+?)s\./, "$1 "))));
}

function explainKind() {
  const [role, kind] = byId("kind").value.split(".");
  const options = role ? optionsOf(schema, role.slice(0, -1), kind) : [];
  byId("options").replaceChildren(el("div", { class: "scroll" }, el("table", {},
    el("thead", {}, el("tr", {}, el("th", {}, "option"), el("th", {}, "default"), el("th", {}, "means"))),
    el("tbody", {}, ...options.map(([name, described]) => el("tr", {}, el("td", {}, name), el("td", {}, described.default === undefined ? "" : JSON.stringify(described.default)), el("td", {}, described.description ?? "")))))));
}

/** A graph as a graph file has it. */
function toml(graph) {
  const value = (item) => Array.isArray(item) ? `[${item.map(value).join(", ")}]` : item && typeof item === "object" ? `{ ${Object.entries(item).map(([k, v]) => `${k} = ${value(v)}`).join(", ")} }` : JSON.stringify(item);
  const lines = Object.entries(graph).filter(([, item]) => typeof item !== "object" || item === null).map(([k, v]) => `${k} = ${value(v)}`);
  for (const [role, tables] of Object.entries(graph)) {
    if (typeof tables !== "object" || tables === null) continue;
    for (const [id, table] of Object.entries(tables)) lines.push("", `[${role}.${id}]`, ...Object.entries(table).filter(([, v]) => v !== null).map(([k, v]) => `${k} = ${value(v)}`));
  }
  return lines.join("\n");
}

function applyTheme(theme) {
  const dark = theme === "dark" || (theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.classList.toggle("dark", dark);
  byId("theme").textContent = theme === "dark" || theme === "light" ? `Theme: ${theme}` : "Theme: as the system";
  picture = null;
  draw();
}

function nextTheme() {
  const order = ["system", "dark", "light"];
  const next = order[(order.indexOf(localStorage.getItem(THEME) ?? "system") + 1) % order.length];
  localStorage.setItem(THEME, next);
  applyTheme(next);
}

takeTokenFromAddress();
applyTheme(localStorage.getItem(THEME));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => applyTheme(localStorage.getItem(THEME)));
byId("run").addEventListener("change", (event) => choose(event.target.value));
byId("theme").addEventListener("click", nextTheme);
byId("token").addEventListener("click", () => askForToken(() => location.reload()));
byId("stop").addEventListener("click", () => proposeStop(chosen));
byId("change").addEventListener("click", openChange);
byId("verify").addEventListener("click", () => {
  const known = current();
  proposeVerify(chosen, (result) => {
    known.verified = { at: new Date(), subjects: result.subjects };
    draw();
  });
});
byId("discover").addEventListener("click", discover);
byId("sdp-explain").addEventListener("click", explainSdp);
byId("kind").addEventListener("focus", fillKinds);
byId("kind").addEventListener("pointerenter", fillKinds);
byId("kind").addEventListener("change", explainKind);
byId("timeline").addEventListener("click", (click) => {
  const near = places.find((place) => Math.hypot(place.x - click.offsetX, place.y - click.offsetY) < 8);
  if (near) openDialog(words(near.event.name), [el("p", {}, `${near.event.node}, ${new Date(near.event.at).toLocaleString()}`), ...Object.entries(near.event.fields).map(([name, value]) => el("p", {}, `${name}: ${value}`))], []);
});
addEventListener("resize", draw);
setInterval(draw, 1000);
watchFleet();
follow(onEvent, (state, error) => {
  connection = { open: state === "open", error: error ?? null };
  ready = false;
  if (error?.status === 401 && !byId("dialog").open) askForToken(() => location.reload(), error.message);
  draw();
});
