// The white card beside the outcome: three layers, the person, the licenses, notices. Built from text nodes
// only: nothing that was scanned is ever read as HTML.
import {TYPES} from "./labels.js";
import {ATTRIBUTES, KINDS, PROVINCES, ROLES, YES_NO, say, word} from "./words.js";

export const SIGNS = {
  ACCEPTED: "M34 62l19 19 34-40",
  REJECTED: "M40 40l40 40M80 40l-40 40",
  UNDECIDED: "M45 48c0-24 32-22 31 0-1 12-16 13-16 25M60 88v1",
  STATUS: "M60 36v1M60 55v32",
  MANUAL: "M42 78l5-19 26-26 14 14-26 26zM66 40l14 14",
};
const LAYERS = ["genuine", "in force", "accepted here"];
const LAYER_SIGNS = {passed: SIGNS.ACCEPTED, failed: SIGNS.REJECTED, open: SIGNS.UNDECIDED, none: "M42 60h36"};
const HIDDEN = new Set(["portrait_digest", "portrait", "portrait_image"]);
const SVG = "http://www.w3.org/2000/svg";

export function element(name, about = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(about)) {
    if (key === "text") made.textContent = value;
    else if (value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter(Boolean));
  return made;
}

function sign(path) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "20 20 80 80");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

// --- masking: the same rules as in seals ---------------------------------------------------------------------

const MASKS = {
  name: (value) => value.slice(0, 1) + "*".repeat(Math.max(value.length - 1, 0)),
  tail: (value) => "*".repeat(Math.max(value.length - 4, 0)) + value.slice(-4),
  resident_id: (value) => value.slice(0, 3) + "*".repeat(Math.max(value.length - 7, 0)) + value.slice(-4),
  disability_card: (value) => MASKS.resident_id(value.slice(0, 18)) + value.slice(18),
};

function shown(value, field, {lang, full}) {
  if (typeof value === "boolean") return say(YES_NO[value], lang);
  const text = typeof value === "string" ? value : JSON.stringify(value);
  if (field?.codes?.[text]) return say(field.codes[text], lang);
  if (field?.type === "end" && text === "long-term") return lang === "zh" ? "长期" : "long-term";
  const mask = MASKS[field?.mask];
  return mask && !full && !text.includes("*") ? mask([...text].join("")) : text;
}

export function hasMasked(answer) {
  return answer.licenses.some((license) =>
    Object.entries(license.fields).some(([key, value]) => {
      const mask = MASKS[TYPES[license.type]?.fields[key]?.mask];
      return mask && typeof value === "string" && !value.includes("*");
    }));
}

// --- the parts -----------------------------------------------------------------------------------------------

function layers(answer, lang) {
  const list = element("ul", {class: "layers", "aria-label": word("layers", lang)});
  const last = LAYERS.findLastIndex((name) => answer.layers[name]);
  for (const [place, name] of LAYERS.entries()) {
    const result = answer.layers[name] ?? "none";
    const none = place < last ? "not_needed" : "not_reached"; // a later layer was reached
    list.append(element("li", {"data-result": result}, sign(LAYER_SIGNS[result]),
      element("strong", {text: word(name, lang)}),
      element("span", {text: word(result === "none" ? none : result, lang)})));
  }
  return list;
}

function row(list, label, value, kind) {
  if (value === undefined || value === null || value === "") return;
  list.append(element("dt", {text: label}), element("dd", {text: value, class: kind}));
}

function party(list, found, lang) {
  const name = found.attributes.masked_name ?? found.attributes.enterprise_name;
  if (name) row(list, say(ATTRIBUTES[found.attributes.masked_name ? "masked_name" : "enterprise_name"], lang), name, "big");
  row(list, word("kind", lang), [say(KINDS[found.kind], lang) || found.kind, say(ROLES[found.role], lang)].filter(Boolean).join(" · "));
  for (const [key, value] of Object.entries(found.attributes)) {
    if (HIDDEN.has(key) || value === name) continue;
    row(list, say(ATTRIBUTES[key], lang) || key, shown(value, null, {lang}));
  }
}

function people(answer, look) {
  const {lang} = look, {subject, actor} = answer;
  if (!subject && !portraitOf(answer)) return null; // a license of an enterprise has nobody to compare
  const box = element("div");
  if (answer.outcome === "ACCEPTED") box.append(element("p", {class: "compare", text: word("compare", lang)}));
  for (const [key, found] of [["actor", actor], [actor ? "subject" : "person", subject]]) {
    if (!found) continue;
    const list = element("dl", {class: "facts"});
    party(list, found, lang);
    box.append(element("h3", {text: word(key, lang)}), list);
  }
  const named = subject ? null : answer.licenses.find((each) => typeof each.fields.name === "string");
  if (named) {
    const field = TYPES[named.type]?.fields.name;
    box.append(element("p", {class: "big", text: shown(named.fields.name, field, look)}));
  }
  return element("section", {class: "who"}, portrait(answer, lang), box);
}

// Fields in the order of the face; then what the face does not have. Holders stand in the fields already.
function inOrder(fields, type) {
  const order = Object.keys(type?.fields ?? {}), place = (key) => (order.includes(key) ? order.indexOf(key) : order.length);
  return Object.entries(fields)
    .filter(([key]) => !HIDDEN.has(key) && !(type && /^holder_[0-9]+$/.test(key)))
    .sort(([one], [other]) => place(one) - place(other));
}

function license(found, look) {
  const {lang} = look, type = TYPES[found.type];
  const list = element("dl", {class: "facts"});
  row(list, word("license", lang), type ? say([type.zh, type.en], lang) : found.type, "big");
  row(list, word("issuer", lang), found.issuer_names[lang] ?? Object.values(found.issuer_names)[0]);
  row(list, word("region", lang), say(PROVINCES[found.province], lang) || found.province);
  const local = found.local && (found.local.fields ?? found.local);
  if (!local) {
    for (const [key, value] of inOrder(found.fields, type)) {
      const field = type?.fields[key];
      row(list, field ? say([field.zh, field.en], lang) : key, shown(value, field, look));
    }
  }
  row(list, word("identifier", lang), found.identifier);
  return element("section", {}, list, local ? localView(found, local, type, look) : null);
}

// What was issued and what it counts as here, line by line.
function localView(found, local, type, look) {
  const {lang} = look, body = element("tbody");
  const values = new Map(Object.entries(found.fields));
  for (const [key, value] of Object.entries(local)) {
    if (HIDDEN.has(key)) continue;
    const source = values.has(key) ? key : [...values.keys()].find((each) => !(each in local) && values.get(each) === value);
    const field = type?.fields[source ?? key];
    const label = say(ATTRIBUTES[key], lang) || (field ? say([field.zh, field.en], lang) : key);
    const from = field && source ? say([field.zh, field.en], lang) : "—";
    body.append(element("tr", {}, element("td", {text: from}), element("th", {scope: "row", text: label}),
      element("td", {text: shown(value, field, look)})));
  }
  const head = element("tr", {}, element("th", {scope: "col", text: word("original", lang)}),
    element("th", {scope: "col", text: word("local", lang)}), element("th", {scope: "col", text: word("value", lang)}));
  return element("section", {}, element("h3", {text: word("local_more", lang)}),
    element("table", {}, element("thead", {}, head), body));
}

function notices(answer, lang) {
  // The badge at the person says "compare" already, and says it only where all else is well.
  const told = answer.notices.filter((notice) => notice.code !== "compare.person" || !answer.subject);
  if (!told.length) return null;
  const list = element("ul", {class: "notices", "aria-label": word("notices", lang)});
  for (const notice of told) {
    list.append(element("li", {text: `${notice[lang]}${notice.detail ? ` ${notice.detail}` : ""}`}));
  }
  return list;
}

// --- portrait ------------------------------------------------------------------------------------------------

function bytesOf(text) {
  if (/^ffd8ff[0-9a-f]*$/.test(text)) return Uint8Array.from(text.match(/../g), (pair) => parseInt(pair, 16));
  try {
    return Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (char) => char.charCodeAt(0));
  } catch {
    return null;
  }
}

function portraitOf(answer) {
  const places = [answer.subject?.attributes, ...answer.licenses.map((each) => each.fields)];
  const text = places.map((place) => place?.portrait_image).find((value) => typeof value === "string" && value.length > 40);
  return text ? bytesOf(text) : null;
}

// Drawn into a canvas: no address of the picture is left behind.
function portrait(answer, lang) {
  const bytes = portraitOf(answer);
  if (!bytes) return null;
  const canvas = element("canvas", {role: "img", "aria-label": word("portrait", lang)});
  createImageBitmap(new Blob([bytes])).then((picture) => {
    Object.assign(canvas, {width: picture.width, height: picture.height});
    canvas.getContext("2d").drawImage(picture, 0, 0);
  }, () => canvas.remove());
  return canvas;
}

// All of it. `look`: {lang, full}.
export function details(answer, look) {
  const parts = [layers(answer, look.lang), people(answer, look), notices(answer, look.lang)];
  parts.push(...answer.licenses.map((each) => license(each, look)));
  return parts.filter(Boolean);
}
