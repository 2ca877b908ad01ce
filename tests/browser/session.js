// One phone's session against the test server: proof, pass, code, challenge, and what must be refused.
import * as holder from "./holder.js";

const hex = (data) => Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join("");
const unhex = (text) => Uint8Array.from(text.match(/../g), (pair) => parseInt(pair, 16));

async function refusal(promise) {
  try {
    await promise;
    return "nothing refused";
  } catch (error) {
    return error.message;
  }
}

export async function session(base) {
  const get = async (path) => (await fetch(base + path)).json();
  const post = async (path, body) =>
    (await fetch(base + path, {method: "POST", body: JSON.stringify(body)})).json();

  const {authority, nonce, now, verifiers, scenes} = await get("/start");
  const key = await holder.newDeviceKey();
  const proof = await holder.provePossession(key, authority, unhex(nonce));
  const jwk = await crypto.subtle.exportKey("jwk", key.publicKey);
  const pass = unhex((await post("/pass", {jwk: {kty: jwk.kty, crv: jwk.crv, x: jwk.x, y: jwk.y}, proof: hex(proof)})).pass);
  const {audience, question, stranger, greedy} = await get("/questions");

  const code = await holder.makeCode(pass, key, {audience, now, disclose: ["resident"]});
  const asked = await holder.checkChallenge(question, verifiers, scenes, now);
  const answer = await holder.answerChallenge(pass, key, asked, {disclose: ["masked_name"], now});
  const about = {recipient: "https://sh.ewallet.example/a/hall", identifier: "1.2.156.3005.2.1", now};
  const consents = [
    await holder.makeConsent(key, {...about, matter: "M-1", case: "C-1", purpose: "办理示例事项", life: 600}),
    await holder.makeConsent(key, {...about, purpose: "uses"}),
  ];
  const supply = {authority: "https://sh.ewallet.example/a/market", type: "310100123000100", now};
  const supplies = [
    await holder.makeSupplyCode(key, supply),
    await holder.makeSupplyCode(key, {...supply, recipient: about.recipient, life: 300}),
  ];
  return post("/result", {
    consents: consents.map(hex),
    supplies,
    code,
    answer,
    asker: asked.asker.name,
    extractable: key.privateKey.extractable,
    refused: [
      await refusal(holder.checkChallenge(stranger, verifiers, scenes, now)),
      await refusal(holder.checkChallenge(greedy, verifiers, scenes, now)),
      await refusal(holder.checkChallenge(question, verifiers, scenes, now + 61_000)),
      await refusal(holder.answerChallenge(pass, key, asked, {disclose: ["resident"], now})),
      await refusal(holder.makeCode(pass, key, {audience, now: now + 86_400_000})),
    ],
  });
}
