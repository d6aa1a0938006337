import { byId } from "./dom.js";
import { shrink } from "./photo.js";

/** Whether the page may ask for a live camera picture (it may not over plain http). */
export function hasLiveCamera(): boolean {
  return typeof navigator.mediaDevices?.getUserMedia === "function";
}

/** Show the camera in a dialog; the photo taken, or null when the reader closes it. */
export async function takePhoto(): Promise<Blob | null> {
  const dialog = byId("camera-dialog", HTMLDialogElement);
  const video = byId("camera-video", HTMLVideoElement);
  const shoot = byId("camera-shoot", HTMLButtonElement);
  const cancel = byId("camera-cancel", HTMLButtonElement);
  const note = byId("camera-note", HTMLElement);

  shoot.disabled = true;
  note.textContent = "Waiting for the camera. Your browser may ask for permission.";
  dialog.showModal();
  const done = new AbortController();
  const closed = new Promise<null>((resolve) => {
    dialog.addEventListener("close", () => resolve(null), { once: true });
  });
  cancel.addEventListener("click", () => dialog.close(), { signal: done.signal });
  const stream = open(video, shoot, note, closed);
  const shot = new Promise<Blob>((resolve, reject) => {
    shoot.addEventListener(
      "click",
      () => shrink(video, video.videoWidth, video.videoHeight).then(resolve, reject),
      { signal: done.signal },
    );
  });
  try {
    return await Promise.race([shot, closed]);
  } finally {
    done.abort();
    if (dialog.open) dialog.close();
    for (const track of (await stream)?.getTracks() ?? []) track.stop();
    video.srcObject = null;
  }
}

/** Start the camera; null, and a note in the dialog, where there is none to be had. */
async function open(
  video: HTMLVideoElement,
  shoot: HTMLButtonElement,
  note: HTMLElement,
  closed: Promise<null>,
): Promise<MediaStream | null> {
  const asked = navigator.mediaDevices.getUserMedia({
    video: { facingMode: "environment", width: { ideal: 1280 } },
  });
  try {
    const stream = await Promise.race([asked, closed]);
    if (stream === null) {
      // Closed while the browser was asking: let go of a camera that is granted later.
      void asked.then((late) => late.getTracks().forEach((track) => track.stop())).catch(() => {});
      return null;
    }
    video.srcObject = stream;
    await video.play();
    note.textContent = "";
    shoot.disabled = false;
    shoot.focus();
    return stream;
  } catch (error) {
    const denied = error instanceof DOMException && error.name === "NotAllowedError";
    note.textContent = denied
      ? "The browser does not let this page use the camera. Choose a photo instead."
      : "No camera was found. Choose a photo instead.";
    return null;
  }
}
