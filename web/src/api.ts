import { sentenceOf } from "./format.js";
import type { Answer } from "./types.js";

const TIMEOUT_MS = 60_000;

/** Something went wrong, told in a title and a sentence for the reader. */
export class Trouble extends Error {
  constructor(
    readonly title: string,
    readonly detail: string,
    /** The photo itself is at fault: the same one would fail again. */
    readonly lasting = false,
  ) {
    super(detail);
  }
}

/** What the page asks of the service. */
export interface Api {
  /** The category and the matching products of a photo. Throws: Trouble; AbortError on stop. */
  suggest(photo: Blob, signal: AbortSignal): Promise<Answer>;
  /** The categories the model knows; none where the service does not tell. */
  categories(): Promise<string[]>;
}

/** Read config.json beside the page and give the API it names. */
export async function connect(): Promise<Api> {
  const answer = await ask(new URL("config.json", document.baseURI), { cache: "no-cache" });
  const config = answer.body as { apiUrl?: unknown };
  if (!answer.ok || typeof config.apiUrl !== "string") {
    throw new Trouble("The page is not set up", "config.json names no apiUrl.");
  }
  const root = new URL(`${config.apiUrl.replace(/\/+$/, "")}/`, document.baseURI);
  return {
    suggest: (photo, signal) => suggest(new URL("suggestions", root), photo, signal),
    categories: () => categories(new URL("model", root)),
  };
}

async function suggest(url: URL, photo: Blob, signal: AbortSignal): Promise<Answer> {
  const answer = await ask(url, {
    method: "POST",
    body: photo,
    headers: { "content-type": photo.type || "application/octet-stream" },
    signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
  });
  if (!answer.ok) throw refusal(answer);
  if (!isAnswer(answer.body)) {
    throw new Trouble("An unexpected answer", "The service answered with something else.");
  }
  return answer.body;
}

async function categories(url: URL): Promise<string[]> {
  try {
    const answer = await ask(url, {});
    const { labels } = answer.body as { labels?: unknown };
    return answer.ok && Array.isArray(labels) ? labels.map(String) : [];
  } catch (error) {
    if (error instanceof Trouble) return []; // the photo will tell what is wrong
    throw error;
  }
}

interface Reply {
  ok: boolean;
  status: number;
  body: unknown;
}

async function ask(url: URL, init: RequestInit): Promise<Reply> {
  try {
    return await read(await fetch(url, init));
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    if (error instanceof DOMException && error.name === "TimeoutError") {
      throw new Trouble("This takes too long", "The service did not answer within a minute.");
    }
    if (!navigator.onLine) {
      throw new Trouble("You are offline", "The photo is still here. Try again once you are back.");
    }
    throw new Trouble("The service cannot be reached", "It may be down, or the network in between.");
  }
}

/** The reply with its JSON; an empty object where the body is none. */
async function read(response: Response): Promise<Reply> {
  const text = await response.text();
  let body: unknown = {};
  try {
    body = JSON.parse(text) ?? {};
  } catch {
    // Not JSON: the status alone tells.
  }
  return { ok: response.ok, status: response.status, body };
}

/** The problem document (RFC 9457) as the reader should see it. */
function refusal({ status, body }: Reply): Trouble {
  const { detail } = body as { detail?: unknown };
  const told = typeof detail === "string" ? detail : "";
  const sentence = sentenceOf(told || `the service answered ${status}`);
  if (status === 413) return new Trouble("The photo is too large", sentence, true);
  if (status === 429) return new Trouble("Too many photos at once", "Wait a moment and try again.");
  if (status === 503) return new Trouble("Not ready yet", sentence);
  if (status >= 500) return new Trouble("The service failed", sentence);
  return new Trouble("This photo cannot be used", sentence, true);
}

function isAnswer(body: unknown): body is Answer {
  const { classification, suggestions } = body as Partial<Answer>;
  return Array.isArray(classification?.labels) && Array.isArray(suggestions);
}
