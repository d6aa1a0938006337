import { type Asked, Trouble, ask, config } from "./api.js";
import { byId, make } from "./dom.js";
import { type Key, queryText, signatureOf } from "./sign.js";
import { announce, button, troubleOf } from "./states.js";

const KEPT_AS = "products-advisor.key";
const REFUSED = 403;

/**
 * As `ask`, signed with the key that the reader gave, which stays in this tab's session.
 * The signature is of the API's own host and path, under which CloudFront passes the request on.
 */
export async function askSigned<T>(
  path: string,
  is: (body: unknown) => body is T,
  { query = {}, ...init }: Asked & { body?: string } = {},
): Promise<T> {
  const key = kept();
  if (!key) throw new Trouble("Not signed in", "Give an access key first.", REFUSED, true);
  const { signAs, region } = await config();
  const search = queryText(query);
  const asked = search ? `${path}?${search}` : path;
  const headers = await signatureOf(key, {
    url: `${signAs}${asked}`,
    method: init.method ?? "GET",
    body: init.body ?? null,
    region,
  });
  if (init.body) headers.set("content-type", "application/json");
  try {
    return await ask(asked, is, { ...init, headers });
  } catch (error) {
    if (error instanceof Trouble && error.status === REFUSED) {
      // API Gateway says the same of a wrong key and of one that may not call this: so do we.
      const [route = ""] = path.split("/");
      throw new Trouble(`This key is not accepted for /${route}`, NOT_ACCEPTED, REFUSED, true);
    }
    throw error;
  }
}

const NOT_ACCEPTED =
  "Check the key and its secret, that its policy allows execute-api:Invoke there, and that this " +
  "computer's clock is right.";

function kept(): Key | null {
  const text = sessionStorage.getItem(KEPT_AS);
  return text ? (JSON.parse(text) as Key) : null;
}

/**
 * Show the desk to who is signed in, the form to who is not.
 * check: asks something of the service, to see whether a key is accepted. open: called with each
 * sign-in, and at once for who is signed in already.
 */
export function signIn(check: () => Promise<unknown>, open: () => void): void {
  const place = byId("sign-in", HTMLElement);
  const desk = byId("desk", HTMLElement);
  const out = byId("sign-out", HTMLButtonElement);
  const show = () => {
    const known = kept() !== null;
    desk.hidden = out.hidden = !known;
    place.replaceChildren(...(known ? [] : [form(check, entered)]));
    if (known) open();
  };
  const entered = () => {
    show();
    byId("main", HTMLElement).focus();
    announce("Signed in.");
  };
  out.addEventListener("click", () => {
    sessionStorage.removeItem(KEPT_AS);
    location.reload(); // nothing of what was shown is left
  });
  show();
}

function form(check: () => Promise<unknown>, entered: () => void): HTMLElement {
  const id = field("Access key ID", "text", true);
  const secret = field("Secret access key", "password", true);
  const token = field("Session token, of a temporary key", "password", false);
  const told = make("p", { class: "note wrong", attributes: { role: "alert" } });
  const send = button("Sign in", () => undefined);
  send.type = "submit";
  const made = make(
    "form",
    { class: "sign-in", attributes: { "aria-labelledby": "sign-in-title", novalidate: "" } },
    make("h2", { text: "Sign in", attributes: { id: "sign-in-title" } }),
    make("p", {
      class: "lead",
      text:
        "With an AWS access key that may call this service. It stays in this tab until you sign out " +
        "or close it, and is never sent: requests are signed with it.",
    }),
    id.row,
    secret.row,
    token.row,
    told,
    make("div", { class: "actions" }, send),
  );
  made.addEventListener("submit", (event) => {
    event.preventDefault();
    void enter();
  });
  async function enter(): Promise<void> {
    const key: Key = { accessKeyId: id.input.value.trim(), secretAccessKey: secret.input.value.trim() };
    if (token.input.value.trim()) key.sessionToken = token.input.value.trim();
    const missing = !key.accessKeyId ? id : key.secretAccessKey ? null : secret;
    if (missing) {
      told.textContent = `The ${missing.name.toLowerCase().replace(" id", " ID")} is missing.`;
      missing.input.focus();
      return;
    }
    send.disabled = true;
    told.textContent = "";
    sessionStorage.setItem(KEPT_AS, JSON.stringify(key));
    try {
      await check();
      entered();
    } catch (error) {
      sessionStorage.removeItem(KEPT_AS);
      told.textContent = troubleOf(error).text;
      send.disabled = false;
      id.input.focus();
    }
  }
  return made;
}

function field(
  name: string,
  type: "text" | "password",
  required: boolean,
): { name: string; row: HTMLElement; input: HTMLInputElement } {
  const input = make("input", {
    class: "field",
    attributes: { type, autocomplete: "off", spellcheck: "false", autocapitalize: "off" },
  });
  input.required = required;
  return { name, input, row: make("label", { class: "row" }, make("span", { class: "over", text: name }), input) };
}
