import { Trouble } from "./api.js";

const MAX_SIDE = 1024;
const LARGE_BYTES = 1_000_000;
const MAX_BYTES = 4_500_000; // what the service takes in one request
const AS_IS = new Set(["image/jpeg", "image/png", "image/webp"]);
const QUALITY = 0.9;

/**
 * The photo as it is sent: the file itself when it is small and of a common kind, else a JPEG of
 * at most 1024 pixels a side. Throws: Trouble if the file is no photo.
 */
export async function prepare(file: Blob): Promise<Blob> {
  if (AS_IS.has(file.type) && file.size <= LARGE_BYTES) return file;
  let picture: ImageBitmap;
  try {
    picture = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return unread(file);
  }
  try {
    return await shrink(picture, picture.width, picture.height);
  } finally {
    picture.close();
  }
}

/** A JPEG of at most 1024 pixels a side, on white where the picture is transparent. */
export function shrink(picture: CanvasImageSource, width: number, height: number): Promise<Blob> {
  const scale = Math.min(1, MAX_SIDE / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext("2d");
  if (!context) throw new Trouble("The photo cannot be read", "The browser has no canvas to draw on.");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve, reject) => {
    canvas.toBlob(
      (blob) => (blob ? resolve(blob) : reject(new Trouble("The photo cannot be read", "It is empty."))),
      "image/jpeg",
      QUALITY,
    );
  });
}

/** A photo of a kind that only the service may know; anything else is turned away here. */
function unread(file: Blob): Blob {
  if (file.type.startsWith("image/") && file.size <= MAX_BYTES) return file;
  const kinds = "Choose a picture file, such as a JPEG, PNG or WebP.";
  throw new Trouble("That is not a photo", kinds, 0, true);
}
