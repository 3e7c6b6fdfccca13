// The graph as a picture: clocks, sources and sinks in three columns, crossings drawn thick.

const SVG = "http://www.w3.org/2000/svg";
const BOX = { width: 190, height: 46, gap: 18 };
const COLUMNS = { clock: 20, source: 320, sink: 640 };

function shape(tag, attributes, text) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

/** Draw a status; ``clockOf`` gives the clock of a node, where the graph is known. */
export function drawGraph(container, status, clockOf) {
  const places = new Map();
  const rows = { clock: 0, source: 0, sink: 0 };
  for (const [id, node] of Object.entries(status.nodes)) {
    if (!(node.role in COLUMNS)) continue;
    places.set(id, { x: COLUMNS[node.role], y: 16 + rows[node.role]++ * (BOX.height + BOX.gap), node });
  }
  const height = 30 + Math.max(1, ...Object.values(rows)) * (BOX.height + BOX.gap);
  const svg = shape("svg", { viewBox: `0 0 850 ${height}`, role: "img", "aria-label": describe(status) });
  for (const [id, place] of places) {
    const clock = places.get(clockOf(id));
    if (!clock || place.node.role === "clock") continue;
    const [x0, y0, x1, y1] = [clock.x + BOX.width, clock.y + BOX.height / 2, place.x, place.y + BOX.height / 2];
    svg.append(shape("path", { class: "edge clock", d: `M${x0} ${y0} C${x0 + 60} ${y0} ${x1 - 60} ${y1} ${x1} ${y1}` }));
  }
  for (const [name, edge] of Object.entries(status.edges)) {
    const [from, to] = name.replace(/#\d+$/, "").split("->").map((id) => places.get(id));
    if (!from || !to) continue;
    const [x0, y0, x1, y1] = [from.x + BOX.width, from.y + BOX.height / 2, to.x, to.y + BOX.height / 2];
    const path = shape("path", { class: edge.crossing ? "edge crossing" : "edge", d: `M${x0} ${y0} C${x0 + 60} ${y0} ${x1 - 60} ${y1} ${x1} ${y1}` });
    path.append(shape("title", {}, edge.crossing ? `${name}: crossing, ${edge.text}` : name));
    svg.append(path);
    if (edge.crossing) svg.append(shape("text", { class: "quiet", x: (x0 + x1) / 2, y: (y0 + y1) / 2 - 6, "text-anchor": "middle" }, "crossing"));
  }
  for (const [id, { x, y, node }] of places) {
    const box = shape("rect", { class: `box severity-${Number(node.severity)}`, x, y, width: BOX.width, height: BOX.height, rx: 8 });
    box.append(shape("title", {}, `${id}: ${node.text}`));
    svg.append(box);
    svg.append(shape("text", { x: x + 10, y: y + 19 }, cut(id, 24)));
    svg.append(shape("text", { class: "quiet", x: x + 10, y: y + 36 }, cut(`${node.kind} ${node.role}, ${node.metrics.state ?? node.state}`, 30)));
  }
  container.replaceChildren(svg);
}

function describe(status) {
  const edges = Object.entries(status.edges).map(([name, edge]) => (edge.crossing ? `${name} (crossing)` : name));
  return `${Object.keys(status.nodes).length} nodes; ${edges.join(", ")}`;
}
