// The holder page: an example of a wallet, built on holder.js (a copy of examples/holder.js).
//
// Device keys are made by the browser, cannot be exported and live as long as the page. Nothing is stored.
import {Camera} from "./camera.js";
import {element} from "./details.js";
import * as holder from "./holder.js";
import {TYPES} from "./labels.js";
import {encode} from "./vendor/uqr/index.js";
import {REFUSALS, WORDS} from "./wallet_words.js";
import {ATTRIBUTES, YES_NO, say} from "./words.js";

const $ = (id) => document.getElementById(id);
const INTERVAL = 10; // seconds that a code is shown
const BATCH = 4; // passes, each with a key of its own

const given = new URLSearchParams(location.hash.slice(1));
let lang = given.get("lang") === "en" ? "en" : "zh";
let whose = "person", tab = "code", town = null;
const wallet = {passes: {}, licenses: [], key: null, uses: []};

const word = (key, parts = {}) =>
  Object.entries(parts).reduce((text, [name, value]) => text.replace(`{${name}}`, () => value), say(WORDS[key], lang));
const hex = (data) => Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join("");
const unhex = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));

// --- the office of the example --------------------------------------------------------------------------------

async function call(path, body) {
  const options = body ? {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)} : {};
  const answer = await fetch(path, {cache: "no-store", ...options});
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  return answer.json();
}

async function publicKey(key) {
  const {kty, crv, x, y} = await crypto.subtle.exportKey("jwk", key.publicKey);
  return {kty, crv, x, y};
}

async function getPasses(subject) {
  const nonce = unhex(town.nonce);
  const keys = await Promise.all(Array.from({length: BATCH}, holder.newDeviceKey));
  const devices = await Promise.all(keys.map(async (key) => ({
    jwk: await publicKey(key), proof: hex(await holder.provePossession(key, town.authority, nonce)),
  })));
  const {passes} = await call("/example/passes", {subject, devices});
  wallet.passes[subject] = passes.map((text, place) => ({pass: unhex(text), key: keys[place]}));
}

// The proof by which an issuer binds a license to this device (docs/format.md, "Binding").
async function proveBinding(key, nonce) {
  const {x, y} = await publicKey(key);
  const cose = holder.encode(new Map([[1, 2], [-1, 1], [-2, holder.fromBase64url(x)], [-3, holder.fromBase64url(y)]]));
  const thumbprint = new Uint8Array(await crypto.subtle.digest("SHA-256", cose));
  const message = holder.concat(new TextEncoder().encode("ewallet-bind-v1\0"), holder.encode([town.issuer, nonce, thumbprint]));
  const signature = await crypto.subtle.sign({name: "ECDSA", hash: "SHA-256"}, key.privateKey, message);
  return holder.concat(nonce, new Uint8Array(signature));
}

async function getLicenses() {
  wallet.key = await holder.newDeviceKey();
  const proofs = [];
  for (const nonce of town.bind_nonces) proofs.push(hex(await proveBinding(wallet.key, unhex(nonce))));
  const {licenses} = await call("/example/licenses", {jwk: await publicKey(wallet.key), proofs});
  wallet.licenses = licenses.map((each) => ({...each, credential: unhex(each.credential)}));
}

// --- codes that are made anew ---------------------------------------------------------------------------------

function drawCode(canvas, text) {
  const {data, size} = encode(text, {ecc: "L", border: 4}), box = Math.max(3, Math.floor(720 / size));
  canvas.width = canvas.height = size * box;
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.fillStyle = "#000";
  data.forEach((line, y) => line.forEach((dark, x) => dark && pen.fillRect(x * box, y * box, box, box)));
}

const rotating = {made: 0, busy: false, text: ""};

async function tick() {
  if (tab !== "code" || !wallet.passes[whose] || rotating.busy) return;
  const left = INTERVAL - Math.floor((Date.now() - rotating.made) / 1000);
  if (left > 0) return drawRing(left);
  rotating.busy = true;
  try {
    await showCode();
    drawRing(INTERVAL);
  } finally {
    rotating.busy = false;
  }
}

function drawRing(left) {
  $("left").textContent = left;
  $("ring").style.strokeDashoffset = 100 - left * 100 / INTERVAL;
}

async function showCode() {
  const place = town.places[$("place").selectedIndex], held = wallet.passes[whose];
  // Each place sees a pass of its own: two places cannot tell that it was the same phone.
  const {pass, key} = held[$("place").selectedIndex % held.length];
  rotating.text = await holder.makeCode(pass, key, {audience: place.audience, now: Date.now(), disclose: ticked("attributes")});
  rotating.made = Date.now();
  $("code-picture").dataset.text = rotating.text;
  drawCode($("code-picture"), rotating.text);
}

function renew() {
  rotating.made = 0;
  tick();
}

function ticked(id) {
  return [...$(id).querySelectorAll("input:checked")].map((each) => each.value);
}

function check(value, label, checked = false) {
  const box = element("input", {type: "checkbox", value});
  box.checked = checked;
  return element("label", {class: "check"}, box, element("span", {text: label}));
}

function drawPlaces() {
  const before = Math.max($("place").selectedIndex, 0);
  const fit = town.places.filter((place) => whose === "person" || ["counter", "government-hall"].includes(place.scene));
  $("place").replaceChildren(...fit.map((place) => element("option", {text: place.names[lang]})));
  $("place").selectedIndex = Math.min(before, fit.length - 1);
  drawAttributes();
}

function drawAttributes() {
  const place = town.places[$("place").selectedIndex];
  const has = [...holder.readPass(wallet.passes[whose][0].pass).disclosures.keys()];
  const may = place.attributes.filter((name) => has.includes(name));
  $("attributes").replaceChildren(...may.map((name) => check(name, say(ATTRIBUTES[name], lang))));
}

// --- requests -------------------------------------------------------------------------------------------------

const camera = new Camera($("video"), {
  onCodes([text]) {
    closeCamera();
    readQuestion(text);
  },
});

function closeCamera() {
  camera.stop();
  $("video").hidden = true;
}

async function openCamera() {
  $("video").hidden = false;
  try {
    await camera.start();
  } catch {
    closeCamera();
    trouble("no_camera");
  }
}

// The counter of this machine asks: for a name, or for a license.
async function sample(path, body) {
  try {
    readQuestion((await call(path, body)).text);
  } catch {
    trouble("no_question");
  }
}

function sampleRequest() {
  const [license] = wallet.licenses.filter((each) => each.owner === whose);
  const fields = Object.keys(license.fields).filter((key) => key !== "portrait").slice(0, 2);
  return sample("/v1/request", {
    query: {credentials: [{
      id: "license", format: "dc+sd-jwt", meta: {vct_values: [license.vct]}, claims: fields.map((key) => ({path: [key]})),
    }]},
    about: {purpose: word("sample_purpose"), case: "2026-0042"},
  });
}

async function readQuestion(text) {
  if (/^[\w-]{200,}$/.test(text.trim()) && !/^EW[A-Z]/.test(text)) return readReceipt(text.trim());
  try {
    showQuestion(await holder.checkQuestion(text.trim(), town.verifiers, town.scenes, Date.now()));
  } catch (error) {
    refused(error.message);
  }
}

// A receipt that the counter gave: signed by who keeps the log of uses.
async function readReceipt(text) {
  try {
    const found = await holder.checkReceipt(holder.fromBase64url(text), town.keepers);
    const types = found.types.map((type) => (TYPES[type] ? say([TYPES[type].zh, TYPES[type].en], lang) : type));
    const what = types.length ? types : [word("code_picture")];
    note(found.keeper.name[lang], [...what, ...Object.values(found.about), word("receipt", {n: found.number})], found.at * 1000);
    back();
    open("records");
  } catch {
    refused("receipt");
  }
}

function button(key, act, kind) {
  const made = element("button", {type: "button", class: kind, text: word(key)});
  made.addEventListener("click", act);
  return made;
}

function showAsked(...parts) {
  $("ask").hidden = true;
  $("asked").hidden = false;
  $("asked").replaceChildren(...parts);
  $("told").textContent = $("asked").textContent;
}

function back() {
  $("ask").hidden = false;
  $("asked").hidden = true;
  $("asked").replaceChildren();
  $("question").value = "";
}

function showQuestion(asked) {
  const name = asked.asker.name[lang], list = element("div", {id: "wanted"}), {licenses, attributes} = asked;
  const held = licenses.map(heldFor);
  if (held.includes(undefined)) return refused("policy.type");
  list.append(...attributes.map((each) => check(each, say(ATTRIBUTES[each], lang) || each, true)));
  list.append(...licenses.map((each, place) => wantedLicense(each, held[place])));
  if (licenses.length > 1) list.append(element("p", {text: word("all_or_none", {n: licenses.length})}));
  if (!list.children.length) list.append(element("p", {text: word("nothing")}));
  const until = new Date(asked.ends * 1000).toLocaleTimeString(lang === "zh" ? "zh-CN" : "en-GB");
  const why = Object.entries(asked.about).map(([key, text]) => element("p", {text: `${word(key)}${text}`}));
  showAsked(element("div", {class: "box"}, element("p", {class: "asker", text: word("asks", {name})}), list, ...why,
    element("p", {text: word("in_scene", {scene: town.scenes[asked.scene].names[lang]})}), element("p", {text: word("until", {time: until})}),
    element("div", {class: "row"}, button("agree", () => answer(asked, held), "primary"),
      button("refuse", () => { note(name, [word("kept")]); back(); }))));
}

// A license of this phone that has all that is wanted.
function heldFor({types, fields}) {
  return wallet.licenses.find((each) => {
    const {disclosures} = holder.readPass(each.credential);
    return types.includes(each.type) && fields.every((name) => disclosures.has(name));
  });
}

// A request is answered with all that it asks for, or not at all.
function wantedLicense({fields}, held) {
  const type = TYPES[held.type], list = element("ul");
  list.append(...fields.map((key) => element("li", {text: say([type.fields[key]?.zh ?? key, type.fields[key]?.en ?? key], lang)})));
  return element("div", {}, element("h3", {text: say([type.zh, type.en], lang)}), list);
}

async function answer(asked, held) {
  const {pass, key} = wallet.passes[whose].at(-1), disclose = ticked("wanted");
  const shown = held.length ? [...$("wanted").querySelectorAll("h3, li")].map((each) => each.textContent)
    : disclose.map((each) => say(ATTRIBUTES[each], lang));
  try {
    const make = async () => (held.length ? holder.answerRequest(held.map((each) => each.credential), wallet.key, asked, {now: Date.now()})
      : [await holder.answerChallenge(pass, key, asked, {disclose, now: Date.now()})]);
    await showAnswer(make, held, 0);
    note(asked.asker.name[lang], shown);
  } catch (error) {
    refused(error.message);
  }
}

// One code at a time, signed when it is shown: a scanner that sees two cannot tell which is meant.
async function showAnswer(make, held, place) {
  const texts = await make();
  const last = place === texts.length - 1;
  const which = texts.length > 1 ? word("answer_of", {n: place + 1, all: texts.length, license: nameOf(held[place])}) : "";
  showAsked(...(which ? [element("h3", {text: which})] : []), picture(texts[place], "answer_picture"),
    last ? button("done", back, "primary") : button("answer_next", () => showAnswer(make, held, place + 1).catch((error) => refused(error.message)), "primary"));
}

function refused(code) {
  showAsked(element("div", {class: "box bad", role: "alert"}, element("h3", {text: word("refused_title")}),
    element("p", {text: say(REFUSALS[code] ?? REFUSALS.other, lang)}), button("done", back)));
}

function picture(text, label) {
  const canvas = element("canvas", {role: "img", "aria-label": word(label), "data-text": text});
  drawCode(canvas, text);
  return element("div", {class: "shown"}, canvas);
}

// --- licenses -------------------------------------------------------------------------------------------------

function drawLicenses() {
  $("licenses-title").textContent = word(`licenses_${whose}`);
  $("cards").replaceChildren(...wallet.licenses.filter((each) => each.owner === whose).map(card));
}

function plain(field, value) {
  if (typeof value === "boolean") return say(YES_NO[value], lang);
  return field?.codes?.[value] ? say(field.codes[value], lang) : value === "long-term" && lang === "zh" ? "长期" : value;
}

function card(license) {
  const type = TYPES[license.type], list = element("dl"), box = element("article", {class: "box card"});
  for (const [key, value] of Object.entries(license.fields)) {
    const field = type.fields[key];
    if (field) list.append(element("dt", {text: say([field.zh, field.en], lang)}), element("dd", {text: plain(field, value)}));
  }
  const face = license.portrait ? element("img", {alt: "", src: `data:image/jpeg;base64,${license.portrait.replace(/-/g, "+").replace(/_/g, "/")}`}) : null;
  box.append(element("div", {class: "top"}, face, element("div", {}, element("h3", {text: say([type.zh, type.en], lang)}),
    element("p", {text: license.issuer[lang]}))), list,
    element("div", {class: "row"}, button("present", () => choose(license, box), "primary"), button("supply", () => supply(license, box))));
  return box;
}

function choose(license, box) {
  const {disclosures} = holder.readPass(license.credential), type = TYPES[license.type];
  const fields = Object.keys(type.fields).filter((key) => disclosures.has(key));
  const list = element("div", {id: "fields"}, ...fields.map((key) => check(key, say([type.fields[key].zh, type.fields[key].en], lang))));
  const make = async () => {
    const chosen = ticked("fields");
    if (chosen.includes("portrait") && disclosures.has("portrait_image")) chosen.push("portrait_image");
    const place = town.places[0];
    const text = await holder.presentLicense(license.credential, wallet.key, {audience: place.audience, now: Date.now(), disclose: chosen});
    note(place.names[lang], [say([type.zh, type.en], lang), ...chosen.filter((key) => type.fields[key]).map((key) => say([type.fields[key].zh, type.fields[key].en], lang))]);
    box.replaceChildren(picture(text, "license_picture"), button("done", drawLicenses, "primary"));
  };
  box.replaceChildren(element("h3", {text: say([type.zh, type.en], lang)}), element("p", {text: word("choose")}), list,
    element("div", {class: "row"}, button("make", make, "primary"), button("done", drawLicenses)));
}

// A window that scans this retrieves the license once. A new code comes when the last one ends.
async function supply(license, box) {
  const canvas = element("canvas", {id: "supply-picture", role: "img", "aria-label": word("supply_picture")});
  const left = element("p", {id: "supply-left"}), alone = {ends: 0, busy: false};
  const renew = async () => {
    const now = Date.now();
    const text = await holder.makeSupplyCode(wallet.key, {authority: town.issuer, type: license.type, now});
    alone.ends = holder.readSupplyCode(text).ends * 1000;
    canvas.dataset.text = text;
    drawCode(canvas, text);
  };
  const tick = async () => {
    if (!canvas.isConnected) return clearInterval(clock); // put away, or another tab
    if (alone.busy) return;
    if (alone.ends - Date.now() < 1000) {
      alone.busy = true;
      await renew().finally(() => { alone.busy = false; });
    }
    left.textContent = word("supply_left", {n: Math.max(0, Math.floor((alone.ends - Date.now()) / 1000))});
  };
  note(word("window"), [nameOf(license), word("supply")]);
  box.replaceChildren(element("h3", {text: `${word("supply")} · ${nameOf(license)}`}), element("p", {text: word("supply_more")}),
    element("div", {class: "shown"}, canvas), left, button("supply_done", drawLicenses, "primary"));
  const clock = setInterval(tick, 250);
  await tick();
  $("told").textContent = `${word("supply")}. ${word("supply_more")}`;
  box.querySelector("button").focus({preventScroll: true});
}

// --- who used them --------------------------------------------------------------------------------------------

function note(to, what, at = Date.now()) {
  wallet.uses.unshift({at: new Date(at), to, what});
}

// What the issuers recorded: each license asks for itself, with a question that this phone signs.
const used = {turn: 0, loading: false, found: [], failed: []};

async function getUsed() {
  const turn = ++used.turn, held = wallet.licenses.filter((each) => each.owner === whose);
  Object.assign(used, {loading: true, found: [], failed: []});
  drawUsed();
  const answers = await Promise.all(held.map(askUses));
  if (turn !== used.turn) return; // asked again meanwhile
  used.loading = false;
  used.found = answers.flatMap((each) => each.uses ?? []).sort((one, other) => other.at - one.at);
  used.failed = answers.filter((each) => each.failed);
  drawUsed();
}

async function askUses(license) {
  try {
    const proof = await holder.makeConsent(wallet.key, {
      recipient: town.issuer, identifier: license.identifier, purpose: "uses", now: Date.now(), life: 60,
    });
    const answer = await fetch("/v1/uses", {
      method: "POST", cache: "no-store", headers: {"Content-Type": "application/json"},
      body: JSON.stringify({proof: btoa(String.fromCharCode(...proof))}),
    });
    if (!answer.ok) return {license, failed: answer.status === 403 ? "used_not_bound" : "used_failed"};
    const {uses, laws} = await answer.json();
    return {uses: uses.map((each) => ({...each, license, law: laws?.[each.ground.replace(/^law:/, "")]}))};
  } catch {
    return {license, failed: "used_failed"};
  }
}

function nameOf(license) {
  const type = TYPES[license.type];
  return type ? say([type.zh, type.en], lang) : license.type;
}

function ground({ground, law}) {
  if (ground === "consent" || ground === "code") return word(`ground_${ground}`);
  if (!ground.startsWith("law:")) return word("ground_other");
  return word("ground_law", {law: law ? law[lang] : ground.slice(4)});
}

function usedBy(use) {
  const list = element("dl"), when = new Date(use.at * 1000);
  const row = (key, text) => { if (text) list.append(element("dt", {text: word(key)}), element("dd", {}, text)); };
  row("used_at", element("time", {
    datetime: when.toISOString(),
    text: when.toLocaleString(lang === "zh" ? "zh-CN" : "en-GB", {dateStyle: "long", timeStyle: "short"}),
  }));
  row("used_license", nameOf(use.license));
  row("used_purpose", use.purpose);
  row("used_matter", use.matter.replace(/^\S+ /, "")); // its code stands before its name
  row("used_case", use.case);
  row("used_ground", ground(use));
  row("used_until", use.until);
  return element("li", {class: "box"}, element("strong", {text: use.organization || use.recipient}), list);
}

function drawUsed() {
  const {loading, found, failed} = used;
  const none = failed.length ? "" : word("used_none");
  $("used-state").textContent = loading ? word("used_loading") : found.length ? word("used_count", {n: found.length}) : none;
  $("used-again").hidden = loading;
  $("used-failed").replaceChildren(...failed.map((each) =>
    element("p", {class: "box bad", role: "alert", text: word(each.failed, {license: nameOf(each.license)})})));
  $("used").replaceChildren(...found.map(usedBy));
}

function drawUses() {
  drawUsed();
  const lines = wallet.uses.map(({at, to, what}) => element("li", {class: "box"},
    element("strong", {text: word("showed", {to})}), element("span", {text: what.join(lang === "zh" ? "、" : ", ")}),
    element("time", {datetime: at.toISOString(), text: at.toLocaleTimeString(lang === "zh" ? "zh-CN" : "en-GB")})));
  $("uses").replaceChildren(...(lines.length ? lines : [element("li", {text: word("none")})]));
}

// --- the page -------------------------------------------------------------------------------------------------

function trouble(key) {
  $("trouble").textContent = key ? word(key) : "";
  $("trouble").hidden = !key;
}

function open(name) {
  tab = name;
  closeCamera();
  trouble("");
  for (const id of ["code", "request", "licenses", "records"]) $(id).hidden = id !== name;
  for (const each of document.querySelectorAll("[data-tab]")) {
    if (each.dataset.tab === name) each.setAttribute("aria-current", "page");
    else each.removeAttribute("aria-current");
  }
  draw();
  if (name === "records") getUsed();
}

function draw() {
  document.documentElement.lang = lang === "zh" ? "zh-CN" : "en";
  document.title = word("title");
  for (const each of document.querySelectorAll("[data-word]")) each.textContent = word(each.dataset.word);
  $("language").textContent = word("language");
  $("language").lang = lang === "zh" ? "en" : "zh-CN";
  $("whose").setAttribute("aria-label", word("whose"));
  $("code-picture").setAttribute("aria-label", word("code_picture"));
  if (!wallet.passes.person) return;
  drawPlaces();
  drawLicenses();
  drawUses();
}

function listen() {
  for (const each of document.querySelectorAll("[data-tab]")) each.addEventListener("click", () => open(each.dataset.tab));
  for (const each of document.querySelectorAll("[data-whose]")) {
    each.addEventListener("click", () => {
      whose = each.dataset.whose;
      for (const other of document.querySelectorAll("[data-whose]")) other.setAttribute("aria-pressed", other === each);
      draw();
      renew();
      if (tab === "records") getUsed();
    });
  }
  $("language").addEventListener("click", () => { lang = lang === "zh" ? "en" : "zh"; back(); draw(); });
  $("senior").addEventListener("click", () => {
    const on = document.documentElement.classList.toggle("senior");
    $("senior").setAttribute("aria-pressed", on);
    open("code");
    renew();
  });
  $("place").addEventListener("change", () => { drawAttributes(); renew(); });
  $("attributes").addEventListener("change", renew);
  $("scan").addEventListener("click", openCamera);
  $("sample").addEventListener("click", () => sample("/v1/challenge", {attributes: [whose === "person" ? "masked_name" : "enterprise_name"]}));
  $("used-again").addEventListener("click", getUsed);
  $("sample-license").addEventListener("click", sampleRequest);
  $("read").addEventListener("click", () => readQuestion($("question").value));
}

async function begin() {
  draw();
  listen();
  if (!globalThis.crypto?.subtle) return trouble("no_crypto");
  try {
    town = await call("/example/start");
    await Promise.all([getPasses("person"), getPasses("enterprise"), getLicenses()]);
  } catch {
    return trouble("no_town");
  }
  open("code");
  await tick();
  setInterval(tick, 250);
}

begin();
