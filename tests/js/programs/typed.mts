// Compiled, never run: what a user of the types may and may not write.
import { type Client, connect, RequestError } from "nanocluster";
import { decodeMessage, MessageType } from "nanocluster/codec";
import { starx } from "nanocluster/starx";

const client: Client = await connect("ws://127.0.0.1:3250/", {
  user: { token: "t" },
  requestTimeout: 1000,
  reconnect: { cap: 5000 },
  reconnectAfterKick: (kick, code) => kick.reason === "moved" || code === 1012,
});
client.on("onShout", (message: { text: string }) => console.log(message.text)).off("onShout");
client.events.on("reconnecting", ({ attempt, delay, reason }) => {
  const later: number = delay + attempt;
  console.log(later, reason.length);
});
try {
  const answer: { text: string } = await client.request("EchoService.echo", {}, { timeout: 5 });
  console.log(answer.text);
} catch (error) {
  if (error instanceof RequestError) console.log(error.status + 1, error.code.length);
}
client.notify("EchoService.shout", { text: "hello" });
client.disconnect();
starx.init({ host: "127.0.0.1", port: 3250, reconnect: true }, () => starx.notify("a.b", {}));
console.log(decodeMessage(new Uint8Array(2)).type === MessageType.REQUEST);

// @ts-expect-error: there is no such event
client.events.on("reconected", () => {});
// @ts-expect-error: milliseconds are a number
await client.request("a.b", {}, { timeout: "5" });
// @ts-expect-error: there is no such option
await connect("ws://127.0.0.1:3250/", { reconnects: true });
// @ts-expect-error: a state cannot be set
client.state = "closed";
