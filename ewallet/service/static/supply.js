// A window retrieves a license with the supply code that a holder shows: the form, and what came of it.
//
// The service and the issuing authority decide; this page says what for, and offers the copy. Office, officer
// and window are remembered on this computer, and nothing else: neither the code nor the copy.
import {element} from "./details.js";
import {readSupplyCode} from "./holder.js";
import {TYPES} from "./labels.js";
import * as service from "./service.js";
import {SUPPLY_REASONS, say, word} from "./words.js";

const $ = (id) => document.getElementById(`supply-${id}`);
const KEPT = "ewallet-window";
const ASKED = ["matter", "matter_name", "case", "until", "purpose"];
const REMEMBERED = ["organization", "operator", "position"];
const FIELDS = [...ASKED, ...REMEMBERED];
const DAYS = 30; // that a copy may be used, unless the clerk says otherwise
const LONGEST = 180;
const CALM = new Set(["supply_working", "supply_new"]); // said, and nothing is wrong

// A day in the country's time, `n` days from now.
const day = (n) => new Date(Date.now() + 8 * 3600_000 + n * 86_400_000).toISOString().slice(0, 10);

function remembered() {
  try {
    return JSON.parse(localStorage.getItem(KEPT)) ?? {};
  } catch {
    return {};
  }
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
}

export class Supply {
  // look(): {lang, venue}. onLocked(again): a key is needed; `again` goes on with what was written.
  constructor({look, onLocked}) {
    this.look = look;
    this.onLocked = onLocked;
    this.text = "";
    this.urls = [];
    this.alert = null;
    this.got = null;
    this.working = null;
    document.getElementById("supply-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
  }

  // A code was scanned: the form opens, or takes the new code and keeps what was written.
  open(text, written = null) {
    const again = this.text !== "" && !this.got;
    const values = written ?? (again ? this.written() : {...this.fresh(), ...remembered()});
    this.wipe();
    this.text = text;
    for (const name of FIELDS) $(name).value = values[name] ?? "";
    $("until").min = day(0);
    $("until").max = day(LONGEST);
    this.tell(this.about() ? (again ? ["supply_new"] : null) : ["supply_odd"]);
    this.clock = setInterval(() => this.drawWhat(), 500);
    this.draw();
    (FIELDS.map($).find((field) => !field.value) ?? $("go")).focus();
  }

  fresh() {
    return {until: day(DAYS), position: this.look().venue};
  }

  written() {
    return Object.fromEntries(FIELDS.map((name) => [name, $(name).value.trim()]));
  }

  // Forgets the code, what was written and the copy.
  wipe() {
    clearInterval(this.clock);
    this.working?.abort();
    this.urls.forEach((url) => URL.revokeObjectURL(url));
    this.urls = [];
    this.text = "";
    this.got = this.alert = this.working = null;
    for (const name of FIELDS) $(name).value = "";
    for (const name of ["open", "save", "statement"]) $(name).removeAttribute("href");
    $("facts").replaceChildren();
    $("what").textContent = "";
  }

  // --- what the page says ------------------------------------------------------------------------------------

  // Unverified: for the screen only.
  about() {
    try {
      const {type, ends} = readSupplyCode(this.text);
      return typeof type === "string" && Number.isInteger(ends) ? {type, left: Math.floor(ends - Date.now() / 1000)} : null;
    } catch {
      return null;
    }
  }

  nameOf(type) {
    const known = TYPES[type];
    return known ? say([known.zh, known.en], this.look().lang) : type;
  }

  // alert: [key, parts] or null.
  tell(alert) {
    this.alert = alert;
    $("alert").hidden = !alert;
    $("alert").toggleAttribute("data-calm", CALM.has(alert?.[0]));
    $("alert").textContent = alert ? this.wordsOf(alert) : "";
    if (alert) $("alert").scrollIntoView({block: "nearest"}); // on a phone the form is longer than the screen
  }

  wordsOf([key, parts = () => ({})]) {
    const {lang} = this.look();
    return typeof key === "string" ? word(key, lang, parts(lang)) : say(key, lang);
  }

  draw() {
    if (!this.text) return;
    $("form").hidden = Boolean(this.got);
    $("got").hidden = !this.got;
    $("alert").textContent = this.alert ? this.wordsOf(this.alert) : "";
    this.drawWhat();
    if (this.got) this.drawGot();
  }

  drawWhat() {
    const about = this.about(), {lang} = this.look();
    if (!about) return;
    const left = this.got ? "" : about.left > 0 ? word("supply_left", lang, {n: about.left}) : word("supply_over", lang);
    const text = [word("supply_type", lang, {type: this.nameOf(about.type)}), left].filter(Boolean).join(" · ");
    if ($("what").textContent !== text) $("what").textContent = text;
  }

  drawGot() {
    const {lang} = this.look(), {asked, answer} = this.got;
    const rows = [["supply_matter_name", asked.matter_name], ["supply_case", asked.case], ["supply_purpose", asked.purpose], ["supply_until", asked.until]];
    $("facts").replaceChildren(...rows.flatMap(([key, text]) => [element("dt", {text: word(key, lang)}), element("dd", {text})]));
    if (answer.local?.reason === "recognition.no_rule") this.tell(["supply_no_rule"]);
  }

  // --- asking ------------------------------------------------------------------------------------------------

  async send() {
    if (this.working || !this.text) return; // pressed twice
    const asked = this.written(), missing = FIELDS.find((name) => !asked[name]);
    if (missing) return this.missing(missing);
    localStorage.setItem(KEPT, JSON.stringify(Object.fromEntries(REMEMBERED.map((name) => [name, asked[name]]))));
    const mine = this.working = new AbortController(), {text} = this;
    this.tell(["supply_working"]);
    const {status, body, problem} = await service.retrieve({code: text, ...asked}, mine.signal);
    if (this.working !== mine) return; // wiped, or a new code came
    this.working = null;
    const answer = body ?? problem;
    if (body?.code === 0 && typeof body.pdf === "string") return this.take(asked, body);
    if (status === 401 && !answer?.zh) return this.onLocked(() => this.open(text, asked));
    this.refuse(answer);
  }

  missing(name) {
    this.tell(["supply_missing", (lang) => ({field: word(`supply_${name}`, lang)})]);
    $(name).focus();
  }

  // The field's code with its words; the reason of a code that was not taken; the field that was missing.
  refuse(answer) {
    if (!answer?.code || !Number.isInteger(answer.code) || !answer.zh) return this.tell(["supply_failed"]);
    const field = FIELDS.find((name) => answer.detail === name || answer.detail?.startsWith(`${name}:`));
    if (answer.code === 12 && field) return this.missing(field);
    const why = (lang) => say(SUPPLY_REASONS[answer.reason], lang) || answer.detail || "";
    const words = (lang) => [answer[lang], why(lang)].filter(Boolean).join(lang === "zh" ? "。" : ". ");
    this.tell(["supply_answer", (lang) => ({code: answer.code, words: words(lang)})]);
  }

  take(asked, answer) {
    let pdf, statement;
    try {
      [pdf, statement] = [bytesOf(answer.pdf), bytesOf(answer.statement)];
    } catch {
      return this.tell(["supply_failed"]);
    }
    const url = (bytes, type) => {
      this.urls.push(URL.createObjectURL(new Blob([bytes], {type})));
      return this.urls.at(-1);
    };
    this.got = {asked, answer};
    this.tell(null);
    $("open").href = $("save").href = url(pdf, "application/pdf");
    $("save").download = "license-copy.pdf";
    $("statement").href = url(statement, "application/octet-stream");
    $("statement").download = "license-copy.cwt";
    this.draw();
    $("got").focus();
  }
}
