// Works until its gate stops and another comes; says what happens, for a test to read.
import assert from "node:assert/strict";

import { connect } from "../../../clients/js/src/index.js";

const client = await connect(process.env.NANO_URL, { reconnect: { base: 100, cap: 500 } });
const say = (...words) => console.log(...words);

client.events
  .on("kick", ({ reason }) => say("kick", reason))
  .on("reconnecting", ({ attempt, reason }) => say("reconnecting", attempt, reason))
  .on("reconnected", () => client.notify("Parlour.join", "Ann"))
  .on("close", ({ reason }) => say("close", reason));

assert.equal(await client.request("Parlour.echo", 1), 1);
const cut = client.request("Parlour.slow", 30).then(
  () => "answered",
  ({ name, sent, status }) => `${name} ${sent ?? status}`,
);
const away = new Promise((resolve) => client.events.once("reconnecting", resolve));
say("ready");

await away;
say("cut", await cut);
const waits = client.request("Parlour.who", {}, { timeout: 30_000 });
say("waits");
const { uid } = await waits;
say("answered", uid);
client.disconnect();
