// A browser's window, as far as clients of the 2010s look at it: their files are run
// unmodified, in a context of their own.
import { EventEmitter } from "node:events";
import { readFileSync } from "node:fs";
import vm from "node:vm";

/** What the clients of all pages have sent and heard, message by message. */
export const traffic = { sent: [], heard: [] };

class Watched extends WebSocket {
  constructor(...args) {
    super(...args);
    this.addEventListener("message", ({ data }) => traffic.heard.push(new Uint8Array(data)));
  }

  send(data) {
    traffic.sent.push(new Uint8Array(data.buffer ?? data));
    super.send(data);
  }
}

/** Run *files* as script tags would, and return the window that they leave. */
export function page(files) {
  const window = {
    WebSocket: Watched,
    EventEmitter, // pomelo's client wants one from elsewhere; nano's brings its own
    module: {}, // pomelo's protocol.js was packed by a tool that has modules
    console: { log() {}, error() {} },
    setTimeout,
    clearTimeout,
  };
  window.window = window;
  vm.createContext(window);
  for (const file of files) vm.runInContext(readFileSync(file, "utf8"), window, file);
  return window;
}
