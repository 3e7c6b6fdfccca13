// The connection to the console: requests with the token, and the stream of events, which comes back by itself.

const TOKEN = "phasegraph-token";
export const SILENT_MS = 12000; // the console sends something every 5 s

export class RequestError extends Error {
  constructor(status, message, problems = []) {
    super(message);
    this.status = status;
    this.problems = problems;
  }
}

/** A link may carry a token: it is kept for this tab, and taken out of the address. */
export function takeTokenFromAddress() {
  const match = /^#token=([\w-]+)$/.exec(location.hash);
  if (match) {
    setToken(match[1]);
    history.replaceState(null, "", location.pathname);
  }
}

export const setToken = (token) => (token ? sessionStorage.setItem(TOKEN, token) : sessionStorage.removeItem(TOKEN));
export const hasToken = () => sessionStorage.getItem(TOKEN) !== null;

function headers() {
  const token = sessionStorage.getItem(TOKEN);
  return token ? { authorization: `Bearer ${token}` } : {};
}

async function refusal(response) {
  const body = await response.json().catch(() => ({}));
  return new RequestError(response.status, body.error || `the console answered ${response.status}`, body.problems || []);
}

export async function ask(path, body) {
  const options = { headers: headers() };
  if (body !== undefined) {
    options.method = "POST";
    options.body = JSON.stringify(body);
    options.headers["content-type"] = "application/json";
  }
  const response = await fetch(`/api/v1/${path}`, options);
  if (!response.ok) throw await refusal(response);
  return response.json();
}

/** Calls ``on(event, data)`` for each event, and ``state(text, error)`` as the connection comes and goes. Never ends. */
export async function follow(on, state) {
  for (let pause = 500; ; pause = Math.min(pause * 1.5, 3000)) {
    try {
      await followOnce(on, () => {
        pause = 500;
        state("open");
      });
      state("lost", null);
    } catch (error) {
      state("lost", error);
    }
    await new Promise((done) => setTimeout(done, pause));
  }
}

async function followOnce(on, opened) {
  const stop = new AbortController();
  let timer = setTimeout(() => stop.abort(), SILENT_MS);
  try {
    const response = await fetch("/api/v1/events", { headers: headers(), signal: stop.signal, cache: "no-store" });
    if (!response.ok) throw await refusal(response);
    opened();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      clearTimeout(timer);
      if (done) return;
      timer = setTimeout(() => stop.abort(), SILENT_MS);
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) dispatch(block, on);
    }
  } finally {
    clearTimeout(timer);
    stop.abort();
  }
}

function dispatch(block, on) {
  let event = "message", data = "";
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) event = line.slice(7);
    else if (line.startsWith("data: ")) data += line.slice(6);
  }
  if (data) on(event, JSON.parse(data));
}
