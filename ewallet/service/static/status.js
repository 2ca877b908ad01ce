// The status bar: whether the service answers, how old its lists are, its clock, its scene, its name.
import {element} from "./details.js";
import {say, word} from "./words.js";

export function age(seconds, lang) {
  if (!Number.isFinite(seconds)) return word("unknown", lang);
  if (seconds < 5400) return word("minutes", lang, {n: Math.max(1, Math.round(seconds / 60))});
  if (seconds < 172_800) return word("hours", lang, {n: Math.round(seconds / 3600)});
  return word("days", lang, {n: Math.round(seconds / 86_400)});
}

function clockOf(state) {
  const behind = Math.abs(Date.parse(state.now) - state.received) / 1000;
  return {ok: state.clock?.ok !== false && behind < 60, behind: Math.round(Math.max(behind, state.clock?.behind ?? 0))};
}

// Lists that are only aging still decide; stale ones, or none, do not.
function isStale(state) {
  return !state.trust || (state.degraded ?? []).some((reason) => reason === "trust.stale");
}

function entries(state, lang) {
  if (!state) return [["terminal", word("unreachable", lang), "bad"]];
  const {trust, status} = state, clock = clockOf(state), lists = [];
  const old = (seconds) => word("ago", lang, {age: age(seconds, lang)});
  lists.push(["terminal", `${state.terminal || word("unknown", lang)} · ${word(state.online && navigator.onLine ? "online" : "offline", lang)}`,
    state.online && navigator.onLine ? "good" : "aging"]);
  if (trust) lists.push(["trust_age", old(trust.age), trust.fresh ? "good" : isStale(state) ? "bad" : "aging"]);
  if (status?.lists) lists.push(["status_age", old(status.oldest), status.oldest > 86_400 ? "aging" : "good"]);
  lists.push(["clock", clock.ok ? new Date(state.now).toLocaleTimeString(lang === "zh" ? "zh-CN" : "en-GB", {hour: "2-digit", minute: "2-digit"}) : word("clock_off", lang, {n: clock.behind}),
    clock.ok ? "good" : "bad"]);
  if (state.policy) lists.push(["policy", say([state.policy.names?.zh ?? state.policy.scene, state.policy.names?.en ?? state.policy.scene], lang)]);
  return lists;
}

// `locked`: the service answers, and asks for a key.
export function drawBar(list, state, lang, locked) {
  const shown = locked ? [["terminal", word("key_bar", lang), "bad"]] : entries(state, lang);
  list.replaceChildren(...shown.map(([key, text, mark]) =>
    element("div", {}, element("dt", {text: word(key, lang)}), element("dd", {text, "data-mark": mark}))));
}

// The one thing that a clerk must know above all, or nothing: {text, bad}.
export function warning(state, lang, locked) {
  if (locked) return {text: word("key_banner", lang), bad: true};
  if (!state) return {text: word("unreachable_banner", lang), bad: true};
  if (isStale(state)) return {text: word("stale_banner", lang), bad: true};
  if (!state.online || !navigator.onLine) return {text: word("offline_banner", lang, {age: age(state.trust.age, lang)}), bad: false};
  return null;
}
