import { sentenceOf } from "./format.js";

const TIMEOUT_MS = 60_000;

/** Something went wrong, told in a title and a sentence for the reader. */
export class Trouble extends Error {
  /** status: of the answer, 0 where there was none. lasting: the same request would fail again. */
  constructor(
    readonly title: string,
    readonly detail: string,
    readonly status = 0,
    readonly lasting = false,
  ) {
    super(detail);
  }

  /** The title and the sentence, where they are told in one. */
  get text(): string {
    return `${this.title}. ${this.detail}`;
  }
}

/** A request as `fetch` takes it, with the query as an object. */
export type Asked = RequestInit & { query?: Readonly<Record<string, string>> };

/**
 * The JSON that the service answers at `path` (relative to the API: "products").
 * is: whether it is what the page expects. Throws: Trouble; AbortError when `signal` says stop.
 */
export async function ask<T>(
  path: string,
  is: (body: unknown) => body is T,
  { query = {}, signal, ...init }: Asked = {},
): Promise<T> {
  const limit = AbortSignal.timeout(TIMEOUT_MS);
  const within = signal ? AbortSignal.any([signal, limit]) : limit;
  const url = await serviceUrl(path, query);
  const reply = await exchange(url, { ...init, signal: within });
  if (!reply.ok) throw refusal(reply);
  if (!is(reply.body)) {
    throw new Trouble("An unexpected answer", "The service answered with something else.");
  }
  return reply.body;
}

/** The address of a path of the service. Throws: Trouble if the page was set up without one. */
async function serviceUrl(
  path: string,
  query: Readonly<Record<string, string>> = {},
): Promise<URL> {
  const url = new URL(path, (await config()).root);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  return url;
}

/** config.json, beside the page: where the API is asked, and as what and where it is signed for. */
export interface Config {
  root: URL;
  /** Ends in a slash. */
  signAs: string;
  region: string;
}

let known: Promise<Config> | null = null;

/** What config.json says. Read once; after a failure again. */
export function config(): Promise<Config> {
  known ??= readConfig().catch((error: unknown) => {
    known = null;
    throw error;
  });
  return known;
}

async function readConfig(): Promise<Config> {
  const answer = await exchange(new URL("config.json", document.baseURI), { cache: "no-cache" });
  const { apiUrl, signAs, region } = answer.body as Record<string, unknown>;
  if (!answer.ok || typeof apiUrl !== "string") {
    throw new Trouble("The page is not set up", "config.json names no apiUrl.");
  }
  const root = folder(new URL(apiUrl, document.baseURI).href);
  return {
    root: new URL(root),
    signAs: typeof signAs === "string" ? folder(signAs) : root,
    region: typeof region === "string" ? region : "us-east-1",
  };
}

function folder(address: string): string {
  return `${address.replace(/\/+$/, "")}/`;
}

interface Reply {
  ok: boolean;
  status: number;
  body: unknown;
}

async function exchange(url: URL, init: RequestInit): Promise<Reply> {
  try {
    return await read(await fetch(url, init));
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    if (error instanceof DOMException && error.name === "TimeoutError") {
      throw new Trouble("This takes too long", "The service did not answer within a minute.");
    }
    if (!navigator.onLine) {
      throw new Trouble("You are offline", "Nothing is lost. Try again once you are back.");
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
  if (status === 429) return new Trouble("Too many requests", "Wait a moment and try again.", status);
  if (status === 503) return new Trouble("Not ready yet", sentence, status);
  if (status >= 500) return new Trouble("The service failed", sentence, status);
  if (status === 404) return new Trouble("Not found", sentence, status, true);
  return new Trouble("The service refused this", sentence, status, true);
}
