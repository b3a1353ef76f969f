/**
 * The way to the chat: a ticket from where the page is, and one client of the gates.
 *
 * @module
 */

import { Client, RequestError } from "./client/index.js";

/** What is worth sending again: a new session's login is on its way, nobody serves it, nobody knows. */
const PASSING = new Set([401, 503, 504]);
const ATTEMPTS = 20;
const PAUSE = 400; // milliseconds, and more each time, up to
const LONGEST_PAUSE = 3000;

/** A text for people of whatever went wrong. */
export const why = (error) => error.answer?.msg ?? error.message;

/**
 * Get a ticket for *nickname*; an earlier one for the same name keeps others from it.
 *
 * @param {string} nickname
 * @param {string} [ticket]
 */
export async function login(nickname, ticket = "") {
  const asked = fetch("login", { method: "POST", body: JSON.stringify({ nickname, ticket }) });
  const response = await asked.catch(() => {
    throw new Error("Nobody answers. Is the chat still there? Try again in a moment.");
  });
  const answer = await response.json().catch(() => ({ msg: `the server says ${response.status}` }));
  if (!response.ok) throw new Error(answer.msg);
  return answer;
}

/** Return a client that shows its ticket at the gates, and comes back when it is cut off. */
export function clientFor({ ticket, port, path }) {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const url = `${scheme}://${location.hostname}:${port}${path}`;
  return new Client(url, { user: { ticket }, reconnect: { cap: 4000, first: true } });
}

/** Return an id for a message, so that one which is sent again is said once. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Ask, and ask again while nobody serves it or the connection is cut meanwhile.
 *
 * For what may be asked twice.  Waits are random, so that the users of a backend that has
 * died do not come all at once.
 */
export async function insist(client, route, message) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await client.request(route, message);
    } catch (error) {
      const passing = error instanceof RequestError ? PASSING.has(error.status) : !client.closed;
      if (!passing || attempt === ATTEMPTS) throw error;
    }
    const pause = Math.random() * Math.min(LONGEST_PAUSE, PAUSE * attempt);
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}
