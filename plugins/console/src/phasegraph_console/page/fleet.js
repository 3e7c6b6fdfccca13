// The site: runs of other consoles, which rooms agree, and the worst stream first.

import { ask } from "./connection.js";
import { byId, el, setText } from "./dom.js";
import { duration } from "./format.js";

const INTERVAL_MS = 2000;
const SHOWN_STREAMS = 20;

const row = (...cells) => el("tr", {}, ...cells.map((cell) => el("td", {}, cell)));
const grid = (head, rows) => el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, ...head.map((name) => el("th", {}, name)))), el("tbody", {}, ...rows)));

let shown = "";

export async function watchFleet() {
  for (;;) {
    const site = await ask("fleet").catch(() => null);
    byId("fleet").hidden = !site || site.consoles.length < 2;
    if (site && site.consoles.length > 1 && shown !== JSON.stringify(site)) {
      shown = JSON.stringify(site);
      draw(site);
    }
    await new Promise((done) => setTimeout(done, INTERVAL_MS));
  }
}

function draw(site) {
  setText(byId("fleet-headline"), site.headline);
  const consoles = site.consoles.flatMap((console) => (console.runs.length && !console.problem
    ? console.runs.map((run) => row(console.name, run.name, run.state, run.headline))
    : [row(console.name, "", console.problem ? "not read" : "", console.problem || "no run")]));
  const masters = site.grandmasters.flatMap((master) => master.clocks.map((clock) => row(master.grandmaster, `${clock.console}/${clock.run}`, clock.clock, clock.state, duration(clock.bound_ns))));
  const streams = site.streams.slice(0, SHOWN_STREAMS).map((stream) => row(`${stream.console}/${stream.run}`, stream.node, stream.spare_ns === null ? "" : duration(stream.spare_ns), stream.text));
  byId("fleet-body").replaceChildren(
    grid(["console", "run", "state", ""], consoles),
    el("h3", {}, "Who follows whom"), grid(["grandmaster", "run", "clock", "state", "bound"], masters),
    el("h3", {}, "Streams, the worst first"), grid(["run", "stream", "to spare", ""], streams));
}
