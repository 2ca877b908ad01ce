// The counter page. It shows what the service on this machine answers; it decides nothing by itself.
//
// Green is drawn in one place only (`show`), for an answer of the service to a scan of this page, outside
// practice. Nothing that was scanned is stored: settings stand in the address, an API key in the tab's session.
import {Camera} from "./camera.js";
import {SIGNS, details, element, hasMasked} from "./details.js";
import {Scanner} from "./scanner.js";
import * as service from "./service.js";
import {sound} from "./sounds.js";
import {drawBar, warning} from "./status.js";
import {encode} from "./vendor/uqr/index.js";
import {Supply} from "./supply.js";
import {ACCEPTED_WORDS, LOCAL, STATUSES, WORDS, say, word} from "./words.js";

const $ = (id) => document.getElementById(id);
const OUTCOMES = ["ACCEPTED", "REJECTED", "UNDECIDED"];
const RETURN = {ACCEPTED: 8, REJECTED: 20, UNDECIDED: 20, STATUS: 20}; // seconds in kiosk mode
const FORGET = 120; // seconds that a result stays outside kiosk mode
const POLL = 5000;
const SIZES = [18, 20, 22, 24, 26, 28, 30];
const REMEMBER = 600_000; // ms that this page knows when it accepted a code
const KEY = /^ewk_[\w-]{43}$/; // form of an API key

// --- settings, in the address ------------------------------------------------------------------------------

const given = new URLSearchParams(location.hash.slice(1));
const settings = {
  lang: given.get("lang") === "en" ? "en" : "zh",
  size: SIZES.includes(Number(given.get("size"))) ? Number(given.get("size")) : 18,
  sound: given.get("sound") !== "off",
  kiosk: given.has("kiosk"),
  practice: given.has("practice"),
};

function keepSettings() {
  const {lang, size, kiosk, practice} = settings, parts = new URLSearchParams({lang, size});
  if (!settings.sound) parts.set("sound", "off");
  if (kiosk) parts.set("kiosk", "1");
  if (practice) parts.set("practice", "1");
  history.replaceState(null, "", `#${parts}`);
  applySettings();
}

function applySettings() {
  const {lang, size, kiosk, practice} = settings, root = document.documentElement;
  root.lang = lang === "zh" ? "zh-CN" : "en";
  root.style.setProperty("--size", `${size}px`);
  root.classList.toggle("kiosk", kiosk);
  root.classList.toggle("large", size >= 24);
  for (const each of document.querySelectorAll("[data-word]")) each.textContent = word(each.dataset.word, lang);
  document.title = word("title", lang);
  for (const id of ["language", "other-language"]) {
    $(id).textContent = word("language", lang);
    $(id).lang = word("language_of", lang);
  }
  $("larger").setAttribute("aria-label", word("larger", lang));
  $("smaller").setAttribute("aria-label", word("smaller", lang));
  $("sound").textContent = word(settings.sound ? "sound_on" : "sound_off", lang);
  $("practice").textContent = word(practice ? "practice_end" : "practice", lang);
  $("settings").setAttribute("aria-label", word("settings", lang));
  $("bar").setAttribute("aria-label", word("status", lang));
  $("banners").setAttribute("aria-label", word("notices", lang));
  $("question").setAttribute("aria-label", word("question_picture", lang));
  $("practice-banner").hidden = $("practice-ways").hidden = !practice;
  drawState();
  drawKey();
  supply.draw();
  if (view) draw(view);
}

// --- state of the service ----------------------------------------------------------------------------------

let state = null, known = false, question = null, locked = false;

async function poll() {
  await look();
  setTimeout(poll, POLL);
}

// Asks once how the service is.
async function look() {
  const {status, body} = await service.state();
  state = body ? {...body, received: Date.now()} : null;
  known = true;
  const before = locked;
  locked = status === 401;
  drawState();
  if (locked && !before && !$("ready").hidden) openKey(service.key() ? "key_unknown" : "key_needed");
  if (body) await renewQuestion();
  return status;
}

function drawState() {
  if (!known) return;
  drawBar($("state"), state, settings.lang, locked);
  $("use-key").hidden = !locked && !service.key();
  const found = warning(state, settings.lang, locked), banner = $("banner");
  if (banner.textContent !== (found?.text ?? "")) banner.textContent = found?.text ?? "";
  banner.hidden = !found;
  banner.toggleAttribute("data-bad", Boolean(found?.bad));
}

// Scenes that ask first: a fresh question stands on the screen, well before the last one ends.
async function renewQuestion() {
  const asks = Boolean(state?.policy?.challenge) && !settings.practice;
  if (asks && (!question || question.exp * 1000 - Date.now() < 20_000)) {
    question = (await service.question([])).body;
  } else if (!asks) {
    question = null;
  }
  $("question").hidden = !question;
  $("scan-sign").toggleAttribute("hidden", Boolean(question));
  $("ready-more").textContent = word(question ? "question_more" : "ready_more", settings.lang);
  if (question) drawCode($("question"), question.text);
}

function drawCode(canvas, text) {
  const {data, size} = encode(text, {ecc: "L", border: 4}), box = Math.max(3, Math.floor(360 / size));
  canvas.width = canvas.height = size * box;
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.fillStyle = "#000";
  data.forEach((line, y) => line.forEach((dark, x) => dark && pen.fillRect(x * box, y * box, box, box)));
}

// --- screens -----------------------------------------------------------------------------------------------

let view = null, working = null, clock = 0, full = false, cameFromCamera = false;
const accepted = new Map(); // random id of a pass -> when this page saw it accepted

function screen(name) {
  for (const id of ["ready", "camera", "number", "key", "supply", "outcome"]) $(id).hidden = id !== name;
  for (const each of document.querySelectorAll("header, #bar, .skip")) each.inert = name === "outcome"; // lies behind
  if (name !== "camera") camera.stop();
}

// Forgets what is on the screen and what is on its way.
function wipe() {
  working?.abort();
  working = view = null;
  full = false;
  clearInterval(clock);
  scanner.reset();
  for (const id of ["details", "sentence", "advice", "reason", "outcome-word", "announce"]) $(id).replaceChildren();
  closeDecision();
  supply.wipe();
  $("outcome").className = "";
  delete $("outcome").dataset.outcome;
  $("number-field").value = $("file").value = $("key-field").value = "";
  $("working").hidden = true;
  screen("ready");
}

// The next person: with the camera, if the last code came from it.
function back() {
  const again = cameFromCamera && view;
  draft = afterKey = null;
  wipe();
  if (again) return openCamera();
  cameFromCamera = false;
  camera.forget();
  $("main").focus();
}

// --- verifying ---------------------------------------------------------------------------------------------

async function run(call, read, lastKey) {
  wipe();
  const mine = working = new AbortController();
  const slow = setTimeout(() => { $("working").hidden = false; }, 250);
  const {status, body} = await call(mine.signal);
  clearTimeout(slow);
  if (working !== mine) return; // wiped, or another scan came
  working = null;
  if (status === 401) return lock();
  show(body === null ? local(failure(status)) : read(body), lastKey);
}

function failure(status) {
  if (status === 429 || status === 503) return "busy";
  if (status === 403) return "door";
  if (status === 413 || status === 415 || status === 501) return "file";
  return status === 0 ? "unreachable" : "malformed";
}

function scanned(text, lastKey = performance.now()) {
  if (KEY.test(text)) return $("key").hidden ? undefined : takeKey(text); // never sent as something to verify
  if (settings.practice) return practise(text.startsWith("EW") ? "ACCEPTED" : "REJECTED");
  if (/^EWU/.test(text) && !settings.kiosk) return openSupply(text);
  const answering = question?.text ?? "";
  if (answering) question = null; // a question is answered once
  const readText = (answer) => ({...read(answer), text, answering});
  return run((signal) => service.verifyText(text, answering, signal), readText, lastKey);
}

function dropped(file) {
  if (settings.practice) return practise("ACCEPTED");
  return run((signal) => service.verifyFile(file, signal), read);
}

// An answer counts only whole: anything odd is undecided.
function read(answer) {
  const {outcome, layers, kind, licenses, notices} = answer ?? {};
  const whole = OUTCOMES.includes(outcome) && layers && Array.isArray(licenses) && Array.isArray(notices)
    && (outcome === "ACCEPTED" ? reallyAccepted(answer) : answer.reason && answer.sentence && answer.advice);
  if (!whole) return local("malformed");
  const words = outcome === "ACCEPTED" ? ACCEPTED_WORDS[kind] ?? ACCEPTED_WORDS.document : null;
  return {
    outcome, answer, real: true, reason: answer.reason ?? "",
    sentence: words ? [words[0], words[1]] : [answer.sentence.zh, answer.sentence.en],
    advice: words ? [words[2], words[3]] : [answer.advice.zh, answer.advice.en],
    used: usedAt(answer),
  };
}

function reallyAccepted({reason, layers}) {
  return reason === null && layers.genuine === "passed" && layers["accepted here"] === "passed"
    && Object.values(layers).every((result) => result === "passed" || result === null);
}

// "Already used at 14:03:22": told by the service, or known to this page from its own acceptances.
function usedAt(answer) {
  const now = Date.now(), id = answer.subject?.id;
  for (const [key, at] of accepted) if (now - at > REMEMBER) accepted.delete(key);
  if (answer.outcome === "ACCEPTED" && answer.kind === "code" && id) accepted.set(id, now);
  if (answer.reason !== "code.replayed") return null;
  const at = answer.used_at ? Date.parse(answer.used_at) : accepted.get(id);
  return at ? new Date(at).toLocaleTimeString("zh-CN", {hour12: false}) : null;
}

function local(key, outcome = "UNDECIDED", real = true) {
  const [zh, en, adviceZh, adviceEn] = LOCAL[key];
  return {outcome, answer: null, real, reason: "", sentence: [zh, en], advice: [adviceZh, adviceEn], used: null};
}

function practise(outcome) {
  wipe();
  show(local(`practice_${outcome}`, outcome, false));
}

// --- typed number: status only -------------------------------------------------------------------------------

function lookUp(number) {
  if (!number) return $("number-field").focus();
  if (settings.practice) return practise("UNDECIDED");
  return run((signal) => service.lookUp(number, signal).then((found) =>
    found.status === 404 || found.status === 405 ? {status: 200, body: {none: found.status}} : found), readStatus);
}

function readStatus(body) {
  if (body.none === 405) return local("no_register", "STATUS");
  const [found] = body.licenses ?? [];
  const known = found && STATUSES[found.state === "valid" && !found.in_force ? "begins" : found.state];
  const keys = known ? ["number_found", "number_advice"] : ["number_none", "number_none_advice"];
  const type = (lang) => (found?.names?.[lang] ? found.names[lang] + (lang === "zh" ? "，" : ".") : "");
  const pair = (key) => ["zh", "en"].map((lang) => word(key, lang, {status: say(known, lang), type: type(lang)}).trim());
  return {outcome: "STATUS", answer: null, real: true, reason: "", sentence: pair(keys[0]), advice: pair(keys[1]), used: null};
}

// --- the outcome -------------------------------------------------------------------------------------------

function show(found, lastKey) {
  view = found;
  const root = $("outcome");
  root.dataset.outcome = found.outcome;
  root.className = found.real && !settings.practice ? "real" : "practice";
  draw(found);
  screen("outcome");
  $("working").hidden = true;
  $("outcome-word").focus({preventScroll: true});
  root.scrollTop = 0;
  if (settings.sound) sound(found.outcome);
  countDown(settings.kiosk ? RETURN[found.outcome] : FORGET);
  if (draft && mayDecide(found)) openDecision();
  else if (!found.keepsDraft) draft = null;
  if (lastKey) requestAnimationFrame(() => setTimeout(() => performance.measure("outcome drawn", {start: lastKey})));
}

function draw(found) {
  const {lang} = settings, mark = found.real ? "" : `${word("practice_mark", lang)} · `;
  const sentence = found.used ? word("used_at", lang, {time: found.used}) : say(found.sentence, lang);
  const title = say(found.title ?? WORDS[found.outcome], lang);
  $("sign").setAttribute("d", SIGNS[found.manual ? "MANUAL" : found.outcome]);
  $("outcome").toggleAttribute("data-manual", Boolean(found.manual));
  $("outcome-word").textContent = mark + title;
  $("sentence").textContent = sentence;
  $("advice").textContent = say(found.advice, lang);
  $("reason").textContent = found.reason;
  $("announce").textContent = `${mark}${title}${lang === "zh" ? "。" : ". "}${sentence}${lang === "zh" ? "" : " "}${say(found.advice, lang)}`;
  const box = $("details");
  $("card").hidden = !found.answer;
  $("by-hand").hidden = !mayDecide(found) || !$("decide").hidden;
  box.setAttribute("aria-label", word("layers", lang));
  box.replaceChildren(...(found.answer ? details(found.answer, {lang, full}) : []));
  if (found.answer && hasMasked(found.answer)) box.append(unmaskButton());
  const receipt = found.manual ? found.manual.receipt : found.answer?.receipt;
  if (receipt) box.append(receiptButton(receipt));
}

// The signed receipt, for the holder's phone: who used what, when, what for.
function receiptButton(receipt) {
  const button = element("button", {type: "button", id: "receipt", text: word("receipt", settings.lang)});
  button.addEventListener("click", () => {
    const text = receipt.replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
    const canvas = element("canvas", {id: "receipt-picture", role: "img", "aria-label": word("receipt_picture", settings.lang), "data-text": text});
    drawCode(canvas, text);
    button.replaceWith(canvas);
    canvas.scrollIntoView({block: "end"});
  });
  return button;
}

function unmaskButton() {
  const button = element("button", {type: "button", id: "unmask", text: word(full ? "show_masked" : "show_full", settings.lang)});
  button.addEventListener("click", () => {
    full = !full;
    draw(view);
    $("unmask").focus();
  });
  return button;
}

// --- deciding by hand ----------------------------------------------------------------------------------------

// Words that wait for a fresh code, since the last one ran out while they were written; the officer's name.
let draft = null, officer = "";

// Only a text that the service answered and recorded as undecided, and only where an officer sits.
function mayDecide(found) {
  return found.outcome === "UNDECIDED" && found.real && !found.manual && Boolean(found.text)
    && Number.isInteger(found.answer?.recorded) && !settings.kiosk && !settings.practice;
}

function openDecision() {
  $("decide").hidden = false;
  $("by-hand").hidden = true;
  $("decide-officer").value = draft?.officer ?? officer;
  $("decide-reason").value = draft?.reason ?? "";
  if (!draft) $($("decide-officer").value ? "decide-reason" : "decide-officer").focus();
  $("card").scrollTop = 0;
}

function closeDecision() {
  $("decide").hidden = $("decide-alert").hidden = true;
  $("decide-officer").value = $("decide-reason").value = "";
  delete $("decide-alert").dataset.word;
}

function decideAlert(key, field) {
  $("decide-alert").dataset.word = key; // follows the language
  $("decide-alert").textContent = word(key, settings.lang);
  $("decide-alert").hidden = false;
  $("decide-alert").scrollIntoView({block: "nearest"});
  if (field) $(field).focus();
}

async function decide(goAhead) {
  if (working) return; // pressed twice
  const asked = view, words = {officer: $("decide-officer").value.trim(), reason: $("decide-reason").value.trim()};
  if (!/[\p{L}\p{N}]/u.test(words.officer)) return decideAlert("decide_no_officer", "decide-officer");
  if (!/[\p{L}\p{N}]/u.test(words.reason)) return decideAlert("decide_no_reason", "decide-reason");
  const mine = working = new AbortController();
  const {status, body, problem} = await service.decide({text: asked.text, answering: asked.answering, goAhead, ...words}, mine.signal);
  if (working !== mine) return; // wiped, or another scan came
  working = null;
  officer = words.officer;
  if (body) return decided(asked, body, words.officer);
  draft = words;
  if (status === 401) return lock();
  if (problem?.found) {
    wipe();
    return show({...read(problem.found), keepsDraft: problem.outcome === "REJECTED"});
  }
  decideAlert(status === 0 ? "decide_failed" : status === 409 ? "decide_no_log" : status === 422 ? "decide_no_reason" : "decide_refused");
}

// Orange, whatever was decided: nothing was verified.
function decided(asked, {go_ahead: goAhead, outcome, recorded, receipt}, who) {
  if (outcome !== "UNDECIDED" || !Number.isInteger(recorded)) return decideAlert("decide_failed");
  draft = null;
  wipe();
  const pair = (key, parts = () => ({})) => ["zh", "en"].map((lang) => word(key, lang, parts(lang)));
  const bare = (lang) => say(asked.sentence, lang).replace(/[。.]$/, "");
  show({
    ...asked, text: "", outcome: "UNDECIDED", manual: {receipt}, title: pair(goAhead ? "manual_go" : "manual_stop"),
    sentence: pair("manual_sentence", (lang) => ({why: bare(lang), officer: who, n: recorded})),
    advice: pair(goAhead ? "manual_go_step" : "manual_stop_step"),
  });
}

function listenToDecisions() {
  $("by-hand").addEventListener("click", openDecision);
  $("decide-close").addEventListener("click", () => { closeDecision(); draw(view); $("by-hand").focus(); });
  $("decide").addEventListener("submit", (event) => event.preventDefault()); // Enter decides nothing
  for (const each of document.querySelectorAll("[data-decide]")) {
    each.addEventListener("click", () => decide(each.dataset.decide === "go"));
  }
}

// The screen empties by itself; any key or touch gives it the whole time again.
let ends = 0;

function countDown(seconds) {
  clearInterval(clock);
  ends = Date.now() + seconds * 1000;
  const tick = () => {
    const left = Math.ceil((ends - Date.now()) / 1000);
    $("countdown").hidden = !settings.kiosk;
    $("countdown").textContent = word("back_in", settings.lang, {n: Math.max(left, 0)});
    if (left <= 0) back();
  };
  tick();
  clock = setInterval(tick, 250);
}

function stay() {
  if (!$("supply").hidden) ends = Date.now() + FORGET * 1000;
  if (view) ends = Date.now() + (settings.kiosk ? RETURN[view.outcome] : FORGET) * 1000;
}

// --- input -------------------------------------------------------------------------------------------------

const scanner = new Scanner({
  onScan(text, at) {
    cameFromCamera = false;
    scanned(text, at);
  },
  onTyping(character) {
    if ($("ready").hidden || !/[0-9A-Za-z]/.test(character)) return;
    openNumber();
    $("number-field").value = character;
  },
});

const camera = new Camera($("video"), {
  onCodes(texts) {
    cameFromCamera = true;
    if (texts.length > 1) {
      wipe();
      show(local("ambiguous", "REJECTED"));
    } else {
      scanned(texts[0]);
    }
  },
});

async function openCamera() {
  wipe();
  screen("camera");
  $("camera-hint").textContent = word("camera_hold", settings.lang);
  try {
    await camera.start();
  } catch {
    camera.stop();
    $("camera-hint").textContent = word("camera_off", settings.lang);
  }
}

function openNumber() {
  wipe();
  screen("number");
  $("number-field").focus();
}

// --- the API key ---------------------------------------------------------------------------------------------

let keyAlert = "", afterKey = null; // what goes on once the key is there

function openKey(alert = "") {
  wipe();
  afterKey = null;
  keyAlert = alert;
  drawKey();
  screen("key");
  toKeyField();
}

// On a phone with large text the field alone would be in sight, and not why it is there.
function toKeyField() {
  $("key-field").focus({preventScroll: true});
  $("key").scrollIntoView();
}

function drawKey() {
  const kept = service.key(), {lang} = settings;
  $("key-alert").hidden = !keyAlert;
  $("key-alert").textContent = keyAlert ? word(keyAlert, lang) : "";
  $("key-kept").hidden = $("key-remove").hidden = !kept;
  $("key-kept").textContent = kept ? word("key_kept", lang, {key: service.maskedKey()}) : "";
}

// A call was answered with 401: what was scanned was not verified.
function lock() {
  locked = true;
  drawState();
  openKey(service.key() ? "key_unknown" : "key_needed");
}

function told(alert) {
  keyAlert = alert;
  drawKey();
  toKeyField();
}

async function takeKey(text) {
  if (!KEY.test(text)) return told("key_form");
  service.keepKey(text);
  $("key-field").value = "";
  const status = await look();
  if ($("key").hidden) return; // somebody went on meanwhile
  if (status === 200 && afterKey) return resume();
  if (status === 200) back();
  else told(status === 401 ? "key_unknown" : "key_unsure");
}

function resume() {
  const act = afterKey;
  afterKey = null;
  act();
}

async function removeKey() {
  service.keepKey("");
  await look();
  if (!$("key").hidden) told(locked ? "key_needed" : "key_removed");
}

// --- supply codes --------------------------------------------------------------------------------------------

const supply = new Supply({
  look: () => ({lang: settings.lang, venue: state?.policy?.venue ?? ""}),
  onLocked(again) {
    openKey(service.key() ? "key_unknown" : "key_then"); // verifying may need none: nothing else is locked
    afterKey = () => { screen("supply"); again(); countDown(FORGET); };
  },
});

function openSupply(text) {
  if ($("supply").hidden) wipe();
  screen("supply");
  supply.open(text);
  countDown(FORGET);
}

function setKiosk(on) {
  settings.kiosk = on;
  keepSettings();
  if (on) document.documentElement.requestFullscreen?.().catch(() => {});
  else if (document.fullscreenElement) document.exitFullscreen();
}

function step(by) {
  settings.size = SIZES[Math.min(Math.max(SIZES.indexOf(settings.size) + by, 0), SIZES.length - 1)];
  keepSettings();
}

function listenToKeys() {
  scanner.listen();
  addEventListener("keydown", (event) => {
    stay();
    if (event.key === "Escape") back();
    else if (event.ctrlKey && event.shiftKey && event.code === "KeyK") setKiosk(!settings.kiosk);
    else return;
    event.preventDefault();
  });
  addEventListener("pointerdown", stay);
  addEventListener("paste", (event) => {
    const [file] = event.clipboardData.files, text = event.clipboardData.getData("text").trim();
    if (file) dropped(file);
    else if (text.length > 60 && !event.target.matches?.("[data-own]")) scanned(text);
    else return;
    event.preventDefault();
  });
}

function listenToDrops() {
  addEventListener("dragover", (event) => {
    event.preventDefault();
    $("drop").hidden = false;
  });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("drop").hidden = true; });
  addEventListener("drop", (event) => {
    event.preventDefault();
    $("drop").hidden = true;
    const [file] = event.dataTransfer.files;
    if (file) dropped(file);
  });
}

function listenToButtons() {
  const on = (id, act) => $(id).addEventListener("click", act);
  for (const id of ["language", "other-language"]) {
    on(id, () => { settings.lang = settings.lang === "zh" ? "en" : "zh"; keepSettings(); });
  }
  on("larger", () => step(1));
  on("smaller", () => step(-1));
  on("sound", () => { settings.sound = !settings.sound; keepSettings(); });
  on("practice", () => { wipe(); settings.practice = !settings.practice; keepSettings(); });
  on("kiosk", () => setKiosk(true));
  on("next", back);
  on("use-camera", openCamera);
  on("use-file", () => $("file").click());
  on("use-number", openNumber);
  on("use-key", () => openKey(locked ? (service.key() ? "key_unknown" : "key_needed") : ""));
  on("key-remove", removeKey);
  $("key-form").addEventListener("submit", (event) => { event.preventDefault(); takeKey($("key-field").value.trim()); });
  $("file").addEventListener("change", () => { const [file] = $("file").files; if (file) dropped(file); });
  $("number-form").addEventListener("submit", (event) => { event.preventDefault(); lookUp($("number-field").value.trim()); });
  for (const each of document.querySelectorAll("[data-back]")) each.addEventListener("click", back);
  for (const each of document.querySelectorAll("[data-practice]")) {
    each.addEventListener("click", () => practise(each.dataset.practice));
  }
  addEventListener("contextmenu", (event) => { if (settings.kiosk) event.preventDefault(); });
  addEventListener("online", drawState);
  addEventListener("offline", drawState);
  addEventListener("pagehide", wipe);
}

listenToKeys();
listenToDrops();
listenToButtons();
listenToDecisions();
screen("ready");
applySettings();
poll();
