import { AwsV4Signer } from "aws4fetch";

/** An AWS access key. */
export interface Key {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken?: string;
}

export interface ToSign {
  url: string;
  method: string;
  body: string | null;
  region: string;
  /** "20261122T100000Z", for a test; now, if not given. */
  at?: string;
}

/** The headers by which a request to API Gateway tells who sends it (SigV4). */
export async function signatureOf(key: Key, { at, ...request }: ToSign): Promise<Headers> {
  const signer = new AwsV4Signer({
    ...key,
    ...request,
    service: "execute-api",
    ...(at ? { datetime: at } : {}),
  });
  const { headers } = await signer.sign();
  headers.delete("host"); // the browser's own to set
  return headers;
}

/** Not as forms write a query: a space as "+" would be signed as another character. */
export function queryText(query: Readonly<Record<string, string>>): string {
  return Object.entries(query)
    .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
    .join("&");
}
