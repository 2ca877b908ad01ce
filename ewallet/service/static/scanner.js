// Tells a hand scanner that types keys from a person who types keys.
//
// A scanner needs no focus: the whole window listens. It reads `event.code`, the place of the key, first: an
// input method swallows `event.key` ("Process"), Caps Lock and another layout change it, and none of them
// changes the place. Our codes have capital letters and digits only, so the place says all. A scanner that is
// set to another layout sends other places but right keys: then `event.key` is read.

const GAP = 100; // ms: a longer pause ends a run of keys
const SCANNER = 45; // ms per key on average: a scanner needs 1 to 30, a fast typist 80
const SURE = 4; // keys until a run at that speed is held to be a scanner's
const LEAST = 6; // keys that a scan has at least
const SILENCE = 90; // ms of silence after which a scanner without an end key has finished
const OURS = /^EW[A-Z][A-Z2-7]*$/;
const SPOILED = new Set(["Process", "Unidentified", "Dead", ""]);
const ENDS = new Set(["Enter", "NumpadEnter", "Tab"]);

function placeOf(event) {
  const found = /^(?:Key([A-Z])|(?:Digit|Numpad)([0-9]))$/.exec(event.code);
  return found ? found[1] ?? found[2] : null;
}

function isField(element) {
  return element instanceof HTMLInputElement || element instanceof HTMLTextAreaElement;
}

export class Scanner {
  // onScan(text, at): a scanner has typed a text, its last key at `at` (performance.now()).
  // onTyping(character): a person types where nothing takes text.
  constructor({onScan, onTyping}) {
    this.onScan = onScan;
    this.onTyping = onTyping;
    this.timer = 0;
    this.reset();
  }

  listen(target = window) {
    target.addEventListener("keydown", (event) => this.key(event), true);
  }

  reset() {
    clearTimeout(this.timer);
    this.places = "";
    this.keys = "";
    this.spoiled = false;
    this.count = 0;
    this.began = 0;
    this.last = -Infinity;
    this.scanning = false;
    this.field = null;
  }

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
    if (event.timeStamp - this.last > GAP) this.reset();
    if (ENDS.has(event.code) || ENDS.has(event.key)) return this.end(event);
    const place = placeOf(event);
    const typed = event.key?.length === 1 ? event.key : null;
    if (place === null && typed === null && !SPOILED.has(event.key)) return; // Shift, arrows
    this.take(event, place, typed);
  }

  take(event, place, typed) {
    const at = event.timeStamp;
    if (this.count === 0) {
      this.began = at;
      const element = document.activeElement;
      this.field = isField(element) ? {element, value: element.value} : null;
    }
    this.count += 1;
    this.last = at;
    this.places += place ?? typed ?? "";
    this.keys += typed ?? "";
    this.spoiled ||= typed === null;
    if (!this.scanning && this.count >= SURE && this.fast()) this.recognized();
    if (this.scanning) event.preventDefault();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.silent(typed), this.scanning ? SILENCE : GAP);
  }

  fast() {
    return (this.last - this.began) / (this.count - 1) <= SCANNER;
  }

  // What had the focus gets back what it held: a scan is never text of a field, nor a press of a button.
  recognized() {
    this.scanning = true;
    if (!this.field) return;
    const {element, value} = this.field;
    const restore = () => { if (this.field?.element === element) element.value = value; };
    element.addEventListener("compositionend", restore, {once: true});
    element.blur();
    restore();
    setTimeout(restore);
  }

  end(event) {
    if (!this.scanning || this.count < LEAST) return this.reset();
    event.preventDefault();
    event.stopImmediatePropagation();
    this.finish(event.timeStamp);
  }

  silent(typed) {
    if (this.scanning && this.count >= LEAST) return this.finish(this.last);
    const {field, count} = this;
    this.reset();
    if (!field && typed && count < SURE && /\S/.test(typed)) this.onTyping(typed);
  }

  finish(at) {
    const {places, keys, spoiled} = this;
    this.reset();
    const text = OURS.test(places) || spoiled || !keys ? places : keys;
    this.onScan(text, at);
  }
}
