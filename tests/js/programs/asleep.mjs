// Works, is put to sleep from outside, and works again; says what happens.
import { connect } from "../../../clients/js/src/index.js";

const client = await connect(process.env.NANO_URL, { reconnect: { base: 100, cap: 500 } });
const back = new Promise((resolve) => client.events.once("reconnected", resolve));
client.events.on("close", ({ reason }) => console.log("close", reason));
await client.request("Parlour.echo", 1);
console.log("ready");
await back;
console.log("answered", await client.request("Parlour.echo", "awake"));
client.disconnect();
