// What the page asks of the service on this machine. Whatever is not a whole answer is no answer:
// the caller gets null, and shows that nothing could be decided.

const PATIENCE = 10_000; // ms
const RETRIEVING = 30_000; // ms: another authority may be asked, and a copy is drawn
const KEPT = "ewallet-key";
const NOTHING = {status: 0, body: null, problem: null};

// --- the API key: in this tab's session storage, never in an address ------------------------------------------

export const key = () => sessionStorage.getItem(KEPT) ?? "";

export function keepKey(text) {
  if (text) sessionStorage.setItem(KEPT, text);
  else sessionStorage.removeItem(KEPT);
}

// What may be shown of it.
export const maskedKey = () => `${key().slice(0, 4)}••••••${key().slice(-4)}`;

// --- calls ----------------------------------------------------------------------------------------------------

async function ask(path, options, signal, patience = PATIENCE) {
  const limit = AbortSignal.timeout(patience);
  try {
    const answer = await fetch(path, {
      cache: "no-store", credentials: "same-origin", redirect: "error", referrerPolicy: "no-referrer",
      signal: signal ? AbortSignal.any([signal, limit]) : limit, ...options,
      headers: {...options.headers, ...(key() ? {Authorization: `Bearer ${key()}`} : {})},
    });
    const said = await answer.json().catch(() => null);
    return answer.ok && said === null ? NOTHING : {status: answer.status, body: answer.ok ? said : null, problem: answer.ok ? null : said};
  } catch {
    return NOTHING;
  }
}

const post = (value) => ({
  method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(value),
});

// One text, as it was scanned; `answering` is the question on the screen, or empty.
export function verifyText(text, answering, signal) {
  return ask("/v1/verify", post(answering ? {text, answering} : {text}), signal);
}

// What an officer decided by hand after "undecided"; a refusal comes back as `problem`.
export function decide({text, answering, officer, reason, goAhead}, signal) {
  const given = {text, officer, reason, go_ahead: goAhead};
  return ask("/v1/decisions", post(answering ? {...given, answering} : given), signal);
}

// An annotated copy for a supply code; whatever the answer is, `body` or `problem` has its code and words.
export function retrieve(asked, signal) {
  return ask("/v1/retrieve", post(asked), signal, RETRIEVING);
}

// A picture or PDF as bytes.
export function verifyFile(file, signal) {
  const type = file.type || (/\.pdf$/i.test(file.name) ? "application/pdf" : "application/octet-stream");
  return ask("/v1/verify", {method: "POST", headers: {"Content-Type": type}, body: file}, signal);
}

// A license number as it was typed: whether such a license is in force, and nothing else.
export function lookUp(number, signal) {
  return ask("/v1/number", post({number}), signal);
}

// A signed question to show, for scenes that ask first.
export function question(attributes) {
  return ask("/v1/challenge", post({attributes}));
}

export function state() {
  return ask("/v1/state", {method: "GET"});
}
