import { byId } from "./dom.js";

const OFFLINE = "You are offline. What stands here was loaded before.";

const place = byId("offline", HTMLElement);

function tell(): void {
  place.textContent = navigator.onLine ? "" : OFFLINE;
}

addEventListener("online", tell);
addEventListener("offline", tell);
tell();
