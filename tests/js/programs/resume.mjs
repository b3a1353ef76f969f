// Is cut off by a proxy, comes back to the same session; says what happens, for a test to read.
import assert from "node:assert/strict";

import { connect } from "../../../clients/js/src/index.js";

const client = await connect(process.env.NANO_URL, { reconnect: { base: 100, cap: 500 } });
const say = (...words) => console.log(...words);

await client.request("Parlour.enter", "Ann");
const before = await client.request("Parlour.who");
const back = new Promise((resolve) => client.events.once("reconnected", resolve));
say("ready", before.id);

const { resumed } = await back;
say("resumed", resumed);
const after = await client.request("Parlour.who");
say("same", after.id === before.id && after.uid === "Ann");
client.disconnect();
