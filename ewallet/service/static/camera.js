// Reads codes from the camera: the browser's own reader, else the one that lies beside this page.

const PERIOD = 120; // ms between two pictures
const AGAIN = 2500; // ms that a code must be out of sight before it counts as shown again

let wasm = null;

async function wasmReader() {
  wasm ??= import("./vendor/zxing-wasm/reader/index.js").then((module) => {
    const folder = new URL("./vendor/zxing-wasm/reader/", import.meta.url).href;
    module.prepareZXingModule({overrides: {locateFile: (name) => folder + name}});
    return module;
  });
  const {readBarcodes} = await wasm;
  return async (image) => {
    const found = await readBarcodes(image, {formats: ["QRCode"], tryHarder: true, maxNumberOfSymbols: 4});
    return found.map((each) => each.text);
  };
}

async function ownReader() {
  const Detector = globalThis.BarcodeDetector;
  if (!Detector) return null;
  try {
    if (!(await Detector.getSupportedFormats()).includes("qr_code")) return null;
    const detector = new Detector({formats: ["qr_code"]});
    return async (image) => (await detector.detect(image)).map((each) => each.rawValue);
  } catch {
    return null;
  }
}

export class Camera {
  // onCodes(texts): all codes in one picture, told once while they stay in sight.
  constructor(video, {onCodes}) {
    this.video = video;
    this.onCodes = onCodes;
    this.stream = null;
    this.seen = new Map();
    this.canvas = document.createElement("canvas");
  }

  get on() {
    return this.stream !== null;
  }

  // Throws what `getUserMedia` throws where there is no camera or no leave to use it.
  async start() {
    if (this.on) return;
    const now = performance.now();
    for (const text of this.seen.keys()) this.seen.set(text, now); // held still before the lens: not shown again
    const wanted = {facingMode: "environment", width: {ideal: 1280}, height: {ideal: 720}};
    this.stream = await navigator.mediaDevices.getUserMedia({video: wanted, audio: false});
    this.video.srcObject = this.stream;
    await this.video.play();
    const read = (await ownReader()) ?? (await wasmReader());
    this.look(read, this.stream);
  }

  stop() {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
    this.video.srcObject = null;
    this.canvas.width = this.canvas.height = 0;
  }

  forget() {
    this.seen.clear();
  }

  async look(read, stream) {
    while (this.stream === stream) {
      const image = this.picture();
      if (image) {
        const texts = await read(image).catch(() => []);
        if (this.stream === stream) this.tell([...new Set(texts.filter(Boolean))]);
      }
      await new Promise((resolve) => { setTimeout(resolve, PERIOD); });
    }
  }

  picture() {
    const {videoWidth: width, videoHeight: height} = this.video;
    if (!width) return null;
    Object.assign(this.canvas, {width, height});
    const pen = this.canvas.getContext("2d", {willReadFrequently: true});
    pen.drawImage(this.video, 0, 0);
    return pen.getImageData(0, 0, width, height);
  }

  tell(texts) {
    const now = performance.now();
    const fresh = texts.filter((text) => now - (this.seen.get(text) ?? -Infinity) > AGAIN);
    for (const [text, at] of this.seen) if (now - at > AGAIN) this.seen.delete(text);
    texts.forEach((text) => this.seen.set(text, now));
    if (fresh.length) this.onCodes(texts);
  }
}
