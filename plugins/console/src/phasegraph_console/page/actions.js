// What changes a run. Everything is shown as a plan first, and done only when it is confirmed.

import { ask, hasToken, RequestError, setToken } from "./connection.js";
import { byId, el } from "./dom.js";
import { duration } from "./format.js";

const dialog = () => byId("dialog");

/** Open the dialog; ``buttons`` are [text, action, class]. An action that throws shows its sentence, and it stays open. */
export function openDialog(title, body, buttons) {
  byId("dialog-title").textContent = title;
  byId("dialog-error").textContent = "";
  byId("dialog-body").replaceChildren(...body);
  const close = el("button", { type: "button", onclick: () => dialog().close() }, "Close");
  byId("dialog-buttons").replaceChildren(close, ...buttons.map(([text, action, style]) => {
    const button = el("button", { type: "button", class: style ?? "primary", onclick: () => run(button, action) }, text);
    return button;
  }));
  if (!dialog().open) dialog().showModal();
}

async function run(button, action) {
  button.disabled = true;
  byId("dialog-error").textContent = "";
  try {
    await action();
  } catch (error) {
    if (error instanceof RequestError && error.status === 401) return void askForToken(() => {}, error.message);
    byId("dialog-error").textContent = [error.message, ...(error.problems ?? [])].join("\n");
    button.disabled = false;
  }
}

export function askForToken(then, why = "") {
  const field = el("input", { type: "password", autocomplete: "off", id: "token-field" });
  openDialog("Token", [
    el("p", {}, why || "The operator's token changes runs, the read-only token reads. kernel console prints where they are. It is kept until this tab is closed."),
    el("label", {}, "Token", field),
  ], [
    ["Forget it", () => { setToken(""); dialog().close(); then(); }, "danger"],
    ["Use it", () => { setToken(field.value.trim()); dialog().close(); then(); }],
  ]);
  field.focus();
}

function needToken(then) {
  if (hasToken()) return then();
  askForToken(then, "Changing a run needs the operator's token: kernel console prints where it is.");
}

/** Show what a change would do, and do it when it is confirmed. */
export function proposeChange(run, title, set) {
  needToken(async () => {
    const list = el("ul", { class: "plan" }, el("li", {}, "planning ..."));
    openDialog(title, [list], []);
    let plan;
    try {
      plan = await ask(`runs/${encodeURIComponent(run)}/plan`, { set });
    } catch (error) {
      if (error.status === 401) return askForToken(() => proposeChange(run, title, set), error.message);
      list.replaceChildren(el("li", { class: "problem" }, error.message));
      return;
    }
    const changed = plan.changes.filter((change) => change.change !== "untouched");
    const untouched = plan.changes.length - changed.length;
    const body = el("ul", { class: "plan" },
      ...plan.problems.map((problem) => el("li", { class: "problem" }, problem)),
      ...changed.map((change) => el("li", {}, change.text)),
      el("li", { class: "quiet" }, changed.length || plan.problems.length ? `${untouched} other nodes go on untouched.` : "Nothing would change."));
    const apply = async () => {
      await ask(`runs/${encodeURIComponent(run)}/apply`, { set });
      openDialog("Done", [el("p", {}, "The run has changed."), body], []);
    };
    openDialog(title, [el("p", {}, "This would happen:"), body], plan.problems.length || !changed.length ? [] : [["Do it", apply]]);
  });
}

export function proposeStop(run) {
  needToken(() => {
    const now = el("input", { type: "checkbox" });
    openDialog(`Stop ${run}`, [
      el("p", {}, `The run ${run} would end: its sources finish, its sinks write and send what they have. It does not start again by itself.`),
      el("label", {}, now, " at once, without waiting for sinks"),
    ], [["Stop it", async () => { await ask(`runs/${encodeURIComponent(run)}/stop`, { at_once: now.checked }); dialog().close(); }, "danger"]]);
  });
}

/** Have ``kernel verify`` judge what the flight recorder holds; ``onVerified`` gets the result. */
export function proposeVerify(run, onVerified) {
  needToken(() => openDialog(`Verify ${run}`, [
    el("p", {}, "The packets that the run's flight recorder holds are written to a capture, and each stream and PTP domain in it is judged by AES67, ST 2110, EBU LIST, JT-NM and PTP profiles. The run goes on."),
  ], [["Verify", async () => {
    const result = await ask(`runs/${encodeURIComponent(run)}/verify`, {});
    onVerified(result);
    openDialog(`${result.verdict}: ${run}`, [el("p", { class: "quiet" }, result.file), ...result.subjects.flatMap(verdictTable), ...result.notes.map((note) => el("p", { class: "quiet" }, note))], []);
  }]]));
}

/** What was judged of one stream or PTP domain: the figure beside each limit. */
export function verdictTable(subject) {
  const row = (check) => el("tr", {}, el("td", { class: check.verdict }, check.verdict), el("td", {}, check.standard), el("td", {}, check.name), el("td", {}, check.measured), el("td", {}, check.limit));
  return [el("h3", {}, el("span", { class: subject.verdict }, subject.verdict), ` ${subject.name}`), el("p", { class: "quiet" }, subject.description),
    el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, ...["", "standard", "check", "measured", "limit"].map((name) => el("th", {}, name)))), el("tbody", {}, ...subject.checks.map(row))))];
}

function proposeRestart(run, node) {
  needToken(() => openDialog(`Restart ${node}`, [
    el("p", {}, `${node} would end and start again. The other nodes go on.`),
  ], [["Restart it", async () => { await ask(`runs/${encodeURIComponent(run)}/restart`, { node }); dialog().close(); }, "danger"]]));
}

const select = (name, choices, chosen) => {
  const field = el("select", { "aria-label": name }, ...choices.map(([value, text]) => el("option", { value }, text)));
  if (chosen !== undefined) field.value = chosen;
  return field;
};

const OF_ROLE = { clock: "clocks", source: "sources", compensator: "compensators", sink: "sinks" };

/** The options of a kind: [name, description, JSON Schema]. */
export function optionsOf(schema, role, kind) {
  const table = schema.$defs?.[`${OF_ROLE[role]}.${kind}`];
  return Object.entries(table?.properties ?? {}).filter(([name]) => name !== "kind");
}

/** What can be done with one node. */
export async function openNode(run, id, node, graph, schema, sources) {
  const table = graph?.[OF_ROLE[node.role]]?.[id] ?? {};
  const body = [el("p", { class: "said" }, node.text)];
  const options = optionsOf(schema, node.role, node.kind);
  if (options.length) {
    const choice = select("Option", options.map(([name]) => [name, name]));
    const value = el("input", { type: "text", "aria-label": "New value", spellcheck: false });
    const about = el("p", { class: "quiet" });
    const show = () => {
      const [name, described] = options.find(([each]) => each === choice.value);
      const now = table[name] ?? described.default;
      value.value = now === undefined ? "" : typeof now === "string" ? now : JSON.stringify(now);
      about.textContent = described.description ?? "";
    };
    choice.addEventListener("change", show);
    show();
    const set = () => proposeChange(run, `Set ${choice.value} of ${id}`, { [`${node.role}.${id}.${choice.value}`]: typed(value.value, options.find(([each]) => each === choice.value)[1]) });
    body.push(el("h3", {}, "Set an option"), el("label", {}, "Option", choice), about, el("label", {}, "New value", value), el("button", { type: "button", onclick: set }, "Show the plan"));
  }
  if (node.role === "sink" && sources.length) {
    const input = select("Input", sources.map((source) => [source, source]), typeof table.input === "string" ? table.input : undefined);
    body.push(el("h3", {}, "Switch the input"), el("label", {}, "Input", input),
      el("button", { type: "button", onclick: () => proposeChange(run, `Switch ${id} to ${input.value}`, { [`sink.${id}.input`]: input.value }) }, "Show the plan"));
  }
  openDialog(id, body, [["Restart ...", () => proposeRestart(run, id), "danger"]]);
}

/** A value as the option's type has it: numbers and truth values are not text. */
export function typed(text, described) {
  if (text === "") return null;
  if (described.type === "string" || described.enum) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

const idFrom = (name, taken) => {
  const base = name.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 40) || "stream";
  let id = base;
  for (let number = 2; taken.includes(id); number++) id = `${base}-${number}`;
  return id;
};

/** "Receive this into ...": a new source for an announced session, read by a sink that there is, or by a new recording. */
export function openReceive(run, session, graph, status) {
  const stream = session.streams[0];
  const id = idFrom(session.name || "stream", Object.keys(status.nodes));
  const clocks = Object.keys(graph.clocks ?? {});
  const sinks = Object.entries(status.nodes).filter(([, node]) => node.role === "sink").map(([name]) => name);
  const interfaces = [...new Set(Object.values(graph.sources ?? {}).concat(Object.values(graph.sinks ?? {})).map((table) => table.interface).filter(Boolean))];
  const clock = select("Clock", clocks.map((name) => [name, name]));
  const network = el("input", { type: "text", value: interfaces[0] ?? "", "aria-label": "Interface", placeholder: "as the routes choose" });
  const into = select("Into", [["", "nothing yet"], ["new", `a new recording, ${id}.wav`], ...sinks.map((name) => [`sink:${name}`, `${name} (its input is switched)`])]);
  const plan = () => {
    const table = { kind: "aes67", clock: clock.value, group: stream.group, port: stream.port, encoding: stream.encoding, rate: `${stream.rate} Hz`, channels: stream.channels };
    if (stream.packet_time_ns) table["packet-time"] = `${stream.packet_time_ns} ns`;
    if (stream.payload_type !== null && stream.payload_type !== undefined) table["payload-type"] = stream.payload_type;
    if (network.value.trim()) table.interface = network.value.trim();
    const set = { [`source.${id}`]: table };
    if (into.value === "new") set[`sink.${id}-recording`] = { kind: "file", input: id, path: `${id}.wav` };
    else if (into.value) set[`sink.${into.value.slice(5)}.input`] = id;
    proposeChange(run, `Receive ${session.name}`, set);
  };
  openDialog(`Receive ${session.name}`, [
    el("p", {}, describeStream(stream)), el("label", {}, "Clock", clock), el("label", {}, "Interface", network), el("label", {}, "Into", into),
  ], [["Show the plan", plan]]);
}

/** A stream of `kernel sdp` in words. */
export function describeStream(stream) {
  const parts = [stream.encoding, `${stream.rate / 1000} kHz`, `${stream.channels} channel${stream.channels === 1 ? "" : "s"}`];
  if (stream.packet_time_ns) parts.push(`packets of ${duration(stream.packet_time_ns)}`);
  parts.push(`to ${stream.group}:${stream.port}`);
  if (stream.ts_refclk) parts.push(`clock ${typeof stream.ts_refclk === "string" ? stream.ts_refclk : JSON.stringify(stream.ts_refclk)}`);
  return parts.join(", ");
}
