import { Trouble, ask } from "./api.js";
import { hasLiveCamera, takePhoto } from "./camera.js";
import { byId } from "./dom.js";
import * as view from "./find-view.js";
import { countText, percentText } from "./format.js";
import { prepare } from "./photo.js";
import { announce, ghostRows, onceOnline, trouble, troubleOf, waiting } from "./states.js";
import { type Answer, isAnswer, isModel } from "./types.js";

const SLOW_MS = 5_000;

const page = byId("main", HTMLElement);
const frame = byId("frame", HTMLElement);
const choose = byId("choose", HTMLButtonElement);
const preview = byId("preview", HTMLImageElement);
const answerPlace = byId("answer", HTMLElement);
const categoryPlace = byId("category", HTMLElement);
const file = byId("file", HTMLInputElement);
const capture = byId("capture", HTMLInputElement);
const camera = byId("camera", HTMLButtonElement);
const another = byId("another", HTMLButtonElement);
const stop = byId("stop", HTMLButtonElement);

type State = "start" | "busy" | "answered" | "trouble";

let known: string[] = [];
let current = new AbortController(); // of the photo on its way
let hasCamera = false;

function show(state: State, answer: HTMLElement, category: HTMLElement | null = null): void {
  page.dataset["state"] = state;
  answerPlace.replaceChildren(answer);
  categoryPlace.replaceChildren(...(category ? [category] : []));
  answerPlace.setAttribute("aria-busy", String(state === "busy"));
  camera.hidden = state !== "start" || !hasCamera;
  another.hidden = state !== "answered" && state !== "trouble";
  stop.hidden = state !== "busy";
  if (state === "busy") stop.focus({ preventScroll: true });
  else if (state !== "start") answerPlace.focus({ preventScroll: true });
}

function showPhoto(photo: Blob | null): void {
  if (preview.src) URL.revokeObjectURL(preview.src);
  preview.hidden = photo === null;
  choose.hidden = photo !== null;
  if (photo) preview.src = URL.createObjectURL(photo);
  else preview.removeAttribute("src");
}

function start(): void {
  current.abort();
  showPhoto(null);
  announce("");
  show("start", view.intro(known));
}

/** From a file to the answer on the page. */
async function answer(photo: Blob): Promise<void> {
  current.abort();
  const mine = new AbortController();
  current = mine;
  showPhoto(photo);
  busy("Reading the photo");
  const slow = setTimeout(() => {
    busy("Still looking. The first photo after a quiet while takes longer.");
  }, SLOW_MS);
  try {
    const prepared = await prepare(photo);
    if (mine.signal.aborted) return;
    busy("Looking for it in the shops");
    const found = await suggest(prepared, mine.signal);
    if (!mine.signal.aborted) tell(found);
  } catch (error) {
    if (!mine.signal.aborted) tellTrouble(error, photo);
  } finally {
    clearTimeout(slow);
  }
}

async function suggest(photo: Blob, signal: AbortSignal): Promise<Answer> {
  try {
    return await ask("suggestions", isAnswer, {
      method: "POST",
      body: photo,
      headers: { "content-type": photo.type || "application/octet-stream" },
      signal,
    });
  } catch (error) {
    if (!(error instanceof Trouble) || !error.lasting) throw error;
    const title = error.status === 413 ? "The photo is too large" : "This photo cannot be used";
    throw new Trouble(title, error.detail, error.status, true);
  }
}

/** The categories the model knows; none where the service does not tell: the photo will. */
async function categories(): Promise<string[]> {
  try {
    return (await ask("model", isModel)).labels.map(String);
  } catch (error) {
    if (error instanceof Trouble && error.status) return [];
    throw error;
  }
}

function busy(note: string): void {
  const shown = answerPlace.querySelector(".waiting .note");
  if (page.dataset["state"] === "busy" && shown) shown.textContent = note;
  else show("busy", waiting(note, ghostRows(), "said"));
  announce(note);
}

function tell({ classification, suggestions }: Answer): void {
  show("answered", view.products(suggestions), view.category(classification));
  const first = classification.labels[0];
  const what =
    classification.unknown || !first
      ? "Not sure what this is"
      : `${first.label}, ${percentText(first.probability)}`;
  const count = countText(suggestions.length, "matching product", "matching products");
  announce(`${what}. ${count}.`);
}

function tellTrouble(error: unknown, photo: Blob | null): void {
  const told = troubleOf(error);
  const again = photo ? () => void answer(photo) : null;
  show("trouble", trouble(told, again));
  announce(told.text);
  if (again) onceOnline(again, current.signal);
}

function take(files: Iterable<File> | null | undefined): void {
  const [first] = files ?? [];
  if (first) void answer(first);
}

function listen(): void {
  choose.addEventListener("click", () => file.click());
  another.addEventListener("click", () => {
    start();
    choose.focus();
  });
  stop.addEventListener("click", () => {
    start();
    choose.focus();
  });
  for (const input of [file, capture]) {
    input.addEventListener("change", () => {
      take(input.files);
      input.value = ""; // so that the same file can be chosen again
    });
  }
  document.addEventListener("paste", (event) => {
    const files = event.clipboardData?.files;
    if (files?.length) {
      event.preventDefault();
      take(files);
    }
  });
  listenForDrops();
}

/** A photo may be dropped anywhere on the page; the frame shows that it will be taken. */
function listenForDrops(): void {
  const over = (is: boolean) => frame.classList.toggle("over", is);
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    over(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) over(false); // it left the page, not an element of it
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    over(false);
    const files = event.dataTransfer?.files;
    if (files?.length) take(files);
    else tellTrouble(new Trouble("That is not a photo", "Drop a picture file from your computer."), null);
  });
}

/** Offer the camera: live where the browser lets us, else the phone's own camera. */
function offerCamera(): void {
  const onPhone = matchMedia("(pointer: coarse)").matches;
  hasCamera = hasLiveCamera() || onPhone;
  camera.addEventListener("click", () => {
    if (!hasLiveCamera()) {
      capture.click();
      return;
    }
    void takePhoto().then(
      (photo) => photo && answer(photo),
      (error: unknown) => tellTrouble(error, null),
    );
  });
}

listen();
offerCamera();
start();
void categories()
  .then((labels) => {
    known = labels;
    if (page.dataset["state"] === "start") show("start", view.intro(known));
  })
  .catch((error: unknown) => {
    if (page.dataset["state"] === "start") tellTrouble(error, null);
  });
