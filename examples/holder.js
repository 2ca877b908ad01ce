// The holder's side of the identity code in JavaScript: WebCrypto, no dependency.
//
// For phones and mini programs, which run no Python. The device key is made by the platform, cannot be
// exported, and never leaves it. docs/format.md, "Identity code", states every byte.
//
//   const key = await newDeviceKey();
//   const proof = await provePossession(key, authority, nonce);   // -> the authority issues a pass
//   const text = await makeCode(pass, key, {audience: "metro", now: Date.now()});
//   const asked = await checkChallenge(text, verifiers, scenes, Date.now());   // who asks for what?
//   const answer = await answerChallenge(pass, key, asked, {disclose: ["masked_name"], now: Date.now()});

const subtle = globalThis.crypto.subtle;
const ECDSA = {name: "ECDSA", hash: "SHA-256"};
const P256 = {name: "ECDSA", namedCurve: "P-256"};
const utf8 = new TextEncoder();

// --- bytes ----------------------------------------------------------------------------------------------

export function concat(...parts) {
  const out = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function same(a, b) {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

async function sha256(data) {
  return new Uint8Array(await subtle.digest("SHA-256", data));
}

export function fromBase64url(text) {
  const binary = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
  return Uint8Array.from(binary, (char) => char.charCodeAt(0));
}

const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

export function toBase32(data) {
  let out = "", bits = 0, value = 0;
  for (const byte of data) {
    value = (value << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      out += BASE32[(value >>> bits) & 31];
      value &= (1 << bits) - 1;
    }
  }
  return bits ? out + BASE32[(value << (5 - bits)) & 31] : out;
}

export function fromBase32(text) {
  const out = [];
  let bits = 0, value = 0;
  for (const char of text) {
    const digit = BASE32.indexOf(char);
    if (digit < 0) throw new Error("not Base32");
    value = (value << 5) | digit;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      out.push((value >>> bits) & 255);
      value &= (1 << bits) - 1;
    }
  }
  if (value !== 0 || bits >= 5) throw new Error("not Base32 in its only form");
  return new Uint8Array(out);
}

// --- CBOR, deterministic (RFC 8949, 4.2.1), as far as codes need it -----------------------------------------

function head(major, length) {
  if (length < 24) return Uint8Array.of((major << 5) | length);
  if (length < 0x100) return Uint8Array.of((major << 5) | 24, length);
  if (length < 0x10000) return Uint8Array.of((major << 5) | 25, length >> 8, length & 255);
  if (length > 0xffffffff) throw new Error("a number beyond 32 bits");
  const out = new Uint8Array(5);
  out[0] = (major << 5) | 26;
  new DataView(out.buffer).setUint32(1, length);
  return out;
}

const byBytes = (a, b) => {
  for (let i = 0; i < Math.min(a.length, b.length); i++) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
};

export function encode(value) {
  if (typeof value === "boolean") return Uint8Array.of(value ? 0xf5 : 0xf4);
  if (Number.isInteger(value)) return value < 0 ? head(1, -1 - value) : head(0, value);
  if (value instanceof Uint8Array) return concat(head(2, value.length), value);
  if (typeof value === "string") {
    const data = utf8.encode(value);
    return concat(head(3, data.length), data);
  }
  if (Array.isArray(value)) return concat(head(4, value.length), ...value.map(encode));
  if (value instanceof Map) {
    const pairs = [...value].map(([key, inner]) => [encode(key), encode(inner)]);
    pairs.sort((a, b) => byBytes(a[0], b[0]));
    return concat(head(5, pairs.length), ...pairs.flat());
  }
  throw new Error("no CBOR form");
}

// Reads one item; maps become Map, tags {tag, value}, simple values {simple}. Definite lengths only.
export function decode(data) {
  let at = 0;
  const take = (size) => {
    if (at + size > data.length) throw new Error("CBOR ends too early");
    at += size;
    return data.subarray(at - size, at);
  };
  const item = (depth) => {
    if (depth > 8) throw new Error("CBOR too deep");
    const first = take(1)[0], major = first >> 5, info = first & 31;
    let length = info;
    if (info === 24) length = take(1)[0];
    else if (info === 25) length = take(2).reduce((sum, byte) => sum * 256 + byte, 0);
    else if (info === 26) length = take(4).reduce((sum, byte) => sum * 256 + byte, 0);
    else if (info > 26) throw new Error("CBOR that codes do not use");
    switch (major) {
      case 0: return length;
      case 1: return -1 - length;
      case 2: return take(length).slice();
      case 3: return new TextDecoder("utf-8", {fatal: true}).decode(take(length));
      case 4: return Array.from({length}, () => item(depth + 1));
      case 5: {
        const map = new Map();
        for (let i = 0; i < length; i++) {
          let key = item(depth + 1);
          if (typeof key === "object") key = `simple ${key.simple}`;
          if (map.has(key)) throw new Error("a key twice");
          map.set(key, item(depth + 1));
        }
        return map;
      }
      case 6: return {tag: length, value: item(depth + 1)};
      default:
        if (length === 20 || length === 21) return length === 21;
        return {simple: length};
    }
  };
  const value = item(0);
  if (at !== data.length) throw new Error("bytes after the CBOR item");
  return value;
}

// --- COSE ---------------------------------------------------------------------------------------------------

function toBeSigned(protectedHeader, payload) {
  return encode(["Signature1", protectedHeader, new Uint8Array(0), payload]);
}

const SIGN1 = Uint8Array.of(0xd2, 0x84);

function readSign1(data) {
  const {tag, value} = decode(data);
  if (tag !== 18 || !Array.isArray(value) || value.length !== 4) throw new Error("not a COSE_Sign1");
  const [protectedHeader, unprotectedHeader, payload, signature] = value;
  return {protectedHeader, unprotectedHeader, payload, signature};
}

// --- device key ---------------------------------------------------------------------------------------------

export function newDeviceKey() {
  return subtle.generateKey(P256, false, ["sign", "verify"]);
}

// Thumbprint of a COSE_Key (RFC 9679).
async function thumbprint(publicKey) {
  const {x, y} = await subtle.exportKey("jwk", publicKey);
  return sha256(encode(new Map([[1, 2], [-1, 1], [-2, fromBase64url(x)], [-3, fromBase64url(y)]])));
}

// Proof of possession over (authority, nonce, key): nonce and signature.
export async function provePossession(key, authority, nonce) {
  const about = encode([authority, nonce, await thumbprint(key.publicKey)]);
  const message = concat(utf8.encode("ewallet-possession-v1\0"), about);
  return concat(nonce, new Uint8Array(await subtle.sign(ECDSA, key.privateKey, message)));
}

// --- codes --------------------------------------------------------------------------------------------------

const AUD = 3, EXP = 4, IAT = 6, CNONCE = 39, SD_CLAIMS = 17;

// What a pass says, and what it can disclose.
export function readPass(pass) {
  const {payload, unprotectedHeader} = readSign1(pass);
  const claims = decode(payload);
  const disclosures = new Map();
  for (const encoded of unprotectedHeader.get(SD_CLAIMS) ?? []) {
    const [, value, name] = decode(encoded);
    disclosures.set(name, {value, encoded});
  }
  return {claims, disclosures, scenes: claims.get("s"), begins: claims.get(IAT), ends: claims.get(EXP)};
}

function shownPass(pass, disclose) {
  const {protectedHeader, payload, signature} = readSign1(pass);
  const {disclosures} = readPass(pass);
  const chosen = [...disclosures].filter(([name]) => disclose.includes(name)).map(([, each]) => each.encoded);
  if (chosen.length !== new Set(disclose).size) throw new Error("the pass does not carry that attribute");
  const open = chosen.length ? new Map([[SD_CLAIMS, chosen]]) : new Map();
  return concat(SIGN1, encode(protectedHeader), encode(open), encode(payload), encode(signature));
}

// A code as text. `now` in milliseconds, as Date.now() gives it.
export async function makeCode(pass, key, {audience, now, cnonce, disclose = []}) {
  const iat = Math.floor(now / 1000);
  const {begins, ends} = readPass(pass);
  if (iat < begins || iat >= ends) throw new Error("pass.expired");
  // {1: -9 (ES256), 13: the pass, 16: 294}: the pass is embedded as it is, not as a byte string.
  const header = concat(Uint8Array.of(0xa3, 1, 0x28, 13), shownPass(pass, disclose), Uint8Array.of(16, 0x19, 1, 0x26));
  const claims = new Map([[AUD, audience], [IAT, iat]]);
  if (cnonce) claims.set(CNONCE, cnonce);
  const payload = encode(claims);
  const signature = new Uint8Array(await subtle.sign(ECDSA, key.privateKey, toBeSigned(header, payload)));
  return "EWC" + toBase32(concat(SIGN1, encode(header), encode(new Map()), encode(payload), encode(signature)));
}

// --- questions ----------------------------------------------------------------------------------------------

const CHALLENGE = "application/ewallet-challenge+cwt";
const REQUEST = "application/ewallet-request+cwt";

// Which of the listed keys signed; null if none did.
async function signerOf(listed, kid, signature, signed) {
  for (const each of listed) {
    const key = await subtle.importKey("jwk", each.jwk, P256, true, ["verify"]);
    const own = (await thumbprint(key)).subarray(0, 8);
    if (same(own, kid) && await subtle.verify(ECDSA, key, signature, signed)) return each;
  }
  return null;
}

// Checks who asks for what. `verifiers`: [{uri, name, jwk, scenes, attributes, types, venues}] from the trust
// lists; `scenes`: {id: {attributes, types}}. A challenge asks for `attributes` of a code, a request for
// `licenses`: [{types, fields}], with `about` saying what for. Throws "verifier.unknown" or
// "verifier.not_granted".
export async function checkQuestion(text, verifiers, scenes, now) {
  if (!text.startsWith("EWQ")) throw new Error("code.unreadable");
  const {protectedHeader, unprotectedHeader, payload, signature} = readSign1(fromBase32(text.slice(3)));
  const header = decode(protectedHeader), claims = decode(payload), isRequest = header.get(16) === REQUEST;
  if ((header.get(16) !== CHALLENGE && !isRequest) || unprotectedHeader.size) throw new Error("credential.malformed");
  const signed = toBeSigned(protectedHeader, payload);
  const issuer = claims.get(1), second = Math.floor(now / 1000);
  if (second >= claims.get(EXP)) throw new Error("code.expired");
  if (claims.get(IAT) > second + 60) throw new Error("code.from_future");
  const asker = await signerOf(verifiers.filter(({uri}) => uri === issuer), header.get(4), signature, signed);
  if (!asker) throw new Error("verifier.unknown");
  const venue = claims.get("venue"), scene = claims.get("scene");
  const attributes = isRequest ? [] : claims.get("attributes");
  const licenses = isRequest ? claims.get("licenses").map(([types, fields]) => ({types, fields})) : [];
  const types = licenses.flatMap((each) => each.types);
  const may = (asked, granted = []) => granted.includes("*") || asked.every((each) => granted.includes(each));
  if (!may([venue], asker.venues) || !may([scene], asker.scenes) || !may(attributes, asker.attributes)
      || !may(types, asker.types) || !scenes[scene] || !may(attributes, scenes[scene].attributes)
      || !may(types, scenes[scene].types)) throw new Error("verifier.not_granted");
  const about = Object.fromEntries(claims.get("about") ?? []);
  return {asker, venue, scene, attributes, licenses, about, ends: claims.get(EXP), digest: await sha256(signed)};
}

// As `checkQuestion`, for a challenge only.
export async function checkChallenge(text, verifiers, scenes, now) {
  const asked = await checkQuestion(text, verifiers, scenes, now);
  if (asked.licenses.length) throw new Error("code.unreadable");
  return asked;
}

// Answers a challenge that was checked and that the holder has seen.
export async function answerChallenge(pass, key, asked, {disclose = [], now}) {
  if (!disclose.every((name) => asked.attributes.includes(name))) throw new Error("verifier.not_granted");
  if (!readPass(pass).scenes.includes(asked.scene)) throw new Error("policy.scene");
  if (Math.floor(now / 1000) >= asked.ends) throw new Error("code.expired");
  return makeCode(pass, key, {audience: asked.venue, now, cnonce: asked.digest, disclose});
}

// --- licenses -----------------------------------------------------------------------------------------------

// Shows fields of a license (SD-CWT) as text. It has the form of a code; the prefix says what is inside.
export async function presentLicense(credential, key, options) {
  return `EWL${(await makeCode(credential, key, options)).slice(3)}`;
}

// Answers a request: one presentation for each license that it asks for, all fields of it and no other.
// `credentials` in the order of the request; the texts travel in any order, one to a line where they are one text.
export async function answerRequest(credentials, key, asked, {now}) {
  if (!credentials.length || asked.licenses.length !== credentials.length) throw new Error("policy.type");
  if (Math.floor(now / 1000) >= asked.ends) throw new Error("code.expired");
  return Promise.all(credentials.map((credential, place) => presentLicense(credential, key, {
    audience: asked.venue, now, cnonce: asked.digest, disclose: asked.licenses[place].fields,
  })));
}

// --- what a device signs for sharing --------------------------------------------------------------------------

async function signCwt(key, typ, claims) {
  const kid = (await thumbprint(key.publicKey)).subarray(0, 8);
  const header = encode(new Map([[1, -9], [4, kid], [16, typ]])), payload = encode(new Map(claims));
  const signature = new Uint8Array(await subtle.sign(ECDSA, key.privateKey, toBeSigned(header, payload)));
  return concat(SIGN1, encode(header), encode(new Map()), encode(payload), encode(signature));
}

// The consent that one recipient gets a copy of one license, bytes. `life` in seconds, at most a day.
// With the issuing authority as `recipient` and "uses" as `purpose` it asks who used the license.
export async function makeConsent(key, {recipient, identifier, matter = "", case: number = "", purpose, now, life = 3600}) {
  const iat = Math.floor(now / 1000), {x, y} = await subtle.exportKey("jwk", key.publicKey);
  return signCwt(key, "application/ewallet-consent+cwt", [
    [AUD, recipient], [EXP, iat + life], [IAT, iat], ["nonce", crypto.getRandomValues(new Uint8Array(16))],
    ["identifier", identifier], ["matter", matter], ["case", number], ["purpose", purpose],
    ["key", new Map([[1, 2], [-1, 1], [-2, fromBase64url(x)], [-3, fromBase64url(y)]])],
  ]);
}

// A supply code as text: who scans it may retrieve one license of this device, for minutes and for one case.
// `authority`: who issued it; `recipient`: the only one who may use it, or nothing.
export async function makeSupplyCode(key, {authority, type, recipient, now, life = 120}) {
  const iat = Math.floor(now / 1000), {x, y} = await subtle.exportKey("jwk", key.publicKey);
  const point = new Map([[1, 2], [-1, 1], [-2, fromBase64url(x)], [-3, Boolean(fromBase64url(y).at(-1) & 1)]]);
  const claims = [
    [AUD, authority], [EXP, iat + life], [IAT, iat], [8, new Map([[1, point]])],
    ["nonce", crypto.getRandomValues(new Uint8Array(16))], ["type", type],
  ];
  if (recipient) claims.push(["recipient", recipient]);
  return "EWU" + toBase32(await signCwt(key, "application/ewallet-supply+cwt", claims));
}

// What a supply code says, unverified: for the window's screen; the authority decides.
export function readSupplyCode(text) {
  if (!text.startsWith("EWU")) throw new Error("code.unreadable");
  const claims = decode(readSign1(fromBase32(text.slice(3))).payload);
  return {authority: claims.get(AUD), type: claims.get("type"), recipient: claims.get("recipient") ?? "", ends: claims.get(EXP)};
}

// --- receipts -----------------------------------------------------------------------------------------------

const RECEIPT = "application/ewallet-receipt+cwt";

// Checks a receipt (bytes): who used what, when, what for. `keepers`: [{uri, name, jwk}] from the trust lists.
export async function checkReceipt(data, keepers) {
  const {protectedHeader, payload, signature} = readSign1(data);
  const header = decode(protectedHeader), claims = decode(payload);
  if (header.get(16) !== RECEIPT) throw new Error("credential.malformed");
  const listed = keepers.filter(({uri}) => uri === claims.get(1));
  const keeper = await signerOf(listed, header.get(4), signature, toBeSigned(protectedHeader, payload));
  if (!keeper) throw new Error("issuer.unknown");
  const about = Object.fromEntries(claims.get("about"));
  return {
    keeper, about, at: claims.get(IAT), venue: claims.get("venue"), scene: claims.get("scene"),
    types: claims.get("types"), number: claims.get("n"), rating: claims.get("rating"),
  };
}
