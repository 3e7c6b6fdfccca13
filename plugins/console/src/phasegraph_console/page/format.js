// Numbers as people read them.

const UNITS = [[1e9, "s"], [1e6, "ms"], [1e3, "µs"]];

/** A time in nanoseconds: 1.07 ms. */
export function duration(ns) {
  if (typeof ns !== "number") return "";
  const size = Math.abs(ns);
  for (const [scale, unit] of UNITS) {
    if (size >= scale) return `${digits(ns / scale)} ${unit}`;
  }
  return `${Math.round(ns)} ns`;
}

export function digits(value) {
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
}

/** A count, thousands apart. */
export function count(value) {
  return typeof value === "number" ? Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, " ") : "";
}

export function ppm(ppb, sigma) {
  if (typeof ppb !== "number") return "";
  const text = `${ppb >= 0 ? "+" : "−"}${Math.abs(ppb / 1000).toFixed(3)} ppm`;
  return typeof sigma === "number" ? `${text} ± ${(sigma / 1000).toFixed(3)}` : text;
}

export function rate(value, unit) {
  return typeof value === "number" ? `${digits(value)} ${unit}/s` : "";
}

/** Seconds as a length of time: 2 h 5 min. */
export function span(seconds) {
  if (seconds < 60) return `${seconds.toFixed(0)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export const timeOfDay = (iso) => new Date(iso).toLocaleTimeString([], { hour12: false });

/** An event's name in words. */
export const words = (name) => name.replaceAll("_", " ").replaceAll("-", " ");
