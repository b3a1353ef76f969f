// Against a Go nano node with a dictionary, NANO_URL: what works there works here.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { connect as connectAnother } from "../../../clients/js/src/index.js";

const EMOJI = { text: "naïve — 日本語 😀👩‍🚀" };

const clients = []; // one that a failure leaves open would keep the program alive
const connect = async () => {
  const client = await connectAnother(process.env.NANO_URL, { reconnect: { base: 50 } });
  clients.push(client);
  return client;
};
afterEach(() => clients.splice(0).forEach((client) => client.disconnect()));

test("requests, notifies and pushes go as codes of its dictionary, and emoji in them", async () => {
  const client = await connect();
  const greeted = new Promise((resolve) => client.once("onEcho", resolve));
  client.notify("ChatService.Echo", EMOJI);
  assert.deepEqual(await greeted, EMOJI);
  assert.deepEqual(await client.request("ChatService.Echo", EMOJI), EMOJI);
});

test("pipelined requests get their own answers, whatever the order", async () => {
  const client = await connect();
  // not the raw Echo: nano answers bytes that the next request has overwritten
  const numbers = Array.from({ length: 50 }, (_, n) => 150 - 3 * n);
  const answers = await Promise.all(
    numbers.map((n) => client.request("ChatService.Slow", { n })),
  );
  assert.deepEqual(answers.map(({ n }) => n ?? 0), numbers);
});

test("what it leaves unanswered is a time-out", async () => {
  const client = await connect();
  const asked = client.request("ChatService.Fail", {}, { timeout: 100 });
  await assert.rejects(asked, { name: "TimeoutError" });
  await client.request("ChatService.Echo", {});
});

test("its heartbeats are answered, and keep a silent client connected", async () => {
  const client = await connect();
  const lost = new Promise((_, reject) => client.events.once("reconnecting", reject));
  // more than the three intervals after which nano closes
  await Promise.race([lost, client.request("ChatService.Slow", { n: 4500 })]);
});

test("when it closes the session the client comes back with a new one", async () => {
  const client = await connect();
  const back = new Promise((resolve) => client.events.once("reconnected", resolve));
  client.notify("ChatService.CloseMe");
  await back;
  assert.deepEqual(await client.request("ChatService.Echo", EMOJI), EMOJI);
});
