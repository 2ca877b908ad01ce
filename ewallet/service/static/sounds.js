// Three sounds that differ in rhythm and pitch, made here: a clerk who looks at the person hears the outcome.

const SOUNDS = {
  ACCEPTED: [[660, 0, 0.12], [990, 0.13, 0.22]], // two notes, rising
  REJECTED: [[180, 0, 0.22], [140, 0.27, 0.42]], // two low ones, falling
  UNDECIDED: [[440, 0, 0.1], [440, 0.18, 0.1], [440, 0.36, 0.1]], // three equal ones
};

let context = null;

export function sound(outcome) {
  const notes = SOUNDS[outcome];
  if (!notes || !globalThis.AudioContext) return;
  try {
    context ??= new AudioContext();
    for (const [pitch, from, length] of notes) note(context, pitch, context.currentTime + from, length);
  } catch {
    // A terminal without sound shows what it shows.
  }
}

function note(audio, pitch, at, length) {
  const tone = audio.createOscillator();
  const volume = audio.createGain();
  tone.type = pitch < 200 ? "square" : "sine";
  tone.frequency.value = pitch;
  volume.gain.setValueAtTime(0.0001, at);
  volume.gain.exponentialRampToValueAtTime(pitch < 200 ? 0.12 : 0.3, at + 0.02);
  volume.gain.exponentialRampToValueAtTime(0.0001, at + length);
  tone.connect(volume).connect(audio.destination);
  tone.start(at);
  tone.stop(at + length + 0.02);
}
